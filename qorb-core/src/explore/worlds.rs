//! Small worlds, each with another part of what can happen.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::finding::Finding;
use super::life::Life;
use super::moves::{Move, Step};
use crate::backend::{AllBackends, Backend};
use crate::io::Hooks;
use crate::machine::canon::Bounds;
use crate::policy::{CheckedPolicy, CoDel, Policy, SetConfig};
use crate::sim::Canary;

/// How small a pool is, and what can happen around it.
#[derive(Clone, Debug)]
pub struct SmallWorld {
    /// What it is called.
    pub name: &'static str,
    /// The policies there can be; it begins with the first, which there must be.
    pub policies: Vec<CheckedPolicy>,
    /// Which hooks the connector has.
    pub hooks: Hooks,
    /// What the resolver can say.
    pub views: Vec<AllBackends>,
    /// How many clients there can be at once, which claim or hold a connection.
    pub clients: usize,
    /// What time goes by. The policies' durations should be small multiples of this; and as failures are forgotten in
    /// steps of ten seconds, it should be one of those.
    pub unit: Duration,
    /// What of all that can happen does.
    pub may: fn(Move) -> bool,
    /// What has happened before, each with no draws but zeros.
    pub opening: Vec<Move>,
    /// Whether it is also looked whether another client, who comes once faults have stopped, is served.
    pub visited: bool,
    /// A bug that is planted, to see that it is found.
    pub canary: Option<Canary>,
}

impl SmallWorld {
    /// Where it is explored from.
    pub(super) fn open(&self) -> Result<Life, Finding> {
        let steps: Vec<Step> = self.opening.iter().map(|&what| Step(what, 0)).collect();
        self.replay(&steps)?;
        Ok(self.opened())
    }

    /// The same, well or not.
    pub(super) fn opened(&self) -> Life {
        let mut life = self.begin();
        for &what in &self.opening {
            life.take(self, Step(what, 0));
        }
        life
    }

    pub(super) fn bounds(&self) -> Bounds {
        let backends = self.views.iter().flat_map(|view| view.iter());
        Bounds::new(&self.policies, backends, self.clients)
    }

    /// What the resolver says once all is well: the first of those that name most.
    pub(super) fn calm_view(&self) -> u8 {
        let views = self.views.iter().enumerate();
        let best = views.rev().max_by_key(|(_, view)| view.len());
        best.map_or(0, |(at, _)| at as u8)
    }
}

/// All that there are here.
pub fn all() -> Vec<SmallWorld> {
    vec![
        single(),
        turns(),
        queue(),
        pair(),
        full(),
        aged(),
        drawn(),
        shaken(),
        governed(),
        crowded(),
    ]
}

/// One backend, one slot, one client, with every hook and every fault. Small enough to be explored to its end.
pub fn single() -> SmallWorld {
    SmallWorld {
        name: "single",
        policies: vec![policy(|policy| policy.max_slots = 1)],
        views: views(&[&[], &["a"]]),
        clients: 1,
        ..full()
    }
}

/// Two backends that take turns at one slot.
pub fn turns() -> SmallWorld {
    SmallWorld {
        name: "turns",
        policies: vec![policy(|policy| policy.max_slots = 1)],
        hooks: Hooks::NONE,
        clients: 1,
        ..full()
    }
}

/// One backend, which stays, with two slots and three clients: who waits, prepares, gives up and is first; and a clock that
/// may go back.
pub fn queue() -> SmallWorld {
    SmallWorld {
        name: "queue",
        policies: vec![policy(|policy| policy.max_slots = 2)],
        hooks: Hooks {
            on_acquire: true,
            ..Hooks::NONE
        },
        views: views(&[&["a"]]),
        may: |_| true,
        opening: vec![Move::Name(0), Move::Well(0)],
        ..full()
    }
}

/// Two backends, two slots, two clients, no hooks.
pub fn pair() -> SmallWorld {
    SmallWorld {
        name: "pair",
        policies: vec![policy(|policy| policy.max_slots = 2)],
        hooks: Hooks::NONE,
        clients: 2,
        ..full()
    }
}

/// Two backends, three slots, three clients, every hook, and every fault but a clock that goes back, which others have.
pub fn full() -> SmallWorld {
    SmallWorld {
        name: "full",
        policies: vec![policy(|_| {})],
        hooks: Hooks::ALL,
        views: views(&[&[], &["a"], &["b"], &["a", "b"]]),
        clients: 3,
        unit: UNIT,
        may: |what| what != Move::Back,
        opening: Vec::new(),
        visited: true,
        canary: None,
    }
}

