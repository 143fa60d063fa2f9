//! Whose turn it is to be asked, where there is more to ask than is asked at once.
//!
//! What a service needs first goes first: the names of its targets; then addresses of which some are known; then new ones; then those that
//! nobody could answer last time. Of the last, many may be dead, and each costs its whole time. Nobody waits for ever: each rank
//! has some turns of its own.

use alloc::collections::VecDeque;

use super::question::Question;

#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    /// By rank.
    waiting: [VecDeque<Question>; 4],
    asking: [usize; 4],
}

/// Before whom one comes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Rank {
    /// A service, or a host, itself. There are three at most, and they never wait.
    Root,
    /// An address is known.
    Known,
    /// None is.
    New,
    /// Nobody could answer.
    Failing,
}

impl Rank {
    const ALL: [Self; 4] = [Self::Root, Self::Known, Self::New, Self::Failing];
}

impl Turns {
    pub(super) fn wait(&mut self, rank: Rank, question: Question) {
        self.waiting[rank as usize].push_back(question);
    }

    /// Who may be asked now, and counts as being asked until [`end`](Self::end).
    pub(super) fn begin(&mut self) -> Option<(Rank, Question)> {
        for rank in Rank::ALL {
            if self.has_room(rank)
                && let Some(question) = self.waiting[rank as usize].pop_front()
            {
                self.asking[rank as usize] += 1;
                return Some((rank, question));
            }
        }
        None
    }

    fn has_room(&self, rank: Rank) -> bool {
        if rank == Rank::Root {
            return true;
        }
        let others = Rank::ALL.into_iter().skip(1);
        let asked: usize = others.clone().map(|it| self.asking[it as usize]).sum();
        let own = self.asking[rank as usize];
        // Each leaves room for those above it; and for those below, once it has some turns of its own.
        let before_it = |other: &Rank| *other < rank || own >= OF_ITS_OWN;
        let others = others.filter(before_it);
        let kept: usize = others.map(|other| self.kept_for(other, rank)).sum();
        let is_dead_weight = rank == Rank::Failing && own >= FAILING_AT_ONCE;
        asked + kept < LOOKUPS_AT_ONCE - ROOTS && !is_dead_weight
    }

    /// How many turns `rank` has to leave to another.
    fn kept_for(&self, other: Rank, rank: Rank) -> usize {
        // The living may come at any time.
        let may_come = other == Rank::Known || !self.waiting[other as usize].is_empty();
        if other == rank || !may_come {
            return 0;
        }
        OF_ITS_OWN.saturating_sub(self.asking[other as usize])
    }

    /// As `begin`, for what goes on at once.
    pub(super) fn go_on(&mut self, rank: Rank) {
        self.asking[rank as usize] += 1;
    }

    pub(super) fn end(&mut self, rank: Rank) {
        self.asking[rank as usize] -= 1;
    }

    /// Only those keep waiting.
    pub(super) fn keep(&mut self, wanted: impl Fn(&Question) -> bool) {
        for waiting in &mut self.waiting {
            waiting.retain(&wanted);
        }
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.iter().map(VecDeque::len).sum()
    }

    /// How many are being asked.
    #[cfg(test)]
    pub(super) fn asking(&self) -> usize {
        self.asking.iter().sum()
    }
}

/// How many questions are asked at once; the others wait their turn.
pub const LOOKUPS_AT_ONCE: usize = 16;

/// The two questions of a host, or the one of a service; and that for servers.
const ROOTS: usize = 3;
/// As many turns are kept for each rank in which somebody waits.
const OF_ITS_OWN: usize = 2;
/// More of the dead are not asked at once, whoever else waits.
const FAILING_AT_ONCE: usize = 6;
