//! The end of a connection, and of its slot: with a goodbye or without, and what for.

use super::Machine;
use crate::event::Observer;
use crate::io::Output;
use crate::set::Standing;
use crate::slot::Phase;
use crate::stats::Closing;
use crate::time::Instant;

impl Machine {
    /// Closes a connection that nobody uses, with a goodbye if the connector has one to say.
    pub(super) fn close(&mut self, now: Instant, index: u32, observer: &mut impl Observer) {
        let why = self.why(now, index);
        // Not all that it has lived through need have been noted: time may have passed in one go.
        self.prove_by_age(now, index);
        if !self.hooks.close {
            let slot = self.id(index);
            self.outputs.push_back(Output::Close { slot, job: None });
            let set = self.slots[index as usize].set;
            self.end(index, why, observer);
            self.hope(now, set, observer);
            return;
        }
        self.shift(index, Phase::Closing, observer);
        self.discount(index);
        self.closing += 1;
        self.slots[index as usize].why = why;
        let job = self.start_job(now, index, self.policy.set_config.health_check_timeout);
        let slot = job.slot;
        let job = Some(job);
        self.outputs.push_back(Output::Close { slot, job });
        self.take_stock(self.slots[index as usize].set);
    }

    /// Why a connection is closed that works: it is too old, or not wanted any more.
    pub(super) fn why(&self, now: Instant, index: u32) -> Closing {
        let set = self.slots[index as usize].set;
        if self.terminated {
            Closing::Terminated
        } else if self.sets[set as usize].standing == Standing::Draining {
            Closing::Removed
        } else if self.is_too_old(now, index) {
            Closing::Expired
        } else {
            Closing::Surplus
        }
    }

    pub(super) fn count_closed(&mut self, index: u32, why: Closing) {
        self.totals.closed += 1;
        self.closed.count(why);
        let set = self.slots[index as usize].set;
        let history = &mut self.sets[set as usize].history;
        history.past_mut().count_closed(why);
    }

    /// Ends a slot that has no connection any more, and may never have had one.
    pub(super) fn end(&mut self, index: u32, why: Closing, observer: &mut impl Observer) {
        if self.slots[index as usize].phase.state().is_connected() {
            self.count_closed(index, why);
        }
        self.shift(index, Phase::Closing, observer);
        self.discount(index);
        self.forget(index);
    }

    /// Ends a slot whose goodbye is over.
    pub(super) fn free(&mut self, now: Instant, index: u32, observer: &mut impl Observer) {
        self.closing -= 1;
        self.count_closed(index, self.slots[index as usize].why);
        let set = self.slots[index as usize].set;
        self.forget(index);
        self.hope(now, set, observer);
    }
}
