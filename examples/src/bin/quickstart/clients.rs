//! Clients: each claims a connection, sends a line, checks that the same line comes back, and thinks for a
//! while.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use qorb_driver::pool::Pool;
use tokio::sync::mpsc;

use crate::connector::EchoConnection;
use crate::phase::{Phase, Stage};
use crate::runtime::Host;
use crate::servers::short_name;
use crate::tally::Tally;

/// What clients use, and where they count.
#[derive(Clone, Debug)]
pub(crate) struct World<H: Host> {
    pub(crate) pool: Pool<EchoConnection<H>, H>,
    pub(crate) stage: Arc<Stage>,
    pub(crate) tally: Arc<Mutex<Tally>>,
}

/// Sets `count` clients to work. Each ends when the pool does.
pub(crate) fn start<H: Host>(count: usize, seed: u64, world: &World<H>) -> Crowd {
    let (presence, crowd) = mpsc::channel(1);
    for number in 0..count {
        let pace = Pace(seed.wrapping_add(number as u64));
        let (world, presence) = (world.clone(), presence.clone());
        H::launch(async move {
            work(number, pace, world).await;
            drop(presence);
        });
    }
    Crowd(crowd)
}

/// All clients. Each holds a sender until it ends, and sends nothing.
#[derive(Debug)]
pub(crate) struct Crowd(mpsc::Receiver<()>);

impl Crowd {
    /// Waits until all have ended.
    pub(crate) async fn gone(&mut self) {
        while self.0.recv().await.is_some() {}
    }
}

/// One client's life.
async fn work<H: Host>(number: usize, mut pace: Pace, world: World<H>) {
    for turn in 0_u64.. {
        H::sleep(pace.think()).await;
        let line = format!("client {number}, line {turn}");
        if claim_once(&line, &world).await == Outcome::PoolEnded {
            break;
        }
    }
}

#[derive(PartialEq, Eq)]
enum Outcome {
    GoOn,
    PoolEnded,
}

/// One claim, from asking to giving back.
async fn claim_once<H: Host>(line: &str, world: &World<H>) -> Outcome {
    world.count(Tally::ask);
    let asked = Instant::now();
    let claimed = world.pool.claim().await;
    let wait = asked.elapsed();
    let phase = world.stage.present();
    let mut connection = match claimed {
        Ok(connection) => connection,
        Err(error) if error.is_terminated() && world.stage.coming() == Phase::End => {
            world.count(Tally::refuse_at_end);
            return Outcome::PoolEnded;
        }
        Err(error) => {
            world.count(|tally| tally.fail(phase, &error));
            let ended = error.is_terminated();
            return if ended {
                Outcome::PoolEnded
            } else {
                Outcome::GoOn
            };
        }
    };
    match connection.exchange(line).await {
        Ok(answer) if answer == line => {
            let server = connection.backend().name.clone();
            // Given back before it is counted: it is wanted elsewhere.
            drop(connection);
            world.count(|tally| tally.serve(phase, wait, short_name(&server)));
        }
        Ok(_) => {
            connection.discard();
            world.count(|tally| tally.garble(phase, wait));
        }
        // The server went away. The pool is told, so that nobody else gets this connection.
        Err(_) => {
            connection.discard();
            let phase = world.stage.coming();
            world.count(|tally| tally.break_off(phase, wait));
        }
    }
    Outcome::GoOn
}

impl<H: Host> World<H> {
    fn count(&self, count: impl FnOnce(&mut Tally)) {
        count(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// How long a client thinks: up to twice [`THINK`], drawn anew each time, and the same again for the same
/// seed.
struct Pace(u64);

impl Pace {
    fn think(&mut self) -> Duration {
        let part = self.next() >> 48;
        let most = u64::try_from(2 * THINK.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros((most * part) >> 16)
    }

    /// `SplitMix64`: small, and good enough to keep clients out of step.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }
}

/// How long a client thinks, on average.
const THINK: Duration = Duration::from_millis(4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinking_takes_four_milliseconds_on_average_and_follows_from_the_seed() {
        let thoughts = |seed| {
            let mut pace = Pace(seed);
            std::array::from_fn::<_, 1000, _>(|_| pace.think())
        };
        let mean = thoughts(7).iter().sum::<Duration>() / 1000;
        assert!(mean > THINK * 9 / 10 && mean < THINK * 11 / 10, "{mean:?}");
        assert!(thoughts(7).iter().all(|&it| it < 2 * THINK));
        assert_eq!(thoughts(7), thoughts(7));
        assert_ne!(thoughts(7), thoughts(8));
    }
}
