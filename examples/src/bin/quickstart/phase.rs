//! The parts of the run, and which one is on.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A part of the run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// All servers work.
    AllUp,
    /// The second server is stopped.
    OneDown,
    /// It works again.
    BackAgain,
    /// There is no DNS.
    NoDns,
    /// A new server has come, and the first one has gone.
    Swapped,
    /// The pool is terminated.
    End,
}

impl Phase {
    /// All of them, in order.
    pub(crate) const ALL: [Self; 6] = [
        Self::AllUp,
        Self::OneDown,
        Self::BackAgain,
        Self::NoDns,
        Self::Swapped,
        Self::End,
    ];

    /// Those that there are where DNS cannot be taken away.
    pub(crate) const WITHOUT_DNS: [Self; 5] = [
        Self::AllUp,
        Self::OneDown,
        Self::BackAgain,
        Self::Swapped,
        Self::End,
    ];

    /// A name short enough for a table, after its number among those that are `played`.
    pub(crate) fn title(self, played: &[Self]) -> String {
        let before = played.iter().take_while(|&&it| it != self).count();
        let name = match self {
            Self::AllUp => "all up",
            Self::OneDown => "one down",
            Self::BackAgain => "back",
            Self::NoDns => "no DNS",
            Self::Swapped => "swapped",
            Self::End => "the end",
        };
        format!("{} {name}", before + 1)
    }
}

/// Which phase is on. Shared by those who change it and those who count by it.
///
/// To go from one phase to the next may take a moment, in which a server stops, say. A claim belongs to the
/// phase that is on when it is granted or refused, and a connection that breaks to the phase whose beginning
/// broke it.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    present: AtomicUsize,
    coming: AtomicUsize,
}

impl Stage {
    /// The phase that is on, until the next one has begun.
    pub(crate) fn present(&self) -> Phase {
        Phase::ALL[self.present.load(Ordering::Acquire)]
    }

    /// The phase that is on or, between two, the next one.
    pub(crate) fn coming(&self) -> Phase {
        Phase::ALL[self.coming.load(Ordering::Acquire)]
    }

    /// What leads to `phase` is about to be done.
    pub(crate) fn prepare(&self, phase: Phase) {
        self.coming.store(phase as usize, Ordering::Release);
    }

    /// It is done: the phase that was prepared is on.
    pub(crate) fn begin(&self) {
        self.present
            .store(self.coming() as usize, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_two_phases_both_are_known() {
        let stage = Stage::default();
        stage.prepare(Phase::OneDown);
        assert_eq!(
            (stage.present(), stage.coming()),
            (Phase::AllUp, Phase::OneDown)
        );
        stage.begin();
        assert_eq!(
            (stage.present(), stage.coming()),
            (Phase::OneDown, Phase::OneDown)
        );
    }

    #[test]
    fn each_phase_is_found_at_its_number() {
        for (number, phase) in Phase::ALL.into_iter().enumerate() {
            assert_eq!(phase as usize, number);
        }
    }

    #[test]
    fn phases_are_numbered_as_they_are_played() {
        for (played, last) in [
            (&Phase::ALL[..], "6 the end"),
            (&Phase::WITHOUT_DNS[..], "5 the end"),
        ] {
            assert_eq!(Phase::AllUp.title(played), "1 all up");
            assert_eq!(Phase::End.title(played), last);
        }
    }
}
