//! The probes: provider `qorb`, for `dtrace`, `bpftrace` and their like. Names and arguments are a contract.
//!
//! While nobody traces, a probe is a test and a branch: arguments are made in a closure that only runs when somebody does.

#![allow(
    unsafe_code,
    clippy::cast_possible_truncation,
    reason = "the macros that usdt makes are assembly; nothing else here is unsafe or casts"
)]
#![allow(
    clippy::inline_always,
    reason = "which event it is, is known where it happens; inlined, a probe that nobody traces is its test and nothing else"
)]

use qorb_core::event::Event;

use crate::seat::Seat;

/// Makes the probes known to the operating system's tracer. May be called again.
pub(crate) fn register() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    usdt::register_probes().map_err(Into::into)
}

/// Whoever tells of events, and knows the pool's name. A reference to it is all that a probe takes along, for whatever else were looked up
/// would be before it is known whether it is needed.
pub(crate) trait Teller {
    /// The pool's name.
    fn name(&self) -> &str;

    /// The claim's number, made unique in the process.
    fn unique(&self, claim: u64) -> u64;
}

/// Fires the probe that belongs to `event`, if there is one; but for those of handles, which have a function each.
#[inline(always)]
pub(crate) fn fire<T: Teller>(teller: &T, event: &Event<'_>) {
    match *event {
        Event::ClaimStart { .. } | Event::ClaimAcquireFailed { .. } | Event::ClaimFailed { .. } => {
            fire_claim(teller, event);
        }
        Event::PoolClaimStart { .. }
        | Event::PoolClaimDone { .. }
        | Event::PoolClaimFailed { .. } => fire_pool_claim(teller, event),
        Event::SetClaimStart { .. } | Event::SetClaimDone { .. } | Event::SetClaimFailed { .. } => {
            fire_set_claim(teller, event);
        }
        Event::ConnectStart { .. } | Event::ConnectDone { .. } | Event::ConnectFailed { .. } => {
            fire_connect(teller, event);
        }
        Event::SetOnline { .. } | Event::SetOffline { .. } | Event::SlotStateChange { .. } => {
            fire_set(teller, event);
        }
        Event::CheckStart { .. } | Event::CheckDone { .. } | Event::CheckFailed { .. } => {
            fire_check(teller, event);
        }
        Event::RecycleStart { .. } | Event::RecycleDone { .. } | Event::RecycleFailed { .. } => {
            fire_recycle(teller, event);
        }
        Event::RebalanceStart => probes::rebalance__start!(|| seldom(move || teller.name())),
        Event::RebalanceDone => probes::rebalance__done!(|| seldom(move || teller.name())),
        _ => {}
    }
}

/// Makes a probe's arguments, which is seldom: the optimiser is to keep that out of the way. Whatever they are made of is moved into the closure,
/// since a variable that is lent has to lie in memory, and would be put there before anybody knows whether it is needed.
#[cold]
#[inline(never)]
fn seldom<T>(arguments: impl FnOnce() -> T) -> T {
    arguments()
}

#[inline(always)]
fn fire_claim<T: Teller>(teller: &T, event: &Event<'_>) {
    match *event {
        Event::ClaimStart { claim } => {
            probes::claim__start!(|| seldom(move || (teller.name(), teller.unique(claim))));
        }
        Event::ClaimAcquireFailed { claim, reason, .. } => {
            probes::claim__acquire__failed!(|| seldom(move || (
                teller.name(),
                teller.unique(claim),
                reason.to_string()
            )));
        }
        Event::ClaimFailed { claim, refusal, .. } => {
            probes::claim__failed!(|| seldom(move || (
                teller.name(),
                teller.unique(claim),
                format!("{refusal:?}")
            )));
        }
        _ => {}
    }
}

#[inline(always)]
fn fire_pool_claim<T: Teller>(teller: &T, event: &Event<'_>) {
    match *event {
        Event::PoolClaimStart { claim } => {
            probes::pool__claim__start!(|| seldom(move || (teller.name(), teller.unique(claim))));
        }
        Event::PoolClaimDone { claim, slot } => {
            probes::pool__claim__done!(|| seldom(move || (
                teller.name(),
                teller.unique(claim),
                slot
            )));
        }
        Event::PoolClaimFailed { claim } => {
            probes::pool__claim__failed!(|| seldom(move || (teller.name(), teller.unique(claim))));
        }
        _ => {}
    }
}

#[inline(always)]
fn fire_set_claim<T: Teller>(teller: &T, event: &Event<'_>) {
    match *event {
        Event::SetClaimStart { claim, backend } => {
            probes::slot__set__claim__start!(|| seldom(move || (
                teller.name(),
                teller.unique(claim),
                backend.to_string()
            )));
        }
        Event::SetClaimDone { claim, slot } => {
            probes::slot__set__claim__done!(|| seldom(move || (
                teller.name(),
                teller.unique(claim),
                slot
            )));
        }
        Event::SetClaimFailed { claim, .. } => {
            probes::slot__set__claim__failed!(|| seldom(move || (
                teller.name(),
                teller.unique(claim),
                "NoSlotsReady"
            )));
        }
        _ => {}
    }
}

#[inline(always)]
fn fire_connect<T: Teller>(teller: &T, event: &Event<'_>) {
    match *event {
        Event::ConnectStart { slot, backend } => {
            probes::connect__start!(|| seldom(move || (teller.name(), slot, backend.to_string())));
        }
        Event::ConnectDone { slot, backend, .. } => {
            probes::connect__done!(|| seldom(move || (teller.name(), slot, backend.to_string())));
        }
        Event::ConnectFailed {
            slot,
            backend,
            reason,
            ..
        } => {
            probes::connect__failed!(|| seldom(move || (
                teller.name(),
                slot,
                backend.to_string(),
                reason.to_string()
            )));
        }
        _ => {}
    }
}

