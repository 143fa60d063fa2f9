//! The probes that a tracer finds in a program that uses a pool: notes in the binary, each a provider's name,
//! a probe's, and the form of its arguments.
#![cfg(all(feature = "probes", target_os = "linux", target_arch = "x86_64"))]

use qorb_tokio::connectors::tcp::TcpConnector;
use qorb_tokio::pool::Pool;
use qorb_tokio::resolvers::fixed::FixedResolver;

/// In the order of the contract, with how many arguments each has.
const PROBES: [(&str, usize); 26] = [
    ("claim-start", 2),
    ("claim-done", 3),
    ("claim-acquire-failed", 3),
    ("claim-failed", 3),
    ("connect-start", 3),
    ("connect-done", 3),
    ("connect-failed", 4),
    ("pool-claim-start", 2),
    ("pool-claim-done", 3),
    ("pool-claim-failed", 2),
    ("slot-set-claim-start", 3),
    ("slot-set-claim-done", 3),
    ("slot-set-claim-failed", 3),
    ("slot-set-online", 3),
    ("slot-set-offline", 2),
    ("slot-state-change", 6),
    ("handle-claimed", 4),
    ("handle-returned", 2),
    ("health-check-start", 3),
    ("health-check-done", 2),
    ("health-check-failed", 3),
    ("recycle-start", 3),
    ("recycle-done", 2),
    ("recycle-failed", 3),
    ("rebalance-start", 1),
    ("rebalance-done", 1),
];

#[tokio::test]
async fn all_26_are_in_the_binary_with_their_arguments() {
    // What makes the linker keep them: a pool, and a claim, for three of them lie where claims end.
    let resolver = FixedResolver::new(["127.0.0.1:1".parse().unwrap()]);
    let pool: Pool<_> = Pool::builder("traced", resolver, TcpConnector::new())
        .build()
        .unwrap();
    drop(pool.try_claim().await);
    pool.terminate().await;

    let binary = std::fs::read("/proc/self/exe").unwrap();
    let notes = notes(&binary);
    for (name, arguments) in PROBES {
        let form = notes.iter().find(|(it, _)| *it == name);
        let (_, form) = form.unwrap_or_else(|| panic!("no probe {name}"));
        assert_eq!(form.split_whitespace().count(), arguments, "{name}: {form}");
    }
}

/// The names of provider `qorb`'s probes, and the forms of their arguments: what follows its own name, each
/// ended by a zero.
fn notes(binary: &[u8]) -> Vec<(&str, &str)> {
    let provider = b"qorb\0";
    let zeros = binary.iter().enumerate().filter(|&(_, &byte)| byte == 0);
    let ends = zeros.map(|(at, _)| &binary[..=at]);
    let starts = ends
        .filter(|before| before.ends_with(provider))
        .map(<[u8]>::len);
    let notes = starts.filter_map(|at| {
        let mut texts = binary[at..]
            .split(|&byte| byte == 0)
            .map(std::str::from_utf8);
        Some((texts.next()?.ok()?, texts.next()?.ok()?))
    });
    notes.collect()
}
