//! The proof: what is in the binary, and what a tracer sees of a pool's life in which everything happens.

mod arguments;
mod connector;
mod contract;
mod ears;
mod fired;
mod notes;
mod scenario;
mod told;
mod trap;

use std::collections::{BTreeMap, BTreeSet};

use qorb_tokio::observer::Record;

use contract::PROBES;
use fired::Fired;
use notes::Binary;
use scenario::{FIRST, POOL, SECOND};
use trap::{Semaphores, Tracer};

/// A whole life as a tracer and a subscriber saw it.
struct Life {
    chapters: Vec<(&'static str, Vec<Fired>)>,
    records: Vec<Record>,
}

impl Life {
    fn traced() -> Self {
        Self::with(Semaphores::Raised)
    }

    fn with(semaphores: Semaphores) -> Self {
        let tracer = Tracer::attach(semaphores);
        let mut chapters = Vec::new();
        let records = scenario::live(|title| chapters.push((title, tracer.take())));
        chapters.push(("after the end", tracer.take()));
        // To be seen where a test fails.
        for (title, fired) in &chapters {
            println!("{title}:");
            for it in fired {
                println!("  {it}");
            }
        }
        Self { chapters, records }
    }

    fn fired(&self) -> impl Iterator<Item = &Fired> {
        self.chapters.iter().flat_map(|(_, fired)| fired)
    }

