//! A machine and the least owner it can have: one that does what it is told at once, in no time.

use core::net::SocketAddr;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use qorb_core::Machine;
use qorb_core::backend::{AllBackends, Backend};
use qorb_core::dice::Dice;
use qorb_core::io::{Handled, Hooks, Input, Output};
use qorb_core::policy::{CheckedPolicy, Policy, SetConfig};
use qorb_core::time::Instant;

/// A machine and its time.
pub struct World {
    pub(crate) machine: Machine,
    pub(crate) now: Instant,
    outputs: VecDeque<Output>,
}

/// Longer than anything is measured for.
pub(crate) const LONG: Duration = Duration::from_secs(1 << 30);

/// How often connections are checked, in worlds where they are.
pub(crate) const HEALTH_INTERVAL: Duration = Duration::from_secs(30);

/// As many slots as may be, on however few backends, and no tick of any clock unless asked for.
pub(crate) fn policy(slots: usize, spares: usize) -> Policy {
    Policy {
        spares_wanted: spares,
        max_slots: slots,
        rebalance_interval: LONG,
        claim_timeout: LONG,
        set_config: SetConfig {
            max_count: slots,
            health_interval: HEALTH_INTERVAL,
            ..SetConfig::default()
        },
        ..Policy::default()
    }
}

/// So many backends, each with an address of its own, from the `first`-th on.
pub fn backends(first: usize, count: usize) -> AllBackends {
    (first..first + count).map(backend).collect()
}

pub(crate) fn backend(number: usize) -> Backend {
    let [a, b, c, d] = u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
    Backend::new(SocketAddr::from(([10 + a, b, c, d], 5432)))
}

impl World {
    /// A machine that knows no backend.
    pub fn empty(policy: Policy, hooks: Hooks) -> Self {
        let now = Instant::EPOCH;
        let policy: CheckedPolicy = policy.clamp(|_| {});
        let machine = Machine::new(policy, hooks, Dice::seeded(1), now);
        let outputs = VecDeque::new();
        Self {
            machine,
            now,
            outputs,
        }
    }

    /// A machine with so many idle connections over so many backends.
    pub fn idle(slots: usize, over: usize, hooks: Hooks) -> Self {
        Self::under(policy(slots, slots), over, hooks)
    }

    /// A machine that has what it wants under that policy.
    pub(crate) fn under(policy: Policy, over: usize, hooks: Hooks) -> Self {
        let wanted = policy.spares_wanted;
        let mut world = Self::empty(policy, hooks);
        world.tell(Input::Backends(backends(0, over)));
        world.come_to_rest();
        assert_eq!(
            world.machine.connected(),
            wanted,
            "every slot has connected"
        );
        world
    }

    /// Does all that is to be done now, and succeeds in it.
    pub fn come_to_rest(&mut self) {
        loop {
            self.carry_out();
            if !self.machine.needs_time() {
                // What room they took is the owner's.
                self.outputs = VecDeque::new();
                return;
            }
            self.machine.handle_timeout(self.now, &mut ());
        }
    }

    fn carry_out(&mut self) {
        loop {
            // All of them, before anything else is said.
            while let Some(output) = self.machine.poll_output() {
                self.outputs.push_back(output);
            }
            let Some(output) = self.outputs.pop_front() else {
                return;
            };
            match output {
                Output::Connect { job, .. } => self.tell(Input::Connected(job)),
                Output::Check { job } => self.tell(Input::Checked(job)),
                Output::Close { job: Some(job), .. } => self.tell(Input::Closed(job)),
                Output::Close { job: None, .. }
                | Output::Abort { .. }
                | Output::Grant { .. }
                | Output::Refuse { .. } => {}
            }
        }
    }

    /// Says what is no news to nobody.
    #[inline]
    pub(crate) fn tell(&mut self, input: Input<'_>) {
        let handled = self.machine.handle(self.now, input, &mut ());
        assert_eq!(
            handled,
            Handled::Accepted,
            "everything that is told is true"
        );
    }

    /// Moves on to when something is due next.
    pub(crate) fn advance(&mut self) {
        if let Some((at, _)) = self.machine.poll_timeout() {
            self.now = self.now.max(at);
        }
        self.machine.handle_timeout(self.now, &mut ());
    }

    /// The next connect that is asked for, all else being carried out.
    pub(crate) fn next_connect(&mut self) -> qorb_core::id::JobId {
        loop {
            match self.machine.poll_output() {
                Some(Output::Connect { job, .. }) => return job,
                Some(_) => {}
                None => self.advance(),
            }
        }
    }
}

/// A set like `all` with another backend in place of the last.
pub(crate) fn with_another(all: &AllBackends, number: usize) -> AllBackends {
    let kept = all.len() - 1;
    let kept = all[..kept].iter().cloned();
    kept.chain([backend(number)]).collect::<Arc<[Backend]>>()
}
