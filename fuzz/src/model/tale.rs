//! What the machine tells while it works, written down in order.

use std::sync::Arc;
use std::time::Duration;

use qorb_core::backend::Backend;
use qorb_core::event::{Event, Observer, Reason};
use qorb_core::io::Refusal;
use qorb_core::slot::State;

/// What happened, as far as the model hears of it. Slots and claims go by their numbers.
#[derive(Clone, Debug)]
pub(super) enum Tale {
    Shift {
        slot: u64,
        backend: Arc<Backend>,
        old: State,
        new: State,
    },
    Online {
        backend: Arc<Backend>,
        news: bool,
    },
    Offline(Arc<Backend>),
    ConnectStart {
        slot: u64,
        backend: Arc<Backend>,
    },
    ConnectDone(u64),
    ConnectFailed(u64, Why),
    CheckStart(u64),
    CheckFailed(u64, Why),
    RecycleFailed(u64, Why),
    ClaimStart(u64),
    Served {
        claim: u64,
        slot: u64,
    },
    ClaimFailed(u64, Refusal),
    Rebalance,
    Removed(Arc<Backend>),
    Added(Arc<Backend>),
}

/// A reason, without the words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Why {
    Timeout(Duration),
    Error,
    Unwanted,
}

impl From<Reason<'_>> for Why {
    fn from(reason: Reason<'_>) -> Self {
        match reason {
            Reason::Timeout(given) => Self::Timeout(given),
            Reason::Error(_) => Self::Error,
            Reason::Unwanted => Self::Unwanted,
        }
    }
}

/// An observer that writes down.
#[derive(Default, Debug)]
pub(super) struct Tales(pub(super) Vec<Tale>);

impl Observer for Tales {
    fn observe(&mut self, event: &Event<'_>) {
        self.0.push(match *event {
            Event::SlotStateChange {
                backend,
                slot,
                old,
                new,
                ..
            } => Tale::Shift {
                slot,
                backend: backend.clone(),
                old,
                new,
            },
            Event::SetOnline { backend, news, .. } => Tale::Online {
                backend: backend.clone(),
                news,
            },
            Event::SetOffline { backend, .. } => Tale::Offline(backend.clone()),
            Event::ConnectStart { slot, backend } => Tale::ConnectStart {
                slot,
                backend: backend.clone(),
            },
            Event::ConnectDone { slot, .. } => Tale::ConnectDone(slot),
            Event::ConnectFailed { slot, reason, .. } => Tale::ConnectFailed(slot, reason.into()),
            Event::CheckStart { slot, .. } => Tale::CheckStart(slot),
            Event::CheckFailed { slot, reason, .. } => Tale::CheckFailed(slot, reason.into()),
            Event::RecycleFailed { slot, reason, .. } => Tale::RecycleFailed(slot, reason.into()),
            Event::ClaimStart { claim } => Tale::ClaimStart(claim),
            Event::PoolClaimDone { claim, slot } => Tale::Served { claim, slot },
            Event::ClaimFailed { claim, refusal, .. } => Tale::ClaimFailed(claim, refusal),
            Event::RebalanceStart => Tale::Rebalance,
            Event::BackendRemoved { backend, .. } => Tale::Removed(backend.clone()),
            Event::BackendAdded { backend, .. } => Tale::Added(backend.clone()),
            _ => return,
        });
    }
}
