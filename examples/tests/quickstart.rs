//! The README's first command, run as its readers run it, but for less long.

use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

fn quickstart(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quickstart"));
    command.args(arguments).output().expect("it can be run")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it speaks UTF-8")
}

/// A short run, which tells its story and finds all promises kept; the whole story has `parts` too.
fn all_goes_well(arguments: &[&str], runtime: &str, parts: &[&str]) -> String {
    // One at a time: a server that is stopped for a while needs its port again.
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let shorter = ["--duration", "5", "--clients", "8", "--seed", "7"];
    let output = quickstart(&[&shorter[..], &["--runtime", runtime], arguments].concat());
    drop(turn);
    let (said, complaints) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}{complaints}");
    let first = said.lines().next().unwrap_or_default();
    assert!(first.starts_with(&format!("On {runtime}, ")), "{said}");
    let always = [
        "--seed 7",
        "beta is stopped",
        "beta down",
        "alpha gone",
        "phase",
        "p99",
        "✓ every claim ends exactly once",
        "✓ a new server is found",
        "promise",
    ];
    for part in always.iter().chain(parts) {
        assert!(said.contains(part), "\"{part}\" is missing in: {said}");
    }
    assert!(!said.contains('✗'), "{said}");
    // Fits on a screen, but for the counts of probes, which are for programs to read.
    let lines = said.lines().filter(|line| !line.starts_with("probe "));
    assert!(lines.count() <= 50, "{said}");
    for line in said.lines().skip_while(|line| !line.starts_with("phase")) {
        assert!(line.chars().count() <= 110, "too long: {line}");
    }
    said
}

/// The same, where the pool finds the servers by DNS.
fn all_goes_well_on(runtime: &str) {
    let parts = [
        "dig @127.0.0.1",
        "the DNS server is stopped",
        "4 no DNS",
        "5 swapped",
        "✓ without DNS it goes on with what it knows",
    ];
    all_goes_well(&[], runtime, &parts);
}

#[test]
fn on_tokio_all_goes_well() {
    all_goes_well_on("tokio");
}

#[test]
fn on_smol_all_goes_well() {
    all_goes_well_on("smol");
}

#[test]
fn on_async_std_all_goes_well() {
    all_goes_well_on("async-std");
}

#[test]
fn told_where_the_servers_are_all_goes_well_without_dns() {
    let said = all_goes_well(&["--fixed"], "tokio", &["is told where", "4 swapped"]);
    assert!(!said.contains("DNS"), "{said}");
}

/// What the line of each probe says: the name and the count.
fn probes(said: &str) -> Vec<(&str, u64)> {
    let lines = said.lines().filter_map(|line| line.strip_prefix("probe "));
    let words = lines.filter_map(|line| line.split_once(' '));
    words
        .map(|(name, count)| (name, count.parse().expect("it is a number")))
        .collect()
}

#[test]
fn where_connections_are_flaky_every_probe_fires_and_all_goes_well_still() {
    let arguments = ["--flaky", "--probe-counts", "--slots", "6"];
    let said = all_goes_well(&arguments, "tokio", &[]);
    let probes = probes(&said);
    assert_eq!(probes.len(), 26, "{said}");
    assert!(probes.iter().all(|&(_, count)| count > 0), "{said}");
    let count = |name| {
        let found = probes.iter().find(|it| it.0 == name);
        found.expect("there is such a probe").1
    };
    let all = said.lines().find(|line| line.starts_with("all "));
    let all: Vec<_> = all.expect("there is a sum").split_whitespace().collect();
    assert_eq!(all[1], count("claim-done").to_string(), "{said}");
    assert_eq!(all[3], count("claim-failed").to_string(), "{said}");
    assert_eq!(count("handle-claimed"), count("handle-returned"), "{said}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (arguments, complaint) in [
        (["--servers", "1"], "--servers is 1"),
        (["--clients", "many"], "--clients"),
        (["--speed", "9"], "--speed"),
        (["--runtime", "rayon"], "tokio, smol, async-std"),
    ] {
        let output = quickstart(&arguments);
        assert_eq!(output.status.code(), Some(2));
        let complaints = text(&output.stderr);
        assert!(complaints.contains(complaint), "{complaints}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn help_explains_each_option() {
    let output = quickstart(&["--help"]);
    assert!(output.status.success());
    let help = text(&output.stdout);
    for option in [
        "--runtime",
        "[default: tokio]",
        "smol",
        "async-std",
        "--clients",
        "--duration",
        "--servers",
        "--fixed",
        "--slots",
        "--flaky",
        "--probe-counts",
        "--seed",
    ] {
        assert!(help.contains(option), "{help}");
    }
}
