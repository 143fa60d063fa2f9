//! What was measured, with what, and on what: to be said before any figure.

use std::fs;
use std::thread;

/// The packages whose versions matter, as the lock file has them, and their versions.
pub(crate) fn versions() -> Vec<(&'static str, Vec<&'static str>)> {
    let wanted = [
        "qorb-tokio",
        "deadpool",
        "bb8",
        "fast_pool",
        "mobc",
        "sqlx-core",
        "qorb",
        "tokio",
        "smol",
        "async-std",
    ];
    let lock = include_str!("../../Cargo.lock");
    wanted
        .into_iter()
        .map(|name| (name, locked(lock, name)))
        .filter(|it| !it.1.is_empty())
        .collect()
}

/// The versions of that package.
fn locked<'a>(lock: &'a str, name: &str) -> Vec<&'a str> {
    let value = |line: &'a str, key| line.strip_prefix(key)?.strip_suffix('"');
    let lines: Vec<_> = lock.lines().collect();
    lines
        .windows(2)
        .filter(|it| value(it[0], "name = \"") == Some(name))
        .filter_map(|it| value(it[1], "version = \""))
        .collect()
}

pub(crate) fn compiler() -> &'static str {
    env!("MADE_BY")
}

/// Its processor, how many of its cores there are, and its kernel, as far as it tells.
pub(crate) fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    let model = model.unwrap_or_else(|| "unknown processor".to_owned());
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // What its builder calls it besides is of no account.
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    let system = std::env::consts::OS;
    format!("{model}, {cores} cores, {system} {kernel}")
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_is_understood() {
        let lock = "[[package]]\nname = \"qorb\"\nversion = \"0.4.1\"\n\n[[package]]\nname = \"qorb-tokio\"\nversion = \"0.1.0\"\n";
        assert_eq!(locked(lock, "qorb"), ["0.4.1"]);
        assert_eq!(locked(lock, "bb8"), [""; 0]);
    }

    #[test]
    fn every_peer_has_a_version() {
        for peer in ["deadpool", "bb8", "fast_pool", "mobc", "qorb"] {
            assert!(versions().iter().any(|it| it.0 == peer), "{peer}");
        }
    }
}
