//! Whose turn it is to be asked, where there is more to ask than is asked at once.
//!
//! What a service needs first goes first: the names of its targets; then addresses of which some are known; then those of which
//! none are. Of the last, many may be dead, and each costs its whole time.

use alloc::collections::VecDeque;

use super::question::Question;

#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    /// By rank.
    waiting: [VecDeque<Question>; 3],
    asking: [usize; 3],
}

/// Before whom one comes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Rank {
    /// A service, or a host, itself. There are three at most, and they never wait.
    Root,
    /// An address is known.
    Known,
    /// None is.
    Unknown,
}

impl Turns {
    pub(super) fn wait(&mut self, rank: Rank, question: Question) {
        self.waiting[rank as usize].push_back(question);
    }

    /// Who may be asked now, and counts as being asked until [`end`](Self::end).
    pub(super) fn begin(&mut self) -> Option<(Rank, Question)> {
        for rank in [Rank::Root, Rank::Known, Rank::Unknown] {
            let [_, known, unknown] = self.asking;
            let has_room = match rank {
                Rank::Root => true,
                Rank::Known => known + unknown < LOOKUPS_AT_ONCE - ROOTS,
                Rank::Unknown => {
                    unknown < UNKNOWN_AT_ONCE && known + unknown < LOOKUPS_AT_ONCE - ROOTS
                }
            };
            if has_room && let Some(question) = self.waiting[rank as usize].pop_front() {
                self.asking[rank as usize] += 1;
                return Some((rank, question));
            }
        }
        None
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
/// So that the dead cannot keep out the living.
const UNKNOWN_AT_ONCE: usize = 8;
