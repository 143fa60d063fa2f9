//! A recount of everything the machine keeps count of (promise 3), and of the promises that can be seen in one state.

use alloc::format;
use alloc::string::String;
use core::fmt;

use super::Machine;
use crate::list::NONE;
use crate::queue::Stage;
use crate::set::{Set, Standing};
use crate::slot::{self, Hold, Phase};

/// What [`Machine::audit`] found wrong. It is a defect of the machine, never of its owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditError(String);

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for AuditError {}

impl Machine {
    /// Recounts everything and compares. For tests, fuzzing and the doubtful: it looks at every slot, backend
    /// and claim.
    pub fn audit(&self) -> Result<(), AuditError> {
        self.audit_totals()?;
        for (index, set) in &self.sets {
            self.audit_set(index as u32, set)?;
        }
        self.audit_slots()?;
        self.audit_probes()?;
        self.audit_holds()?;
        self.audit_claims()
    }

    /// The list of slots that are held too long one day.
    fn audit_holds(&self) -> Result<(), AuditError> {
        holds(self.watched.is_whole(&self.slots), || {
            String::from("the list of watched slots is broken")
        })?;
        let listed = self.watched.iter(&self.slots);
        let strays = listed.filter(|&slot| self.slots[slot as usize].hold != Hold::Watched);
        equal("strays in the list of watched slots", &strays.count(), &0)?;
        let watched = self.slots.iter();
        let watched = watched.filter(|(_, slot)| slot.hold == Hold::Watched);
        equal("watched slots", &self.watched.len(), &watched.count())?;
        let listed = self.watched.iter(&self.slots);
        let ordered = listed.is_sorted_by_key(|slot| self.slots[slot as usize].since);
        holds(ordered, || {
            String::from("what is held does not lie in the order of time")
        })?;
        for (index, slot) in &self.slots {
            let claimed = slot.phase == Phase::Claimed;
            let watched = self.policy.leak_after.is_some() && !self.terminated;
            holds((slot.hold == Hold::Free) || claimed, || {
                format!("slot {index} is {:?}, and {:?}", slot.phase, slot.hold)
            })?;
            holds((slot.hold != Hold::Free) || !claimed || !watched, || {
                format!("slot {index} is held, and nobody watches")
            })?;
        }
        Ok(())
    }

    fn audit_totals(&self) -> Result<(), AuditError> {
        let sum = self.sets.iter().map(|(_, set)| set.stats);
        let sum = sum.fold(slot::Stats::default(), |sum, stats| sum + stats);
        // A backend that has gone takes its total with it.
        let total_claims = self.counts.total_claims;
        let sum = slot::Stats {
            total_claims,
            ..sum
        };
        equal("slots by state", &self.counts, &sum)?;
        let closing = self.count(|set| self.count_phase(set, Phase::Closing));
        equal("closing slots", &self.closing, &closing)?;
        let slots = self.counts.all_slots() + self.closing;
        equal("all slots", &self.slots.len(), &slots)?;
        let cap = self.caps_ever.0;
        holds(self.slots.len() <= cap, || {
            format!("promise 1: {} slots, at most {cap}", self.slots.len())
        })?;
        let open = self.totals.opened - self.totals.closed;
        equal(
            "closed by reason",
            &self.closed.total(),
            &self.totals.closed,
        )?;
        let live = (self.counts.connected_slots() + self.closing) as u64;
        equal("promise 7: opened less closed", &open, &live)?;
        let leaving = self.sets.iter().map(|(_, set)| set);
        let leaving = leaving.filter(|set| set.standing == Standing::Draining);
        let leaving = leaving.map(|set| set.stats.claimed_slots).sum();
        equal(
            "claimed slots of draining backends",
            &self.leaving,
            &leaving,
        )?;
        let draining = self.count(|set| usize::from(set.standing == Standing::Draining));
        equal("draining backends", &self.draining, &draining)?;
        let probed = self.count(|set| usize::from(set.is_probed()));
        equal("probed backends", &self.probed, &probed)?;
        equal("identities", &self.identities.len(), &self.sets.len())
    }

