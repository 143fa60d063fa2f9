//! Draws a life from a seed: first what kind of life, then what happens in it.
//!
//! The kind comes first (swarm testing): which faults there are at all and how often, how long things take, how many clients
//! come and what they are like. If every life had a little of everything, no life would have much of anything, and some
//! bugs want much of one thing and nothing of another that would heal it.

use alloc::vec::Vec;
use core::time::Duration;

use super::script::{Answer, Client, Conduct, End, Habits, Happening, Hook, Named, Scene, Script};
use crate::dice::Dice;
use crate::io::{Hooks, Patience};
use crate::policy::{CheckedPolicy, CoDel, Policy, SetConfig};

/// How large a world is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Size {
    /// Up to 8 slots on up to 5 backends: small enough for everything to get into everything's way.
    #[default]
    Small,
    /// More than 500 and up to 1,000 slots on up to 200 backends.
    Large,
}

/// The script that follows from `seed`.
pub fn draw(seed: u64, size: Size) -> Script {
    let mut dice = Dice::seeded(seed);
    let kind = Kind::draw(&mut dice, size);
    let mut script = Script {
        seed,
        hooks: draw_hooks(&mut dice),
        policy: draw_policy(&mut dice, size),
        habits: kind.habits(&mut dice),
        scenes: Vec::new(),
        healthy: Vec::new(),
    };
    let mut drawing = Drawing {
        scenes: Vec::new(),
        kind,
        dice,
    };
    drawing.resolver();
    drawing.conducts();
    drawing.clients();
    drawing.owner(&script.policy, size);
    if drawing.one_in(4) {
        script.healthy = drawing.some_backends();
    }
    script.scenes = drawing.scenes;
    script.scenes.sort_by_key(|scene| scene.at);
    script
}

/// What kind of life it is.
#[derive(Debug)]
struct Kind {
    length: Duration,
    backends: u16,
    /// How long backends take when they are well.
    delay: Duration,
    /// Which of the ways to go wrong there are, one bit each.
    faults: u32,
    /// How often each of them is.
    often: u32,
    /// Clients come so far apart, hold so long, and are so many at most.
    apart: Duration,
    hold: Duration,
    clients: usize,
    /// What clients do besides claiming and returning, one bit each; and one in how many.
    habits: u32,
    odd: u32,
}

impl Kind {
    fn draw(dice: &mut Dice, size: Size) -> Self {
        let large = size == Size::Large;
        Self {
            length: scaled(dice, ms(50), 6),
            backends: if large {
                5 + dice.below(196) as u16
            } else {
                1 + dice.below(5) as u16
            },
            delay: scaled(dice, Duration::from_micros(100), 6),
            faults: dice.below(1 << 16) & dice.below(1 << 16),
            often: 1 + dice.below(6),
            apart: scaled(dice, Duration::from_micros(if large { 10 } else { 100 }), 7),
            hold: scaled(dice, Duration::from_micros(100), 9),
            clients: if large {
                3_000
            } else {
                20 + dice.below(600) as usize
            },
            habits: dice.below(1 << 8) & dice.below(1 << 8),
            odd: 1 + dice.below(10),
        }
    }

    /// How the machine's owner behaves.
    fn habits(&self, dice: &mut Dice) -> Habits {
        let mut percent = |bit: u32, most: u32| {
            let some = self.faults & 1 << bit != 0;
            if some { 1 + dice.below(most) as u8 } else { 0 }
        };
        let (late, twice) = (percent(12, 60), percent(13, 60));
        let mut time = |bit: u32| {
            let some = self.faults & 1 << bit != 0;
            if some {
                scaled(dice, Duration::from_micros(100), 6)
            } else {
                Duration::ZERO
            }
        };
        Habits {
            late,
            twice,
            lag: time(14),
            dawdle: time(15),
        }
    }
}

/// A script that is being drawn.
struct Drawing {
    scenes: Vec<Scene>,
    kind: Kind,
    dice: Dice,
}

impl Drawing {
    fn has(&self, fault: u32) -> bool {
        self.kind.faults & 1 << fault != 0
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.dice.below(n) == 0
    }

    fn moment(&mut self) -> Duration {
        self.dice.within(self.kind.length)
    }

    fn put(&mut self, at: Duration, event: Happening) {
        self.scenes.push(Scene { at, event });
    }

    /// At least one.
    fn some_backends(&mut self) -> Vec<u16> {
        let bits =
            u64::from(self.dice.below(u32::MAX)) << 32 | u64::from(self.dice.below(u32::MAX));
        let all = 0..self.kind.backends;
        let some: Vec<u16> = all
            .filter(|it| bits.rotate_right(u32::from(*it)) & 1 == 1)
            .collect();
        if some.is_empty() {
            return alloc::vec![self.one_backend()];
        }
        some
    }

    fn one_backend(&mut self) -> u16 {
        self.dice.below(u32::from(self.kind.backends)) as u16
    }

