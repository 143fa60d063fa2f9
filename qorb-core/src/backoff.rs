//! How long a failed slot waits before it tries again.

use core::time::Duration;

use crate::dice::Dice;
use crate::policy::SetConfig;

/// The wait after the `failures`-th failure in a row (from 1): the least, doubled with each further one up to the
/// greatest, and on top a spread that is drawn anew each time, so that slots which failed together do not come back
/// together.
pub(crate) fn delay(config: &SetConfig, failures: u16, dice: &mut Dice) -> Duration {
    let doublings = failures.saturating_sub(1).min(MOST_DOUBLINGS);
    let base = (0..doublings)
        .fold(config.min_connection_backoff, |wait, _| {
            wait.saturating_mul(2)
        })
        .min(config.max_connection_backoff);
    base.saturating_add(dice.within(config.spread))
}

/// After so many even a nanosecond is `Duration::MAX`.
const MOST_DOUBLINGS: u16 = 94;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn config() -> SetConfig {
        SetConfig {
            min_connection_backoff: 20 * MS,
            max_connection_backoff: 100 * MS,
            spread: 10 * MS,
            ..SetConfig::default()
        }
    }

    #[test]
    fn it_doubles_up_to_the_greatest() {
        let mut dice = Dice::scripted([]);
        let waits = [1, 2, 3, 4, 5, 65_535].map(|n| delay(&config(), n, &mut dice));
        assert_eq!(waits, [20, 40, 80, 100, 100, 100].map(|ms| ms * MS));
    }

    #[test]
    fn the_spread_is_drawn_at_each_retry() {
        let mut dice = Dice::scripted([1_000_000, 3_000_000, 9_000_000]);
        let waits = [1, 1, 4].map(|n| delay(&config(), n, &mut dice));
        assert_eq!(waits, [21, 23, 109].map(|ms| ms * MS));
    }

    /// Found by the fuzzer: a factor of 32 bits was too small.
    #[test]
    fn it_doubles_until_the_greatest_however_little_it_began_with() {
        let config = SetConfig {
            min_connection_backoff: Duration::from_nanos(1),
            max_connection_backoff: Duration::MAX,
            spread: Duration::ZERO,
            ..SetConfig::default()
        };
        let mut dice = Dice::scripted([]);
        let waits = [1, 34, 64, 95].map(|n| delay(&config, n, &mut dice));
        let doubled = |times: u32| Duration::from_nanos(1 << times);
        let expected = [doubled(0), doubled(33), doubled(63), Duration::MAX];
        assert_eq!(waits, expected);
    }

    #[test]
    fn never_is_no_panic() {
        let never = SetConfig {
            min_connection_backoff: Duration::MAX,
            max_connection_backoff: Duration::MAX,
            spread: Duration::MAX,
            ..SetConfig::default()
        };
        assert_eq!(delay(&never, 9, &mut Dice::seeded(0)), Duration::MAX);
    }
}
