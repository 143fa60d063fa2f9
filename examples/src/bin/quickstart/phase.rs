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
    /// A new server has come, and the first one has gone.
    Swapped,
    /// The pool is terminated.
    End,
}

impl Phase {
    /// All of them, in order.
    pub(crate) const ALL: [Self; 5] = [
        Self::AllUp,
        Self::OneDown,
        Self::BackAgain,
        Self::Swapped,
        Self::End,
    ];

    /// How many of them are given a share of the time. The end takes what it takes.
    pub(crate) const TIMED: u32 = 4;

    /// A name short enough for a table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::AllUp => "1 all up",
            Self::OneDown => "2 one down",
            Self::BackAgain => "3 back",
            Self::Swapped => "4 swapped",
            Self::End => "5 the end",
        }
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
}