    /// What the resolver says: everything at first, or after a while, and other things later.
    fn resolver(&mut self) {
        let weighted = self.one_in(2);
        let all: Vec<u16> = (0..self.kind.backends).collect();
        let first = if self.one_in(4) {
            ms(3)
        } else {
            Duration::ZERO
        };
        let named = self.named(&all, weighted);
        self.put(first, Happening::Resolve(named));
        if !self.has(0) {
            return;
        }
        for _ in 0..self.kind.often {
            let some = self.some_backends();
            let empty = self.one_in(8);
            let named = self.named(if empty { &[] } else { &some }, weighted);
            let at = self.moment();
            self.put(at, Happening::Resolve(named));
            // What is gone is back in a moment, now and then.
            if self.one_in(2) {
                let named = self.named(&all, weighted);
                let soon = self.dice.within(ms(20));
                self.put(at + soon, Happening::Resolve(named));
            }
        }
    }

    fn named(&mut self, numbers: &[u16], weighted: bool) -> Vec<Named> {
        let named = numbers.iter().map(|&number| {
            let mut named = Named::plain(number);
            if weighted {
                named.weight = self.dice.below(5) as u16;
                named.priority = self.dice.below(3) as u16;
            }
            named
        });
        named.collect()
    }

    /// How backends behave: each way of going wrong that this life has, some times, and then well again.
    fn conducts(&mut self) {
        let well = self.well();
        let all = (0..self.kind.backends).collect();
        self.put(Duration::ZERO, Happening::Conduct(all, well));
        for fault in 1..10 {
            if !self.has(fault) {
                continue;
            }
            for _ in 0..self.kind.often {
                let at = self.moment();
                let one = alloc::vec![self.one_backend()];
                // A whole zone at once, now and then.
                let who = if self.one_in(3) {
                    self.some_backends()
                } else {
                    one
                };
                self.go_wrong(fault, at, who);
            }
        }
    }

    fn well(&self) -> Conduct {
        Conduct {
            delay: self.kind.delay,
            ..Conduct::WELL
        }
    }

    fn go_wrong(&mut self, fault: u32, at: Duration, who: Vec<u16>) {
        let well = self.well();
        let mut bad = well;
        match fault {
            1 => bad.connects = Answer::No,
            2 => bad.connects = Answer::Never,
            3 => bad.delay = scaled(&mut self.dice, ms(10), 5),
            4 => bad.room = Some(self.dice.below(4) as u16),
            5 => bad.flaky = 10 + self.dice.below(90) as u8,
            6 => bad.breaks = 5 + self.dice.below(95) as u8,
            7 => bad.silent = true,
            8 => return self.flap(at, &who),
            _ => return self.die_slowly(at, &who),
        }
        if matches!(fault, 1 | 2) && self.one_in(2) {
            self.put(at, Happening::Sever(who.clone()));
        }
        self.put(at, Happening::Conduct(who.clone(), bad));
        if !self.one_in(4) {
            let later = at + self.dice.within(self.kind.length / 2);
            self.put(later, Happening::Conduct(who, well));
        }
    }

    /// Dead and well by turns.
    fn flap(&mut self, at: Duration, who: &[u16]) {
        let (well, period) = (self.well(), scaled(&mut self.dice, ms(1), 5));
        let dead = Conduct {
            connects: Answer::No,
            ..well
        };
        let mut at = at;
        for _ in 0..2 + self.dice.below(6) {
            self.put(at, Happening::Conduct(who.to_vec(), dead));
            if self.one_in(2) {
                self.put(at, Happening::Sever(who.to_vec()));
            }
            self.put(at + period / 2, Happening::Conduct(who.to_vec(), well));
            at += period;
        }
    }

    /// Slower and slower, until nothing is said any more.
    fn die_slowly(&mut self, at: Duration, who: &[u16]) {
        let well = self.well();
        let step = scaled(&mut self.dice, ms(1), 5);
        let mut at = at;
        for doubled in 1..8 {
            let slow = Conduct {
                delay: well.delay * (1 << doubled),
                ..well
            };
            self.put(at, Happening::Conduct(who.to_vec(), slow));
            at += step;
        }
        let dead = Conduct {
            connects: Answer::Never,
            silent: true,
            ..well
        };
        self.put(at, Happening::Conduct(who.to_vec(), dead));
        if self.one_in(2) {
            let later = at + self.dice.within(self.kind.length);
            self.put(later, Happening::Conduct(who.to_vec(), well));
        }
    }

    /// Clients come one by one, or in bursts.
    fn clients(&mut self) {
        let bursts = self.one_in(3);
        let mut at = Duration::ZERO;
        for n in 0..self.kind.clients {
            if at > self.kind.length {
                break;
            }
            let client = self.client();
            self.put(at, Happening::Claim(client));
            let pause = self.dice.within(self.kind.apart * 2);
            if !bursts {
                at += pause;
            } else if n % 16 == 15 {
                at += pause * 16;
            }
        }
    }

