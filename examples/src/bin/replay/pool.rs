//! The tape of a pool.

use qorb_core::event::{Event, Observer};
use qorb_core::tape::{Replay, Step, TapeError};
use qorb_core::time::Instant;

impl<'a> super::Replay<'a> for Replay<'a> {
    fn step(&mut self) -> Option<(Result<Step<'a>, TapeError>, Vec<String>)> {
        let mut story = Story::default();
        let step = self.step(&mut story)?;
        Some((step, story.0))
    }

    fn waits_for(&self) -> Option<(Instant, String)> {
        let (at, why) = self.machine().poll_timeout()?;
        Some((at, format!("{why:?}")))
    }

    fn end(&self) -> String {
        let at = self.machine().stats();
        format!(
            "{} connections, {} in use, {} claims wait",
            at.slots.connected_slots(),
            at.slots.claimed_slots,
            at.waiting
        )
    }
}

/// What the machine told while it decided.
#[derive(Default)]
struct Story(Vec<String>);

impl Observer for Story {
    fn observe(&mut self, event: &Event<'_>) {
        self.0.extend(words(event));
    }
}

/// A slot's number within the pool.
fn slot(number: u64) -> u64 {
    number & ((1 << 48) - 1)
}

fn words(event: &Event<'_>) -> Option<String> {
    Some(match *event {
        Event::ClaimStart { claim } => format!("claim {claim} asks for a connection"),
        Event::PoolClaimFailed { claim } => format!("claim {claim} finds none that is idle"),
        Event::PoolClaimDone { claim, slot: it } => {
            format!("claim {claim} is given that of slot {}", slot(it))
        }
        Event::ClaimFailed { claim, refusal, .. } => {
            format!("claim {claim} is refused: {refusal:?}")
        }
        Event::ClaimAcquireFailed { claim, reason, .. } => {
            format!("preparing a connection for claim {claim} failed: {reason}")
        }
        Event::ConnectFailed {
            slot: it,
            backend,
            reason,
            ..
        } => format!(
            "slot {}: connecting to {backend} failed: {reason}",
            slot(it)
        ),
        Event::CheckFailed {
            slot: it, reason, ..
        } => {
            format!("slot {}: the check failed: {reason}", slot(it))
        }
        Event::RecycleFailed {
            slot: it, reason, ..
        } => {
            format!("slot {}: recycling failed: {reason}", slot(it))
        }
        Event::SlotStateChange {
            backend,
            slot: it,
            old,
            new,
            ..
        } => format!("slot {} of {backend}: {old} → {new}", slot(it)),
        Event::SetOnline {
            backend,
            news: true,
            ..
        } => format!("{backend} is online"),
        Event::SetOffline { backend, .. } => format!("{backend} has no connection any more"),
        Event::BackendAdded { backend, .. } => format!("{backend} ({}) has come", backend.name),
        Event::BackendRemoved { backend, .. } => format!("{backend} ({}) has gone", backend.name),
        Event::BackendRepeated { backend } => format!("{backend} is named twice"),
        Event::LeakSuspected {
            slot: it,
            backend,
            held,
            ..
        } => format!("slot {} of {backend} has been held for {held:?}", slot(it)),
        Event::LeakReturned { slot: it, held, .. } => {
            format!("slot {} is back, after {held:?}", slot(it))
        }
        Event::RebalanceStart => "slots are spread anew".to_owned(),
        Event::Terminated => "the pool ends".to_owned(),
        _ => return None,
    })
}
