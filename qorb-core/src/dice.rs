//! The machine's only source of chance: seeded, so that a run can be had again, or scripted, so that a test can
//! choose.

use alloc::collections::VecDeque;
use core::time::Duration;

/// What the machine draws from. The same dice and the same inputs give the same outputs on every machine.
///
/// ```
/// use qorb_core::dice::Dice;
///
/// let mut one = Dice::seeded(7);
/// let mut two = Dice::seeded(7);
/// assert_eq!(one.below(1000), two.below(1000));
///
/// let mut fixed = Dice::scripted([3, 12]);
/// assert_eq!(fixed.below(10), 3);
/// assert_eq!(fixed.below(10), 2); // 12 modulo 10
/// assert_eq!(fixed.below(10), 0); // the script has run out
/// ```
#[derive(Clone, Debug)]
pub struct Dice(Source);

#[derive(Clone, Debug)]
enum Source {
    Seeded(Pcg),
    Scripted(VecDeque<u64>),
    #[cfg(feature = "sim")]
    Chosen(Chosen),
}

impl Dice {
    /// Dice whose draws follow from `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seeded(Pcg::new(seed)))
    }

    /// Dice that show `draws` in turn, each reduced to what is asked for, and zero once they have run out.
    pub fn scripted(draws: impl IntoIterator<Item = u64>) -> Self {
        Self(Source::Scripted(draws.into_iter().collect()))
    }

    /// As words, from which [`of_words`](Self::of_words) makes dice that go on in the same way.
    #[cfg(feature = "tape")]
    pub(crate) fn words(&self) -> alloc::string::String {
        match &self.0 {
            Source::Seeded(pcg) => alloc::format!("seeded {}", pcg.0),
            Source::Scripted(script) => {
                let draws: alloc::vec::Vec<_> =
                    script.iter().map(|it| alloc::format!(" {it}")).collect();
                alloc::format!("scripted{}", draws.concat())
            }
            // An exploration is repeated by its moves, not by a tape.
            #[cfg(feature = "sim")]
            Source::Chosen(_) => "chosen".into(),
        }
    }

    #[cfg(feature = "tape")]
    pub(crate) fn of_words(words: &str) -> Option<Self> {
        let mut words = words.split(' ');
        Some(Self(match words.next()? {
            "seeded" => Source::Seeded(Pcg(words.next()?.parse().ok()?)),
            "scripted" => Source::Scripted(words.map(|it| it.parse().ok()).collect::<Option<_>>()?),
            _ => return None,
        }))
    }

    /// Dice whose draws are [chosen](Self::choose), all zero at first.
    #[cfg(feature = "sim")]
    pub(crate) fn chosen(unit: Duration) -> Self {
        Self(Source::Chosen(Chosen::new(unit)))
    }

    /// The draws that follow are those of `choice`; the first choice is zero.
    #[cfg(feature = "sim")]
    pub(crate) fn choose(&mut self, choice: u8) {
        if let Source::Chosen(chosen) = &mut self.0 {
            *chosen = Chosen {
                rest: choice.into(),
                ..Chosen::new(chosen.unit)
            };
        }
    }

    /// The choice after the one that was made, if what was asked for since leaves another.
    #[cfg(feature = "sim")]
    pub(crate) fn next_choice(&self) -> Option<u8> {
        match &self.0 {
            Source::Chosen(chosen) => chosen.next.map(|next| next as u8),
            _ => None,
        }
    }

    /// Whether more was asked for since the last choice than there are choices for: draws that come to nothing else than zero.
    #[cfg(feature = "sim")]
    pub(crate) fn is_cut(&self) -> bool {
        matches!(&self.0, Source::Chosen(chosen) if chosen.cut)
    }

    /// A number below `bound`; zero if `bound` is zero.
    #[inline]
    pub fn below(&mut self, bound: u32) -> u32 {
        match &mut self.0 {
            // Multiply and shift (Lemire 2019). Its bias is below 2^-32 times the bound: none that could be seen.
            Source::Seeded(pcg) => {
                let wide = u64::from(pcg.next()) * u64::from(bound);
                (wide >> 32) as u32
            }
            Source::Scripted(_) if bound == 0 => 0,
            Source::Scripted(script) => (script.pop_front().unwrap_or(0) % u64::from(bound)) as u32,
            #[cfg(feature = "sim")]
            Source::Chosen(chosen) => chosen.draw(bound),
        }
    }

    /// A duration from zero up to and without `bound`; zero if `bound` is zero. To the nanosecond.
    pub fn within(&mut self, bound: Duration) -> Duration {
        let bound = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        if bound == 0 {
            return Duration::ZERO;
        }
        Duration::from_nanos(match &mut self.0 {
            Source::Seeded(pcg) => {
                let draw = u64::from(pcg.next()) << 32 | u64::from(pcg.next());
                ((u128::from(draw) * u128::from(bound)) >> 64) as u64
            }
            Source::Scripted(script) => script.pop_front().unwrap_or(0) % bound,
            #[cfg(feature = "sim")]
            Source::Chosen(chosen) => chosen.draw_time(bound),
        })
    }
}

