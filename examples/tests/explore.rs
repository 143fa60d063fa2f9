//! The program that explores small pools.

use std::process::{Command, Output};

fn explore(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_explore");
    let output = Command::new(program).args(arguments).output();
    output.expect("it can be run")
}

/// The line of that world in the table at the end.
#[derive(PartialEq, Eq, Debug)]
struct Line {
    states: u64,
    depth: u64,
    moves: u64,
    until: String,
}

impl Line {
    fn of(world: &str, output: &Output) -> Self {
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("no promise was broken"), "{said}");
        let lines = said.lines().skip_while(|line| !line.contains("until"));
        let line = lines.filter(|line| line.starts_with(world)).last();
        let words: Vec<&str> = line.expect("a line").split_whitespace().collect();
        let number = |at: usize| {
            let digits = words[at].replace(',', "");
            digits.parse().expect("a number")
        };
        // How long it took, and so how fast it was, is another each time.
        Self {
            states: number(1),
            depth: number(2),
            moves: number(3),
            until: words[8..].join(" "),
        }
    }
}

#[test]
fn a_world_is_explored_as_long_as_there_is_memory() {
    // Less than what is looked at first takes.
    let bounds = ["turns", "--minutes", "5", "--memory-gib", "0.002"];
    let one = explore(&[&bounds[..], &["--threads", "1"]].concat());
    let many = explore(&[&bounds[..], &["--threads", "3"]].concat());
    let [one, many] = [one, many].map(|output| Line::of("turns", &output));
    assert_eq!(one, many);
    assert_eq!(one.until, "memory");
    assert!(one.states > 1_000 && one.depth > 3, "{one:?}");
    assert!(one.moves > one.states, "{one:?}");
}

#[test]
fn a_world_is_explored_as_long_as_there_is_time() {
    let line = Line::of("turns", &explore(&["turns", "--minutes", "0"]));
    assert_eq!(line.until, "time");
    // What is begun is ended.
    assert!(line.states > 1 && line.depth > 0, "{line:?}");
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
