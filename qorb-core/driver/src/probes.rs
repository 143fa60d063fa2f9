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

/// Makes the probes known to the operating system's tracer. May be called again.
pub(crate) fn register() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    usdt::register_probes().map_err(Into::into)
}

/// Fires the probe that belongs to `event`, if there is one. `tag` makes the machine's claim numbers unique in the process.
#[inline(always)]
pub(crate) fn fire(pool: &str, tag: u64, event: &Event<'_>) {
    match *event {
        Event::ClaimStart { .. }
        | Event::ClaimDone { .. }
        | Event::ClaimAcquireFailed { .. }
        | Event::ClaimFailed { .. } => fire_claim(pool, tag, event),
        Event::PoolClaimStart { .. }
        | Event::PoolClaimDone { .. }
        | Event::PoolClaimFailed { .. } => fire_pool_claim(pool, tag, event),
        Event::SetClaimStart { .. } | Event::SetClaimDone { .. } | Event::SetClaimFailed { .. } => {
            fire_set_claim(pool, tag, event);
        }
        Event::ConnectStart { .. } | Event::ConnectDone { .. } | Event::ConnectFailed { .. } => {
            fire_connect(pool, event);
        }
        Event::SetOnline { .. } | Event::SetOffline { .. } | Event::SlotStateChange { .. } => {
            fire_set(pool, event);
        }
        Event::HandleClaimed { .. } | Event::HandleReturned { .. } => {
            fire_handle(pool, tag, event);
        }
        Event::CheckStart { .. } | Event::CheckDone { .. } | Event::CheckFailed { .. } => {
            fire_check(pool, event);
        }
        Event::RecycleStart { .. } | Event::RecycleDone { .. } | Event::RecycleFailed { .. } => {
            fire_recycle(pool, event);
        }
        Event::RebalanceStart => probes::rebalance__start!(|| seldom(|| pool)),
        Event::RebalanceDone => probes::rebalance__done!(|| seldom(|| pool)),
        _ => {}
    }
}

/// Makes a probe's arguments, which is seldom: the optimiser is to keep that out of the way.
#[cold]
#[inline(never)]
fn seldom<T>(arguments: impl FnOnce() -> T) -> T {
    arguments()
}

#[inline(always)]
fn fire_claim(pool: &str, tag: u64, event: &Event<'_>) {
    match *event {
        Event::ClaimStart { claim } => probes::claim__start!(|| seldom(|| (pool, tag | claim))),
        Event::ClaimDone { claim, slot } => {
            probes::claim__done!(|| seldom(|| (pool, tag | claim, slot)));
        }
        Event::ClaimAcquireFailed { claim, reason, .. } => {
            probes::claim__acquire__failed!(|| seldom(|| (pool, tag | claim, reason.to_string())));
        }
        Event::ClaimFailed { claim, refusal } => {
            probes::claim__failed!(|| seldom(|| (pool, tag | claim, format!("{refusal:?}"))));
        }
        _ => {}
    }
}

#[inline(always)]
fn fire_pool_claim(pool: &str, tag: u64, event: &Event<'_>) {
    match *event {
        Event::PoolClaimStart { claim } => {
            probes::pool__claim__start!(|| seldom(|| (pool, tag | claim)));
        }
        Event::PoolClaimDone { claim, slot } => {
            probes::pool__claim__done!(|| seldom(|| (pool, tag | claim, slot)));
        }
        Event::PoolClaimFailed { claim } => {
            probes::pool__claim__failed!(|| seldom(|| (pool, tag | claim)));
        }
        _ => {}
    }
}

#[inline(always)]
fn fire_set_claim(pool: &str, tag: u64, event: &Event<'_>) {
    match *event {
        Event::SetClaimStart { claim, backend } => {
            probes::slot__set__claim__start!(|| seldom(|| (
                pool,
                tag | claim,
                backend.to_string()
            )));
        }
        Event::SetClaimDone { claim, slot } => {
            probes::slot__set__claim__done!(|| seldom(|| (pool, tag | claim, slot)));
        }
        Event::SetClaimFailed { claim, .. } => {
            probes::slot__set__claim__failed!(|| seldom(|| (pool, tag | claim, "NoSlotsReady")));
        }
        _ => {}
    }
}

#[inline(always)]
fn fire_connect(pool: &str, event: &Event<'_>) {
    match *event {
        Event::ConnectStart { slot, backend } => {
            probes::connect__start!(|| seldom(|| (pool, slot, backend.to_string())));
        }
        Event::ConnectDone { slot, backend, .. } => {
            probes::connect__done!(|| seldom(|| (pool, slot, backend.to_string())));
        }
        Event::ConnectFailed {
            slot,
            backend,
            reason,
            ..
        } => {
            probes::connect__failed!(|| seldom(|| (
                pool,
                slot,
                backend.to_string(),
                reason.to_string()
            )));
        }
        _ => {}
    }
}

#[inline(always)]
fn fire_set(pool: &str, event: &Event<'_>) {
    match *event {
        Event::SetOnline {
            backend,
            has_unclaimed,
            ..
        } => {
            probes::slot__set__online!(|| seldom(|| (pool, backend.to_string(), has_unclaimed)));
        }
        Event::SetOffline { backend } => {
            probes::slot__set__offline!(|| seldom(|| (pool, backend.to_string())));
        }
        Event::SlotStateChange {
            backend,
            slot,
            old,
            new,
            stats,
        } => {
            probes::slot__state__change!(|| seldom(|| (
                pool,
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

#[inline(always)]
fn fire_handle(pool: &str, tag: u64, event: &Event<'_>) {
    match *event {
        Event::HandleClaimed {
            claim,
            slot,
            backend,
        } => {
            probes::handle__claimed!(|| seldom(|| (pool, tag | claim, slot, backend.to_string())));
        }
        Event::HandleReturned { slot } => probes::handle__returned!(|| seldom(|| (pool, slot))),
        _ => {}
    }
}

#[inline(always)]
fn fire_check(pool: &str, event: &Event<'_>) {
    match *event {
        Event::CheckStart { slot, backend } => {
            probes::health__check__start!(|| seldom(|| (pool, slot, backend.to_string())));
        }
        Event::CheckDone { slot } => probes::health__check__done!(|| seldom(|| (pool, slot))),
        Event::CheckFailed { slot, reason, .. } => {
            probes::health__check__failed!(|| seldom(|| (pool, slot, reason.to_string())));
        }
        _ => {}
    }
}

#[inline(always)]
fn fire_recycle(pool: &str, event: &Event<'_>) {
    match *event {
        Event::RecycleStart { slot, backend } => {
            probes::recycle__start!(|| seldom(|| (pool, slot, backend.to_string())));
        }
        Event::RecycleDone { slot } => probes::recycle__done!(|| seldom(|| (pool, slot))),
        Event::RecycleFailed { slot, reason, .. } => {
            probes::recycle__failed!(|| seldom(|| (pool, slot, reason.to_string())));
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