#[inline(always)]
fn fire_set<T: Teller>(teller: &T, event: &Event<'_>) {
    match *event {
        Event::SetOnline {
            backend,
            has_unclaimed,
            ..
        } => {
            probes::slot__set__online!(|| seldom(move || (
                teller.name(),
                backend.to_string(),
                has_unclaimed
            )));
        }
        Event::SetOffline { backend, .. } => {
            probes::slot__set__offline!(|| seldom(move || (teller.name(), backend.to_string())));
        }
        Event::SlotStateChange {
            backend,
            slot,
            old,
            new,
            stats,
        } => {
            probes::slot__state__change!(|| seldom(move || (
                teller.name(),
                backend.to_string(),
                slot,
                old.as_str(),
                new.as_str(),
                stats
            )));
        }
        _ => {}
    }
}

/// The probes of a claim that has its connection. What they say of that is not looked up before somebody traces.
#[inline(always)]
pub(crate) fn fire_claimed<T: Teller, C>(teller: &T, claim: u64, seat: &Seat<C>) {
    probes::handle__claimed!(|| seldom(move || (
        teller.name(),
        teller.unique(claim),
        seat.number(),
        seat.backend.to_string()
    )));
    probes::claim__done!(|| seldom(move || (teller.name(), teller.unique(claim), seat.number())));
}

/// The probe of a connection that comes back.
#[inline(always)]
pub(crate) fn fire_returned<T: Teller, C>(teller: &T, seat: &Seat<C>) {
    probes::handle__returned!(|| seldom(move || (teller.name(), seat.number())));
}

#[inline(always)]
fn fire_check<T: Teller>(teller: &T, event: &Event<'_>) {
    match *event {
        Event::CheckStart { slot, backend } => {
            probes::health__check__start!(|| seldom(move || (
                teller.name(),
                slot,
                backend.to_string()
            )));
        }
        Event::CheckDone { slot } => {
            probes::health__check__done!(|| seldom(move || (teller.name(), slot)));
        }
        Event::CheckFailed { slot, reason, .. } => {
            probes::health__check__failed!(|| seldom(move || (
                teller.name(),
                slot,
                reason.to_string()
            )));
        }
        _ => {}
    }
}

#[inline(always)]
fn fire_recycle<T: Teller>(teller: &T, event: &Event<'_>) {
    match *event {
        Event::RecycleStart { slot, backend } => {
            probes::recycle__start!(|| seldom(move || (teller.name(), slot, backend.to_string())));
        }
        Event::RecycleDone { slot } => {
            probes::recycle__done!(|| seldom(move || (teller.name(), slot)));
        }
        Event::RecycleFailed { slot, reason, .. } => {
            probes::recycle__failed!(|| seldom(move || (teller.name(), slot, reason.to_string())));
        }
        _ => {}
    }
}

#[usdt::provider(provider = "qorb")]
mod probes {
    use qorb_core::slot::Stats;

    fn claim__start(pool: &str, claim_id: u64) {}
    fn claim__done(pool: &str, claim_id: u64, slot_id: u64) {}
    fn claim__acquire__failed(pool: &str, claim_id: u64, reason: &str) {}
    fn claim__failed(pool: &str, claim_id: u64, reason: &str) {}
    fn connect__start(pool: &str, slot_id: u64, addr: &str) {}
    fn connect__done(pool: &str, slot_id: u64, addr: &str) {}
    fn connect__failed(pool: &str, slot_id: u64, addr: &str, reason: &str) {}
    fn pool__claim__start(pool: &str, claim_id: u64) {}
    fn pool__claim__done(pool: &str, claim_id: u64, slot_id: u64) {}
    fn pool__claim__failed(pool: &str, claim_id: u64) {}
    fn slot__set__claim__start(pool: &str, claim_id: u64, addr: &str) {}
    fn slot__set__claim__done(pool: &str, claim_id: u64, slot_id: u64) {}
    fn slot__set__claim__failed(pool: &str, claim_id: u64, reason: &str) {}
    fn slot__set__online(pool: &str, addr: &str, has_unclaimed_slots: bool) {}
    fn slot__set__offline(pool: &str, addr: &str) {}
    fn slot__state__change(
        pool: &str,
        addr: &str,
        slot_id: u64,
        old: &str,
        new: &str,
        stats: &Stats,
    ) {
    }
    fn handle__claimed(pool: &str, claim_id: u64, slot_id: u64, addr: &str) {}
    fn handle__returned(pool: &str, slot_id: u64) {}
    fn health__check__start(pool: &str, slot_id: u64, addr: &str) {}
    fn health__check__done(pool: &str, slot_id: u64) {}
    fn health__check__failed(pool: &str, slot_id: u64, reason: &str) {}
    fn recycle__start(pool: &str, slot_id: u64, addr: &str) {}
    fn recycle__done(pool: &str, slot_id: u64) {}
    fn recycle__failed(pool: &str, slot_id: u64, reason: &str) {}
    fn rebalance__start(pool: &str) {}
    fn rebalance__done(pool: &str) {}
}

#[cfg(test)]
mod tests {
    use qorb_core::slot::Stats;

    #[test]
    fn the_statistics_reach_a_tracer_as_json() {
        let stats = Stats {
            claimed_slots: 2,
            ..Stats::default()
        };
        let json = usdt::to_json(&stats).unwrap();
        assert_eq!(
            json,
            r#"{"connecting_slots":0,"unclaimed_slots":0,"checking_slots":0,"claimed_slots":2,"total_claims":0}"#
        );
    }
}