    fn client(&mut self) -> Client {
        // Most are brief, and a few stay for long.
        let hold = match self.dice.below(16) {
            0 => self.kind.hold * 8,
            _ => self.kind.hold,
        };
        let mut client = Client::holding(self.dice.within(hold));
        if !self.one_in(self.kind.odd) {
            return client;
        }
        let odd = |bit: u32| self.kind.habits & 1 << bit != 0;
        let odd: [bool; 8] = core::array::from_fn(|bit| odd(bit as u32));
        match self.dice.below(8) {
            0 if odd[0] => client.end = End::Breaks,
            1 if odd[1] => client.end = End::Detaches,
            2 if odd[2] => client.end = End::Keeps,
            3 if odd[3] => client.quits = Some(self.dice.within(ms(20))),
            4 if odd[4] => client.patience = Patience::AtOnce,
            5 if odd[5] => client.patience = Patience::Within(self.dice.within(ms(40))),
            6 if odd[6] => client.acquire = self.hook(),
            7 if odd[7] => client.recycle = self.hook(),
            _ => {}
        }
        client
    }

    fn hook(&mut self) -> Hook {
        let waits = self.one_in(2);
        Hook {
            takes: waits.then(|| scaled(&mut self.dice, Duration::from_micros(100), 7)),
            fails: if self.one_in(2) { 50 } else { 0 },
        }
    }

    /// What the pool's owner and its machine do.
    fn owner(&mut self, policy: &Policy, size: Size) {
        if self.has(10) {
            for _ in 0..self.kind.often {
                let mut other = draw_policy(&mut self.dice, size);
                if self.one_in(2) {
                    other = caps_of(policy, &other);
                }
                let at = self.moment();
                self.put(at, Happening::Policy(other));
            }
        }
        if self.has(11) {
            for _ in 0..self.kind.often {
                let (at, by) = (self.moment(), scaled(&mut self.dice, ms(1), 8));
                let event = if self.one_in(2) {
                    Happening::Back(by)
                } else {
                    Happening::Jump(by)
                };
                self.put(at, event);
            }
        }
        if self.one_in(16) {
            let at = self.moment();
            self.put(at, Happening::Terminate);
        }
    }
}

/// The one policy, with the caps of the other.
fn caps_of(policy: &Policy, caps: &Policy) -> CheckedPolicy {
    let mut policy = policy.clone();
    policy.max_slots = caps.max_slots;
    policy.spares_wanted = caps.spares_wanted;
    policy.set_config.max_count = caps.set_config.max_count;
    let leak_after = draw_leak_after(&policy);
    let policy = Policy {
        leak_after,
        timed: policy.spares_wanted & 1 == 0,
        ..policy
    };
    policy.clamp(|_| {})
}

/// It follows from what was drawn before, so that it leaves what is drawn after that as it was.
fn draw_leak_after(policy: &Policy) -> Option<Duration> {
    let mut dice = Dice::seeded(policy.claim_timeout.as_nanos() as u64);
    (dice.below(4) == 0).then(|| scaled(&mut dice, ms(1), 8))
}

fn draw_hooks(dice: &mut Dice) -> Hooks {
    let bits = dice.below(16);
    Hooks {
        is_valid: bits & 1 != 0,
        on_acquire: bits & 2 != 0,
        on_recycle: bits & 4 != 0,
        close: bits & 8 != 0,
    }
}

fn draw_policy(dice: &mut Dice, size: Size) -> CheckedPolicy {
    let large = size == Size::Large;
    // Where many slots are looked after for as many ticks as there are backends, that must not be all that happens.
    let (slots, tick, rest) = if large { (1_000, 3, 32) } else { (8, 7, 1) };
    let few = if large { slots / 2 } else { 0 };
    let count = |dice: &mut Dice, most: usize| 1 + dice.below(most as u32) as usize;
    let least = scaled(dice, ms(1), 5);
    let policy = Policy {
        max_slots: few + count(dice, slots - few),
        spares_wanted: count(dice, slots + 2) - 1,
        rebalance_interval: scaled(dice, ms(20), tick),
        claim_timeout: scaled(dice, ms(1), 10),
        max_waiting: (dice.below(4) == 0).then(|| dice.below(8) as usize),
        codel: (dice.below(6) == 0).then(|| CoDel {
            target: scaled(dice, ms(1), 4),
            interval: scaled(dice, ms(5), 4),
        }),
        leak_after: None,
        timed: false,
        set_config: SetConfig {
            max_count: count(dice, slots),
            min_connection_backoff: least,
            max_connection_backoff: least * (1 << dice.below(7)),
            spread: dice.within(ms(20)),
            health_interval: scaled(dice, ms(5 * rest), 6),
            health_check_timeout: scaled(dice, ms(1), 6),
            connect_timeout: scaled(dice, ms(2), 6),
            max_lifetime: if dice.below(3) == 0 {
                scaled(dice, ms(20 * rest), 6)
            } else {
                Duration::MAX
            },
        },
    };
    policy.clamp(|_| {})
}

/// From `least` up to so many times its double, each order of magnitude as likely as the other.
fn scaled(dice: &mut Dice, least: Duration, doublings: u32) -> Duration {
    let octave = least * (1 << dice.below(doublings));
    octave + dice.within(octave)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