    fn chapter(&self, title: &str) -> &[Fired] {
        let mut chapters = self.chapters.iter();
        let found = chapters.find(|(it, _)| *it == title);
        let (_, fired) = found.unwrap_or_else(|| panic!("no chapter \"{title}\""));
        fired
    }
}

#[test]
fn each_probe_is_in_the_binary_with_its_arguments_and_a_semaphore_of_its_own() {
    let binary = Binary::own();
    let mut semaphores = BTreeMap::new();
    for note in binary.live() {
        let name = &*note.probe;
        let probe = contract::find(name).unwrap_or_else(|| panic!("{name} is a new probe"));
        let arguments = note.arguments.split(' ').count();
        assert_eq!(arguments, probe.arguments.len(), "{note:?}");
        let owner = *semaphores.entry(note.semaphore).or_insert(probe.name);
        assert_eq!(owner, name, "{note:?}");
    }
    let names: BTreeSet<&str> = semaphores.values().copied().collect();
    assert_eq!(names, PROBES.iter().map(|probe| probe.name).collect());
    assert_eq!(
        semaphores.len(),
        PROBES.len(),
        "one for all places of a probe"
    );
}

/// Why that matters is told in `build.rs`.
#[test]
fn no_page_of_the_file_is_mapped_for_writing_twice() {
    let mut seen = BTreeSet::new();
    for page in Binary::own().writable_pages() {
        assert!(seen.insert(page), "page {page:#x} is");
    }
}

#[test]
fn each_probe_fires_as_often_as_it_should_each_time() {
    let expected = BTreeMap::from(TIMES);
    for _ in 0..2 {
        let life = Life::traced();
        let probes = life.fired().map(|fired| fired.probe);
        assert_eq!(count(probes), expected);
        let kinds = life.records.iter().map(|record| record.kind.as_str());
        let kinds = kinds.filter(|&kind| contract::find(kind).is_some());
        assert_eq!(count(kinds), expected);
    }
}

/// How often, in the whole of the scenario.
const TIMES: [(&str, usize); 26] = [
    ("claim-start", 12),
    ("claim-done", 7),
    ("claim-acquire-failed", 2),
    ("claim-failed", 5),
    ("connect-start", 13),
    ("connect-done", 10),
    ("connect-failed", 3),
    ("pool-claim-start", 14),
    ("pool-claim-done", 9),
    ("pool-claim-failed", 5),
    ("slot-set-claim-start", 11),
    ("slot-set-claim-done", 9),
    ("slot-set-claim-failed", 2),
    ("slot-set-online", 8),
    ("slot-set-offline", 2),
    ("slot-state-change", 50),
    ("handle-claimed", 7),
    ("handle-returned", 7),
    ("health-check-start", 5),
    ("health-check-done", 3),
    ("health-check-failed", 2),
    ("recycle-start", 7),
    ("recycle-done", 5),
    ("recycle-failed", 2),
    ("rebalance-start", 2),
    ("rebalance-done", 2),
];

#[test]
fn tracers_see_what_subscribers_are_told() {
    let life = Life::traced();
    let told = life.records.iter();
    let told: Vec<Fired> = told.filter_map(|it| told::probe_of(POOL, it)).collect();
    for (place, (fired, told)) in life.fired().zip(&told).enumerate() {
        assert_eq!(fired, told, "number {place}: {fired} where {told} was told");
    }
    assert_eq!(life.fired().count(), told.len());
}

#[test]
fn one_claim_is_traced_from_its_start_to_its_return() {
    let life = Life::traced();
    let fired = life.chapter("one claim");
    let claim = fired[0].number(1);
    assert_eq!(claim & LOWER, 3, "the pool's third");
    assert_ne!(claim & !LOWER, 0, "unique in the process");
    let (slot, state) = (3, |old, new, idle, checking, claimed| {
        format!(
            r#"slot-state-change "{POOL}" "{FIRST}" 3 "{old}" "{new}" "{{"ok":{{"connecting_slots":0,"unclaimed_slots":{idle},"checking_slots":{checking},"claimed_slots":{claimed},"total_claims":1}}}}""#
        )
    });
    let expected = [
        format!(r#"claim-start "{POOL}" {claim}"#),
        format!(r#"pool-claim-start "{POOL}" {claim}"#),
        format!(r#"slot-set-claim-start "{POOL}" {claim} "{FIRST}""#),
        state("ConnectedUnclaimed", "ConnectedClaimed", 1, 0, 1),
        format!(r#"slot-set-claim-done "{POOL}" {claim} {slot}"#),
        format!(r#"pool-claim-done "{POOL}" {claim} {slot}"#),
        format!(r#"handle-claimed "{POOL}" {claim} {slot} "{FIRST}""#),
        format!(r#"claim-done "{POOL}" {claim} {slot}"#),
        format!(r#"handle-returned "{POOL}" {slot}"#),
        format!(r#"recycle-start "{POOL}" {slot} "{FIRST}""#),
        format!(r#"recycle-done "{POOL}" {slot}"#),
        state("ConnectedClaimed", "ConnectedRecycling", 1, 1, 0),
        state("ConnectedRecycling", "ConnectedUnclaimed", 2, 0, 0),
    ];
    assert_eq!(lines(fired), expected);
}

#[test]
fn backends_are_named_by_address_and_slots_by_backend() {
    let life = Life::traced();
    let fired = life.chapter("the second takes over");
    let slot: u64 = 1 << 48 | 5;
    let expected = [
        format!(r#"rebalance-start "{POOL}""#),
        format!(r#"connect-start "{POOL}" {slot} "{SECOND}""#),
        format!(r#"rebalance-done "{POOL}""#),
        format!(r#"connect-done "{POOL}" {slot} "{SECOND}""#),
        format!(r#"slot-set-online "{POOL}" "{SECOND}" "{{"ok":true}}""#),
        format!(r#"slot-set-offline "{POOL}" "{FIRST}""#),
    ];
    let mut lines = lines(fired).into_iter();
    for line in expected {
        assert!(
            lines.any(|it| it == line),
            "{line} is missing, or comes too early"
        );
    }
}

#[test]
fn reasons_are_in_the_words_that_scripts_match() {
    let life = Life::traced();
    for (probe, reasons) in [
        (
            "claim-failed",
            &[
                "NoBackends",
                "NoBackendsOnline",
                "AllClaimsUsed",
                "AcquireFailed",
                "Terminated",
            ][..],
        ),
        (
            "claim-acquire-failed",
            &["not prepared", "Timeout after 1s"],
        ),
        (
            "connect-failed",
            &["refused", "Timeout after 10s", "refused again"],
        ),
        ("slot-set-claim-failed", &["NoSlotsReady"; 2]),
        ("health-check-failed", &["Timeout after 3s", "stale"]),
        ("recycle-failed", &["dirty", "Timeout after 3s"]),
    ] {
        let last = contract::find(probe).map_or(0, |it| it.arguments.len() - 1);
        let fired = life.fired().filter(|fired| fired.probe == probe);
        let said: Vec<&str> = fired.map(|fired| fired.text(last)).collect();
        assert_eq!(said, reasons, "{probe}");
    }
}

#[test]
fn slots_go_from_state_to_state_under_the_names_that_scripts_match() {
    let life = Life::traced();
    let mut present = BTreeMap::new();
    let mut names = BTreeSet::new();
    for change in life.fired().filter(|it| it.probe == "slot-state-change") {
        let (slot, old, new) = (change.number(2), change.text(3), change.text(4));
        let before = present.insert(slot, new).unwrap_or("Connecting");
        assert_eq!(old, before, "{change}");
        names.extend([old, new]);
    }
    let expected = [
        "Connecting",
        "ConnectedUnclaimed",
        "ConnectedChecking",
        "ConnectedClaimed",
        "ConnectedRecycling",
        "Terminated",
    ];
    assert_eq!(names, BTreeSet::from(expected));
    assert!(present.values().all(|&state| state == "Terminated"));
}

#[test]
fn while_no_semaphore_is_raised_nothing_fires() {
    let traced = Life::traced();
    // The breakpoints are there, so that whatever came to one would be seen.
    let quiet = Life::with(Semaphores::Left);
    assert_eq!(lines(quiet.fired()), Vec::<String>::new());
    assert_eq!(quiet.records.len(), traced.records.len());
}

fn lines<'a>(fired: impl IntoIterator<Item = &'a Fired>) -> Vec<String> {
    fired.into_iter().map(Fired::to_string).collect()
}

fn count(names: impl Iterator<Item = &'static str>) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    counts
}

/// The part of a claim's number that is the pool's own count.
const LOWER: u64 = (1 << 48) - 1;