    fn audit_set(&self, index: u32, set: &Set) -> Result<(), AuditError> {
        let name = &set.backend;
        let cap = self.caps_ever.1;
        holds(set.slots.len() <= cap, || {
            format!(
                "promise 1: {} slots on {name}, at most {cap}",
                set.slots.len()
            )
        })?;
        let mut stats = slot::Stats::default();
        for &slot in &set.slots {
            stats.enter(self.slots[slot as usize].phase.state());
        }
        stats.total_claims = set.stats.total_claims;
        equal(format_args!("slots of {name}"), &set.stats, &stats)?;
        let live = set.slots.iter();
        let live = live.filter(|&&slot| !self.slots[slot as usize].surplus);
        equal(
            format_args!("live slots of {name}"),
            &(set.live as usize),
            &live.count(),
        )?;
        holds(set.weighs_as_its_backend(), || {
            format!("{name} is chosen by a weight that it has no longer")
        })?;
        self.audit_idle(index, set)?;
        self.audit_part(index, set)?;
        holds(
            set.standing != Standing::Draining || !set.slots.is_empty(),
            || format!("{name} is drained, yet still there"),
        )
    }

    /// What is listed of a set's idle slots.
    fn audit_idle(&self, index: u32, set: &Set) -> Result<(), AuditError> {
        let name = &set.backend;
        let idle = self.count_phase(set, Phase::Unclaimed);
        equal(format_args!("idle slots of {name}"), &set.idle.len(), &idle)?;
        holds(set.idle.is_whole(&self.slots), || {
            format!("{name}'s list of idle slots is broken")
        })?;
        let listed = set.idle.iter(&self.slots);
        let strays = listed.filter(|&slot| {
            let slot = &self.slots[slot as usize];
            slot.set != index || slot.phase != Phase::Unclaimed
        });
        equal(
            format_args!("strays in {name}'s list of idle slots"),
            &strays.count(),
            &0,
        )?;
        equal(
            format_args!("readiness of {name}"),
            &self.choice.contains(index),
            &(idle > 0),
        )
    }

    /// A set's part in the deal.
    fn audit_part(&self, index: u32, set: &Set) -> Result<(), AuditError> {
        let name = &set.backend;
        let share = self.share(index);
        let room = set.slots.len() < self.policy.set_config.max_count;
        let sound = set.standing == Standing::Sound;
        let on_trial = self.on_trial.contains(&index);
        holds(
            !on_trial || (sound && !set.has_connected && share <= 1),
            || format!("{name} is on trial, with a share of {share}"),
        )?;
        equal(
            format_args!("{name} takes part untried"),
            &self.untried.contains(&index),
            &(sound && !set.has_connected && !on_trial),
        )?;
        let hungry = sound && set.live < share && room;
        equal(
            format_args!("{name} is hungry"),
            &self.hungry.contains(&index),
            &hungry,
        )?;
        let oversized = (sound || set.standing == Standing::Full) && set.live > share;
        equal(
            format_args!("{name} is oversized"),
            &self.oversized.contains(&index),
            &oversized,
        )
    }

    fn audit_slots(&self) -> Result<(), AuditError> {
        for (index, slot) in &self.slots {
            let set = &self.sets[slot.set as usize];
            let placed = set.slots.get(slot.place as usize) == Some(&(index as u32));
            holds(placed, || {
                format!("slot {index} is not where it should be in its set")
            })?;
            holds(
                !slot.expired || slot.phase == Phase::Claimed || !slot.phase.state().is_connected(),
                || {
                    format!(
                        "slot {index} is {:?}, though its connection is too old",
                        slot.phase
                    )
                },
            )?;
            if slot.holder == NONE {
                continue;
            }
            let holder = self.queue.at(slot.holder);
            let held = holder.is_some_and(|claim| match claim.stage {
                Stage::Granted(of) | Stage::Acquiring(of) => of == self.id(index as u32),
                Stage::Waiting => false,
            });
            holds(held && slot.phase == Phase::Claimed, || {
                format!(
                    "promise 2: slot {index} is {:?}, and its holder is not",
                    slot.phase
                )
            })?;
        }
        Ok(())
    }

