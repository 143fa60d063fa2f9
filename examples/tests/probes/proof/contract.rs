//! The contract: all probes, and what each of their arguments is.

/// A probe as scripts know it.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) name: &'static str,
    pub(crate) arguments: &'static [Form],
}

/// What an argument is. A note only tells where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    Number,
    /// An address at which there is text, ended by a zero.
    Text,
}

pub(crate) const PROBES: [Probe; 26] = [
    probe("claim-start", &[Text, Number]),
    probe("claim-done", &[Text, Number, Number]),
    probe("claim-acquire-failed", &[Text, Number, Text]),
    probe("claim-failed", &[Text, Number, Text]),
    probe("connect-start", &[Text, Number, Text]),
    probe("connect-done", &[Text, Number, Text]),
    probe("connect-failed", &[Text, Number, Text, Text]),
    probe("pool-claim-start", &[Text, Number]),
    probe("pool-claim-done", &[Text, Number, Number]),
    probe("pool-claim-failed", &[Text, Number]),
    probe("slot-set-claim-start", &[Text, Number, Text]),
    probe("slot-set-claim-done", &[Text, Number, Number]),
    probe("slot-set-claim-failed", &[Text, Number, Text]),
    probe("slot-set-online", &[Text, Text, Text]),
    probe("slot-set-offline", &[Text, Text]),
    probe("slot-state-change", &[Text, Text, Number, Text, Text, Text]),
    probe("handle-claimed", &[Text, Number, Number, Text]),
    probe("handle-returned", &[Text, Number]),
    probe("health-check-start", &[Text, Number, Text]),
    probe("health-check-done", &[Text, Number]),
    probe("health-check-failed", &[Text, Number, Text]),
    probe("recycle-start", &[Text, Number, Text]),
    probe("recycle-done", &[Text, Number]),
    probe("recycle-failed", &[Text, Number, Text]),
    probe("rebalance-start", &[Text]),
    probe("rebalance-done", &[Text]),
];

use Form::{Number, Text};

const fn probe(name: &'static str, arguments: &'static [Form]) -> Probe {
    Probe { name, arguments }
}

/// The probe of that name.
pub(crate) fn find(name: &str) -> Option<&'static Probe> {
    PROBES.iter().find(|probe| probe.name == name)
}