/// One way of those in which draws may come: a number with a digit for each draw, the first one lowest, whose base is how
/// many values the draw may have. As it is used up, the next way is found: that in which the last draw that can be
/// greater is greater by one, and those after it are zero.
#[cfg(feature = "sim")]
#[derive(Clone, Debug)]
struct Chosen {
    /// Draws of durations are whole numbers of this.
    unit: Duration,
    /// There was no room for the digit of a draw.
    cut: bool,
    /// The digits of the draws that are to come.
    rest: u32,
    /// The value of the next digit.
    place: u32,
    /// The digits of the draws that were.
    drawn: u32,
    next: Option<u32>,
}

#[cfg(feature = "sim")]
impl Chosen {
    fn new(unit: Duration) -> Self {
        Self {
            unit,
            cut: false,
            rest: 0,
            place: 1,
            drawn: 0,
            next: None,
        }
    }

    fn draw(&mut self, values: u32) -> u32 {
        if values == 0 {
            return 0;
        }
        if self.place.saturating_mul(values) > MOST_CHOICES {
            self.cut = true;
            return 0;
        }
        let digit = self.rest % values;
        self.rest /= values;
        if digit + 1 < values {
            self.next = Some(self.drawn + (digit + 1) * self.place);
        }
        self.drawn += digit * self.place;
        self.place *= values;
        digit
    }

    /// As many units as there may be below `bound`: each number of them where those are few, or else none, the most, and
    /// what lies between them at equal distances.
    fn draw_time(&mut self, bound: u64) -> u64 {
        let unit = self.unit.as_nanos().max(1) as u64;
        let most = (bound - 1) / unit;
        let steps = most.min(MOST_TIMES - 1);
        let step = u64::from(self.draw(steps as u32 + 1));
        (u128::from(most) * u128::from(step) / u128::from(steps.max(1))) as u64 * unit
    }
}

/// A choice is kept in eight bits. Draws beyond those that they have room for are zero, and that is [told](Dice::is_cut).
#[cfg(feature = "sim")]
const MOST_CHOICES: u32 = 1 << 8;

/// So many durations may be drawn at once.
#[cfg(feature = "sim")]
const MOST_TIMES: u64 = 4;

/// PCG-XSH-RR 64/32 (O'Neill 2014): small, quick, the same everywhere. Not for secrets.
#[derive(Clone, Debug)]
struct Pcg(u64);

impl Pcg {
    fn new(seed: u64) -> Self {
        let mut pcg = Self(seed.wrapping_add(INCREMENT));
        pcg.next();
        pcg
    }