/// Connections that grow old in a pool that has all it wants.
pub fn aged() -> SmallWorld {
    let spares = |policy: &mut Policy| {
        policy.spares_wanted = 2;
        policy.set_config.max_lifetime = 9 * UNIT;
    };
    SmallWorld {
        name: "aged",
        policies: vec![policy(spares)],
        opening: vec![Move::Name(3), Move::Well(0), Move::Well(1)],
        ..full()
    }
}

/// Waits, checks and lives that are drawn.
pub fn drawn() -> SmallWorld {
    let spread = |policy: &mut Policy| {
        let set = &mut policy.set_config;
        set.spread = 2 * UNIT;
        set.health_interval = 16 * UNIT;
        set.max_lifetime = 32 * UNIT;
    };
    SmallWorld {
        name: "drawn",
        policies: vec![policy(spread)],
        ..full()
    }
}

/// Backends that change their weights and priorities, and a clock that may go back.
pub fn shaken() -> SmallWorld {
    let mut views = views(&[&["a"], &["a", "b"], &["a", "b"], &["a", "b"]]);
    let change = |view: &mut AllBackends, change: fn(&mut Backend)| {
        let mut backends = view.to_vec();
        change(&mut backends[1]);
        *view = backends.into();
    };
    change(&mut views[2], |b| b.weight = 3);
    change(&mut views[3], |b| b.priority = 1);
    SmallWorld {
        name: "shaken",
        policies: vec![policy(|policy| policy.spares_wanted = 3)],
        hooks: Hooks::NONE,
        views,
        may: |_| true,
        opening: vec![Move::Name(1)],
        ..full()
    }
}

/// An operator who changes his mind.
pub fn governed() -> SmallWorld {
    let strict = |policy: &mut Policy| {
        policy.max_slots = 1;
        policy.set_config.max_count = 1;
    };
    SmallWorld {
        name: "governed",
        policies: vec![policy(|policy| policy.spares_wanted = 2), policy(strict)],
        hooks: Hooks {
            close: true,
            ..Hooks::NONE
        },
        views: views(&[&["a"], &["a", "b"]]),
        opening: vec![Move::Name(1)],
        ..full()
    }
}

/// More clients than may wait, and those who wait long are shed.
pub fn crowded() -> SmallWorld {
    let codel = CoDel {
        target: UNIT,
        interval: UNIT,
    };
    let overload = |policy: &mut Policy| {
        policy.max_slots = 1;
        policy.max_waiting = Some(3);
        policy.codel = Some(codel);
        policy.claim_timeout = 6 * UNIT;
    };
    SmallWorld {
        name: "crowded",
        policies: vec![policy(overload)],
        hooks: Hooks {
            on_acquire: true,
            ..Hooks::NONE
        },
        views: views(&[&["a"]]),
        clients: 4,
        opening: vec![Move::Name(0), Move::Well(0)],
        ..full()
    }
}

fn views(names: &[&[&'static str]]) -> Vec<AllBackends> {
    let view = |names: &&[&str]| names.iter().map(|name| backend(name)).collect();
    names.iter().map(view).collect()
}

fn backend(name: &str) -> Backend {
    Backend::unix(name)
}

/// Three slots, one of them spare, and times that meet each other often.
fn policy(change: impl FnOnce(&mut Policy)) -> CheckedPolicy {
    let mut policy = Policy {
        spares_wanted: 1,
        max_slots: 3,
        rebalance_interval: 4 * UNIT,
        claim_timeout: 3 * UNIT,
        max_waiting: None,
        codel: None,
        leak_after: None,
        timed: false,
        set_config: SetConfig {
            max_count: 2,
            min_connection_backoff: UNIT,
            max_connection_backoff: 2 * UNIT,
            spread: Duration::ZERO,
            health_interval: 3 * UNIT,
            health_check_timeout: UNIT,
            connect_timeout: 2 * UNIT,
            max_lifetime: Duration::MAX,
        },
    };
    change(&mut policy);
    policy.check().expect("a policy that can be carried out")
}

/// A minute. Whatever failed a minute ago is forgotten: so the failures that claims choose by are those of the moment.
const UNIT: Duration = Duration::from_secs(60);
