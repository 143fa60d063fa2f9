//! The backends of a simulated world: what they say to connects, and what becomes of connections to them.

use alloc::collections::BTreeMap;
use core::time::Duration;

use super::script::{Answer, Conduct};
use crate::dice::Dice;
use crate::id::SlotId;

/// All backends, named by the resolver or not.
#[derive(Clone, Debug)]
pub(super) struct Backends {
    seed: u64,
    known: BTreeMap<u16, Backend>,
    connections: BTreeMap<SlotId, Connection>,
}

#[derive(Clone, Debug)]
struct Backend {
    conduct: Conduct,
    /// How often chance was asked. Each backend has a chance of its own, so that what happens to one does not depend on
    /// what is left out elsewhere.
    asked: u64,
    connections: u16,
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    backend: u16,
    broken: bool,
}

impl Backends {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            known: BTreeMap::new(),
            connections: BTreeMap::new(),
        }
    }

    fn get(&mut self, number: u16) -> &mut Backend {
        self.known.entry(number).or_insert(Backend {
            conduct: Conduct::WELL,
            asked: 0,
            connections: 0,
        })
    }

    pub(super) fn conduct(&mut self, number: u16) -> Conduct {
        self.get(number).conduct
    }

    pub(super) fn set_conduct(&mut self, number: u16, conduct: Conduct) {
        self.get(number).conduct = conduct;
    }

    /// Those that anything is known of.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u16> {
        self.known.keys().copied()
    }

    /// Chance, as this backend has it.
    fn chance(&mut self, number: u16) -> Dice {
        let seed = self.seed;
        let backend = self.get(number);
        backend.asked += 1;
        Dice::seeded(seed ^ (u64::from(number) << 40) ^ backend.asked.wrapping_mul(GOLDEN))
    }

    /// How long it takes to say something: from half its delay to one and a half.
    pub(super) fn takes(&mut self, number: u16) -> Duration {
        let delay = self.conduct(number).delay;
        delay / 2 + self.chance(number).within(delay)
    }

    /// What it says to a connect. One that it accepts is a connection.
    pub(super) fn connect(&mut self, number: u16, slot: SlotId) -> Answer {
        let conduct = self.conduct(number);
        let flaky = self.chance(number).below(100) < u32::from(conduct.flaky);
        let backend = self.get(number);
        let full = conduct.room.is_some_and(|room| backend.connections >= room);
        match conduct.connects {
            Answer::Yes if flaky || full => Answer::No,
            Answer::Yes => {
                backend.connections += 1;
                let connection = Connection {
                    backend: number,
                    broken: false,
                };
                self.connections.insert(slot, connection);
                Answer::Yes
            }
            answer => answer,
        }
    }

    /// The backend that the slot is connected to.
    pub(super) fn of(&self, slot: SlotId) -> Option<u16> {
        self.connections.get(&slot).map(|it| it.backend)
    }

    /// Whether nobody says anything on the connection.
    pub(super) fn is_silent(&mut self, slot: SlotId) -> bool {
        self.of(slot).is_some_and(|it| self.conduct(it).silent)
    }

    /// Whether the connection is of no use any more.
    pub(super) fn is_broken(&self, slot: SlotId) -> bool {
        self.connections.get(&slot).is_none_or(|it| it.broken)
    }

    /// The connection is used, and may break by that. Whether it has.
    pub(super) fn wear(&mut self, slot: SlotId) -> bool {
        let Some(number) = self.of(slot) else {
            return true;
        };
        let breaks = self.conduct(number).breaks;
        let breaks = breaks > 0 && self.chance(number).below(100) < u32::from(breaks);
        let connection = self.connections.get_mut(&slot);
        connection.is_none_or(|it| {
            it.broken |= breaks;
            it.broken
        })
    }

    /// The connection is of no use any more.
    pub(super) fn spoil(&mut self, slot: SlotId) {
        if let Some(connection) = self.connections.get_mut(&slot) {
            connection.broken = true;
        }
    }

    /// All connections to it break.
    pub(super) fn sever(&mut self, number: u16) {
        for connection in self.connections.values_mut() {
            connection.broken |= connection.backend == number;
        }
    }

    /// The connection is closed, or out of the pool for good.
    pub(super) fn close(&mut self, slot: SlotId) {
        if let Some(it) = self.connections.remove(&slot) {
            let backend = self.get(it.backend);
            backend.connections = backend.connections.saturating_sub(1);
        }
    }

    /// How many connections there are.
    pub(super) fn connections(&self) -> usize {
        self.connections.len()
    }
}

/// The golden ratio's fraction in 64 bits: neighbours become strangers.
pub(super) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
