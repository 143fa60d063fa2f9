//! Makes a script that fails shorter, as long as it fails.

use alloc::vec::Vec;
use core::time::Duration;

use super::script::{Client, Conduct, End, Habits, Happening, Hook, Script};
use crate::io::{Hooks, Patience};
use crate::policy::{Policy, SetConfig};

/// The shortest script that could be found which still `fails`, within so many tries.
///
/// `fails` is given scripts that are like `script` with something left out or made plainer. Nothing but it says what a
/// failure is: it may look for a certain promise, or for a panic.
pub fn shrink(script: &Script, tries: usize, mut fails: impl FnMut(&Script) -> bool) -> Script {
    let mut best = script.clone();
    let mut left = tries;
    let mut attempt = |candidate: Script, best: &mut Script| {
        if left == 0 || candidate == *best {
            return false;
        }
        left -= 1;
        let better = fails(&candidate);
        if better {
            *best = candidate;
        }
        better
    };
    loop {
        let before = best.clone();
        leave_out(&mut best, &mut attempt);
        for change in WHOLE {
            let mut candidate = best.clone();
            change(&mut candidate);
            attempt(candidate, &mut best);
        }
        for reset in RESETS {
            let mut policy = Policy::clone(&best.policy);
            reset(&mut policy);
            if let Ok(policy) = policy.check() {
                let candidate = Script {
                    policy,
                    ..best.clone()
                };
                attempt(candidate, &mut best);
            }
        }
        for at in 0..best.scenes.len() {
            for event in plainer(&best.scenes[at].event) {
                let mut candidate = best.clone();
                candidate.scenes[at].event = event;
                attempt(candidate, &mut best);
            }
        }
        if best == before {
            return best;
        }
    }
}

/// Leaves out scenes, many at first, and in the end one by one.
fn leave_out(best: &mut Script, attempt: &mut impl FnMut(Script, &mut Script) -> bool) {
    let mut size = best.scenes.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < best.scenes.len() {
            let mut candidate = best.clone();
            let end = (at + size).min(candidate.scenes.len());
            candidate.scenes.drain(at..end);
            if !attempt(candidate, best) {
                at += size;
            }
        }
        size /= 2;
    }
}

/// What can be made plainer about all of a script.
const WHOLE: [fn(&mut Script); 10] = [
    |it| it.habits = Habits::default(),
    |it| it.habits.lag = Duration::ZERO,
    |it| it.habits.dawdle = Duration::ZERO,
    |it| (it.habits.late, it.habits.twice) = (0, 0),
    |it| it.hooks = Hooks::NONE,
    |it| it.hooks.close = false,
    |it| it.hooks.is_valid = false,
    |it| it.hooks.on_acquire = false,
    |it| it.hooks.on_recycle = false,
    |it| it.healthy.clear(),
];

/// Each field of a policy as it is by default.
const RESETS: [fn(&mut Policy); 14] = [
    |it| it.spares_wanted = Policy::default().spares_wanted,
    |it| it.rebalance_interval = Policy::default().rebalance_interval,
    |it| it.claim_timeout = Policy::default().claim_timeout,
    |it| it.max_waiting = None,
    |it| it.codel = None,
    |it| it.leak_after = None,
    |it| it.timed = false,
    |it| it.set_config.max_count = SetConfig::default().max_count,
    |it| {
        it.set_config.min_connection_backoff = SetConfig::default().min_connection_backoff;
        it.set_config.max_connection_backoff = SetConfig::default().max_connection_backoff;
    },
    |it| it.set_config.spread = SetConfig::default().spread,
    |it| it.set_config.health_interval = SetConfig::default().health_interval,
    |it| it.set_config.health_check_timeout = SetConfig::default().health_check_timeout,
    |it| it.set_config.connect_timeout = SetConfig::default().connect_timeout,
    |it| it.set_config.max_lifetime = SetConfig::default().max_lifetime,
];

/// The event, with something about it plainer.
fn plainer(event: &Happening) -> Vec<Happening> {
    match event {
        Happening::Resolve(all) => without_one(all).map(Happening::Resolve).collect(),
        Happening::Sever(who) => without_one(who).map(Happening::Sever).collect(),
        Happening::Conduct(who, conduct) => {
            let fewer = without_one(who).map(|who| Happening::Conduct(who, *conduct));
            let plain = plainer_conducts(*conduct).map(|it| Happening::Conduct(who.clone(), it));
            fewer.chain(plain).collect()
        }
        Happening::Claim(client) => plainer_clients(*client).map(Happening::Claim).collect(),
        Happening::Policy(_) | Happening::Jump(_) | Happening::Back(_) | Happening::Terminate => {
            Vec::new()
        }
    }
}

fn without_one<T: Clone>(all: &[T]) -> impl Iterator<Item = Vec<T>> {
    (0..all.len()).map(|at| {
        let mut fewer = all.to_vec();
        fewer.remove(at);
        fewer
    })
}

fn plainer_conducts(it: Conduct) -> impl Iterator<Item = Conduct> {
    let well = Conduct::WELL;
    [
        Conduct { flaky: 0, ..it },
        Conduct { breaks: 0, ..it },
        Conduct { room: None, ..it },
        Conduct {
            silent: false,
            ..it
        },
        Conduct {
            delay: well.delay,
            ..it
        },
        Conduct {
            connects: well.connects,
            ..it
        },
    ]
    .into_iter()
}

fn plainer_clients(it: Client) -> impl Iterator<Item = Client> {
    [
        Client { quits: None, ..it },
        Client {
            end: End::Returns,
            ..it
        },
        Client {
            acquire: Hook::AT_ONCE,
            ..it
        },
        Client {
            recycle: Hook::AT_ONCE,
            ..it
        },
        Client {
            patience: Patience::Policy,
            ..it
        },
    ]
    .into_iter()
}