    #[inline]
    fn next(&mut self) -> u32 {
        let old = self.0;
        self.0 = old.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT);
        let shifted = (((old >> 18) ^ old) >> 27) as u32;
        shifted.rotate_right((old >> 59) as u32)
    }
}

const MULTIPLIER: u64 = 6_364_136_223_846_793_005;
const INCREMENT: u64 = 1_442_695_040_888_963_407;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn a_seed_gives_the_same_draws_for_ever() {
        let mut dice = Dice::seeded(42);
        let draws: Vec<u32> = (0..6).map(|_| dice.below(100)).collect();
        // Recorded once. A change here breaks the replay of every trace that anybody has kept.
        assert_eq!(draws, RECORDED);
    }

    #[test]
    fn draws_stay_below_their_bound_and_reach_all_of_it() {
        let mut dice = Dice::seeded(1);
        let mut seen = [0u32; 7];
        for _ in 0..7_000 {
            seen[dice.below(7) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (800..1200).contains(&n)), "{seen:?}");
        let bound = Duration::from_millis(20);
        assert!((0..1_000).all(|_| dice.within(bound) < bound));
    }

    #[test]
    fn no_bound_is_no_draw() {
        for mut dice in [Dice::seeded(9), Dice::scripted([5, 5])] {
            assert_eq!(dice.below(0), 0);
            assert_eq!(dice.within(Duration::ZERO), Duration::ZERO);
        }
    }

    #[cfg(feature = "sim")]
    #[test]
    fn each_way_in_which_draws_may_come_is_chosen_once() {
        let unit = Duration::from_millis(1);
        let mut dice = Dice::chosen(unit);
        let mut ways = Vec::new();
        let mut choice = Some(0);
        while let Some(this) = choice {
            dice.choose(this);
            let first = dice.below(3);
            // How much is asked for depends on what was drawn.
            let more: Vec<Duration> = (0..first).map(|_| dice.within(3 * unit)).collect();
            assert_eq!((dice.below(1), dice.within(unit)), (0, Duration::ZERO));
            ways.push((first, more));
            choice = dice.next_choice();
        }
        ways.sort();
        let times = || (0..3).map(|units| units * unit);
        let one = times().map(|time| (1, alloc::vec![time]));
        let two = times().flat_map(|time| times().map(move |more| (2, alloc::vec![time, more])));
        let none = core::iter::once((0, Vec::new()));
        let expected: Vec<(u32, Vec<Duration>)> = none.chain(one).chain(two).collect();
        assert_eq!(ways, expected);
        assert!(!dice.is_cut());
    }

    #[cfg(feature = "sim")]
    #[test]
    fn few_durations_are_chosen_each_and_many_from_end_to_end() {
        let unit = Duration::from_millis(1);
        let mut dice = Dice::chosen(unit);
        let mut chosen = |bound: Duration| {
            let (mut units, mut choice) = (Vec::new(), Some(0));
            while let Some(this) = choice {
                dice.choose(this);
                units.push(dice.within(bound).as_millis());
                choice = dice.next_choice();
            }
            units
        };
        assert_eq!(chosen(unit), [0]);
        assert_eq!(chosen(4 * unit), [0, 1, 2, 3]);
        assert_eq!(chosen(5 * unit), [0, 1, 2, 4]);
        assert_eq!(chosen(4 * unit + unit / 2), [0, 1, 2, 4]);
        assert_eq!(chosen(100 * unit), [0, 33, 66, 99]);
    }

    #[cfg(feature = "sim")]
    #[test]
    fn draws_that_there_is_no_room_for_are_told() {
        let mut dice = Dice::chosen(Duration::from_millis(1));
        dice.choose(255);
        assert_eq!((dice.below(16), dice.below(16)), (15, 15));
        assert!(!dice.is_cut());
        assert_eq!((dice.below(2), dice.is_cut()), (0, true));
        dice.choose(0);
        assert!(!dice.is_cut());
    }

    const RECORDED: [u32; 6] = [76, 41, 44, 26, 95, 40];
}
