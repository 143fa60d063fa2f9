//! Open connections by state.

use ::metrics::{Gauge, Label, gauge};
use qorb_core::slot::State;

use super::names;

/// Those of a pool, or of a backend.
pub(super) struct Connections {
    idle: Gauge,
    used: Gauge,
}

impl Connections {
    pub(super) fn new(name: &'static str, labels: &[Label]) -> Self {
        let gauge = |state| {
            let state = Label::from_static_parts(names::STATE, state);
            gauge!(name, [labels, &[state]].concat())
        };
        Self {
            idle: gauge(names::IDLE),
            used: gauge(names::USED),
        }
    }

    /// A slot has gone from one state to another. Gives whether that is a change here.
    pub(super) fn change(&self, old: State, new: State) -> bool {
        let (old, new) = (Place::of(old), Place::of(new));
        if old == new {
            return false;
        }
        self.at(old).inspect(|gauge| gauge.decrement(1));
        self.at(new).inspect(|gauge| gauge.increment(1));
        true
    }

    fn at(&self, place: Place) -> Option<&Gauge> {
        match place {
            Place::Nowhere => None,
            Place::Idle => Some(&self.idle),
            Place::Used => Some(&self.used),
        }
    }
}

/// Where a slot's connection is, as far as metrics tell it apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Nowhere,
    Idle,
    Used,
}

impl Place {
    fn of(state: State) -> Self {
        match state {
            State::Connecting | State::Terminated => Self::Nowhere,
            State::ConnectedUnclaimed => Self::Idle,
            State::ConnectedClaimed | State::ConnectedChecking | State::ConnectedRecycling => {
                Self::Used
            }
        }
    }
}
