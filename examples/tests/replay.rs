//! What a pool on each runtime has written down is replayed by the bare machine.

use std::fs;
use std::process::{Command, Output};

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output();
    output.expect("it can be run")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it speaks UTF-8")
}

#[test]
fn a_run_on_each_runtime_is_replayed_byte_for_byte() {
    let (quickstart, replay) = (
        env!("CARGO_BIN_EXE_quickstart"),
        env!("CARGO_BIN_EXE_replay"),
    );
    let folder = std::env::temp_dir();
    for runtime in ["tokio", "smol", "async-std"] {
        let tape = folder.join(format!("qorb-{}-{runtime}.tape", std::process::id()));
        let path = tape.to_str().expect("a path in UTF-8");
        let arguments = ["--duration", "2", "--clients", "6", "--record", path];
        let lived = run(
            quickstart,
            &[&arguments[..], &["--runtime", runtime]].concat(),
        );
        // Whether all promises were kept on a busy machine is another test's affair.
        assert!(tape.exists(), "{}", text(&lived.stderr));

        let replayed = run(replay, &[path]);
        let said = text(&replayed.stdout);
        assert!(
            replayed.status.success(),
            "{said}{}",
            text(&replayed.stderr)
        );
        assert!(said.contains("byte for byte"), "{said}");
        for part in [
            "has come",
            "is online",
            "asks for a connection",
            "> Connect",
            "the pool ends",
        ] {
            assert!(said.contains(part), "\"{part}\" is missing");
        }

        let dns = format!("{path}.dns");
        let replayed = run(replay, &[&dns]);
        let said = text(&replayed.stdout);
        assert!(replayed.status.success(), "{said}");
        for part in [
            "is asked _echo._tcp.quickstart.test SRV",
            "answers",
            "have come",
        ] {
            assert!(said.contains(part), "\"{part}\" is missing");
        }
        fs::remove_file(&dns).unwrap();

        // Another history than the one that was written down is found out.
        let written = fs::read_to_string(&tape).expect("the tape");
        fs::write(
            &tape,
            written.replacen("\nclaim\n= Ok(", "\nclaim\n= Err(", 1),
        )
        .unwrap();
        let forged = run(replay, &["--quiet", path]);
        assert!(!forged.status.success());
        assert!(text(&forged.stdout).contains("but the machine says"));
        fs::remove_file(&tape).unwrap();
    }
    assert!(!run(replay, &["/nowhere/at/all"]).status.success());
}
