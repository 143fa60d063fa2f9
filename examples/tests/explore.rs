//! The program that explores small pools.

use std::process::{Command, Output};

fn explore(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_explore");
    let output = Command::new(program).args(arguments).output();
    output.expect("it can be run")
}

/// The line of that world in the table at the end.
fn line(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("no promise was broken"), "{said}");
    let lines = said.lines().skip_while(|line| !line.contains("promises"));
    let line = lines.filter(|line| line.starts_with("turns")).last();
    let words = line.expect("a line in the table").split_whitespace();
    // How long it took, and so how fast it was, is another each time.
    words.take(4).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_world_is_explored_as_long_as_there_is_time_and_memory() {
    // Less than what is looked at first takes.
    let bounds = ["turns", "--minutes", "5", "--memory-gib", "0.002"];
    let one = explore(&[&bounds[..], &["--threads", "1"]].concat());
    let many = explore(&[&bounds[..], &["--threads", "3"]].concat());
    assert_eq!(line(&one), line(&many));
    assert!(line(&one).starts_with("turns "), "{}", line(&one));
}

#[test]
fn an_unknown_world_is_named_and_so_are_those_that_there_are() {
    let output = explore(&["atlantis"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains("atlantis") && said.contains("single"),
        "{said}"
    );
}