    /// Each probed backend has its probe, or waits for its turn, or is never to be retried; and no other has either.
    fn audit_probes(&self) -> Result<(), AuditError> {
        equal("probes that wait", &self.resting.len(), &{
            let waits = |set: &Set| set.is_probed() && self.waits(set);
            self.count(|set| usize::from(waits(set)))
        })?;
        for (index, set) in &self.sets {
            let index = index as u32;
            let name = &set.backend;
            let on_trial = self.on_trial.contains(&index);
            let crowded =
                set.is_crowded() || (on_trial && set.has_surplus_connect(self.share(index)));
            equal(
                format_args!("crowd of {name}"),
                &self.crowded.contains(&index),
                &crowded,
            )?;
            let turn = set.due.instant().map(|at| (at, index));
            let queues = turn.is_some_and(|turn| self.turns.contains(&turn));
            let probes = self.probing.contains(&index);
            let rests = self.resting.contains(&(set.due, index));
            if !set.is_probed() {
                holds(!queues && !probes && !rests, || {
                    format!("{name} probes or waits, yet is not to be probed")
                })?;
                continue;
            }
            let slots = set.stats.connecting_slots;
            let room = set.slots.len() < self.policy.set_config.max_count;
            let waits = !probes && set.proving.is_none() && room && turn.is_some();
            equal(format_args!("{name} waits for its turn"), &queues, &waits)?;
            holds(!(queues && probes) && (slots > 0) == probes, || {
                format!("{name} probes and waits for its turn, or has slots and does not probe")
            })?;
            holds(rests == self.waits(set) && (!rests || slots == 1), || {
                format!("{name} has {slots} slots, one of which waits or should")
            })?;
            let failing = set.standing == Standing::Failing;
            holds(!failing || !set.is_online(), || {
                format!("{name} is failing, yet online")
            })?;
            let mut timers = set.slots.iter().map(|&slot| self.slot_timers.of(slot));
            holds(!rests || timers.any(|at| at == set.due.instant()), || {
                format!("{name} is to be probed at another time than its slot")
            })?;
        }
        Ok(())
    }

    fn waits(&self, set: &Set) -> bool {
        self.count_phase(set, Phase::BackingOff) > 0
    }

    fn audit_claims(&self) -> Result<(), AuditError> {
        holds(self.queue.is_sound(), || {
            String::from("a list of claims is broken")
        })?;
        let waiting = self.queue.in_order().count();
        equal("waiting claims", &self.queue.waiting(), &waiting)?;
        holds(waiting == 0 || self.counts.unclaimed_slots == 0, || {
            let idle = self.counts.unclaimed_slots;
            format!("promise 6: {waiting} claims wait while {idle} slots are idle")
        })?;
        let mut retried = self.queue.in_order().map(|claim| claim.ticket.retried);
        let sorted = retried
            .by_ref()
            .skip_while(|&retried| retried)
            .all(|retried| !retried);
        holds(sorted, || {
            String::from("promise 5: a newcomer waits before a retried claim")
        })?;
        for (id, claim) in self.queue.iter() {
            let (Stage::Granted(slot) | Stage::Acquiring(slot)) = claim.stage else {
                continue;
            };
            let held = self.slots.get(slot.index());
            let held = held.is_some_and(|entry| entry.holder == id.index);
            holds(held, || {
                format!("promise 2: {id:?} has {slot:?}, which does not know it")
            })?;
        }
        Ok(())
    }

    fn count(&self, of: impl Fn(&Set) -> usize) -> usize {
        self.sets.iter().map(|(_, set)| of(set)).sum()
    }

    fn count_phase(&self, set: &Set, phase: Phase) -> usize {
        let slots = set.slots.iter();
        slots
            .filter(|&&slot| self.slots[slot as usize].phase == phase)
            .count()
    }
}

fn holds(it: bool, what: impl FnOnce() -> String) -> Result<(), AuditError> {
    if it { Ok(()) } else { Err(AuditError(what())) }
}

/// `what` costs nothing unless they differ: audits are made by the thousand million.
fn equal<T: PartialEq + fmt::Debug>(
    what: impl fmt::Display,
    kept: &T,
    found: &T,
) -> Result<(), AuditError> {
    holds(kept == found, || {
        format!("{what}: kept as {kept:?}, found {found:?}")
    })
}
