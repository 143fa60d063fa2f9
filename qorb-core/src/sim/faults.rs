//! Which faults hold at present, so that pairs of them can be counted.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::script::{Answer, Conduct, Habits, Happening, Named};
use super::tally::{Fault, Tally};
use crate::time::Instant;

/// The faults that hold, or did a moment ago.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    /// How each backend behaves.
    conducts: BTreeMap<u16, Conduct>,
    /// Those that hold for the whole life.
    habits: Vec<Fault>,
    /// When each fault was last seen that does not last.
    moments: BTreeMap<Fault, Instant>,
}

impl Faults {
    /// The machine's owner behaves like that.
    pub(super) fn begin_habits(&mut self, habits: &Habits, tally: &mut Tally) {
        if !habits.lag.is_zero() {
            tally.fault(Fault::Lag, [].into_iter());
            self.habits.push(Fault::Lag);
        }
    }

    /// Something happens. Counts the faults that begin with it, and their pairs with those that hold. What clients and hooks
    /// do wrong [begins](Self::begin) when they do it.
    pub(super) fn note(
        &mut self,
        now: Instant,
        event: &Happening,
        named: &[Named],
        tally: &mut Tally,
    ) {
        match event {
            Happening::Conduct(who, conduct) => self.note_conduct(now, who, conduct, tally),
            Happening::Sever(who) => {
                self.begin(now, Fault::Severed, tally);
                if who.len() > 1 {
                    self.begin(now, Fault::Zone, tally);
                }
            }
            Happening::Resolve(all) => {
                let gone = |it: &Named| !all.iter().any(|other| other.number == it.number);
                if named.iter().any(gone) {
                    self.begin(now, Fault::Gone, tally);
                }
            }
            Happening::Claim(_) => {}
            Happening::Policy(_) => self.begin(now, Fault::Policy, tally),
            Happening::Jump(_) => self.begin(now, Fault::Jump, tally),
            Happening::Back(_) => self.begin(now, Fault::Back, tally),
            Happening::Terminate => self.begin(now, Fault::Terminated, tally),
        }
    }

    fn note_conduct(&mut self, now: Instant, who: &[u16], conduct: &Conduct, tally: &mut Tally) {
        let faults = signs(conduct);
        for fault in faults.into_iter().flatten() {
            self.begin(now, fault, tally);
            if who.len() > 1 {
                self.begin(now, Fault::Zone, tally);
            }
        }
        for &number in who {
            self.conducts.insert(number, *conduct);
        }
    }

    /// A fault begins. Counts it, and its pairs with those that hold.
    pub(super) fn begin(&mut self, now: Instant, fault: Fault, tally: &mut Tally) {
        let recent = |&(_, &at): &(&Fault, &Instant)| now.since(at) < SOON;
        let moments = self.moments.iter().filter(recent).map(|(&it, _)| it);
        let lasting = self.conducts.values().flat_map(signs).flatten();
        let habits = self.habits.iter().copied();
        let mut others: Vec<Fault> = moments.chain(lasting).chain(habits).collect();
        others.sort_unstable();
        others.dedup();
        tally.fault(fault, others.into_iter());
        self.moments.insert(fault, now);
    }
}

/// What is wrong with a backend that behaves like that.
fn signs(conduct: &Conduct) -> [Option<Fault>; 7] {
    [
        (conduct.connects == Answer::No).then_some(Fault::Refuses),
        (conduct.connects == Answer::Never).then_some(Fault::Hangs),
        (conduct.delay > SLOW).then_some(Fault::Slow),
        conduct.room.map(|_| Fault::Full),
        (conduct.flaky > 0).then_some(Fault::Flaky),
        (conduct.breaks > 0).then_some(Fault::Breaks),
        conduct.silent.then_some(Fault::HalfOpen),
    ]
}

/// Faults within this time of one another are a pair.
const SOON: Duration = Duration::from_millis(50);

/// A backend that takes longer is slow.
const SLOW: Duration = Duration::from_millis(10);
