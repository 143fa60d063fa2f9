//! What a probe ought to say, by what subscribers are told of the same thing.

use qorb_tokio::observer::{Detail, Kind, Record};

use super::fired::{Fired, Value};

/// The probe that belongs to `record`, with its arguments in the contract's order; `None` if none does.
pub(crate) fn probe_of(pool: &str, record: &Record) -> Option<Fired> {
    let mut arguments = vec![Value::from(pool.to_owned())];
    arguments.extend(arguments_of(record)?);
    Some(Fired {
        probe: record.kind.as_str(),
        arguments,
    })
}

/// What follows the pool's name.
fn arguments_of(record: &Record) -> Option<Vec<Value>> {
    let claim = || Value::from(record.claim.expect("a claim's number"));
    let slot = || Value::from(record.slot.expect("a slot's number"));
    let address = || Value::from(record.backend.as_ref().expect("a backend").to_string());
    let reason = || Value::from(reason_of(record));
    Some(match record.kind {
        Kind::ClaimStart | Kind::PoolClaimStart | Kind::PoolClaimFailed => vec![claim()],
        Kind::ClaimDone | Kind::PoolClaimDone | Kind::SlotSetClaimDone => vec![claim(), slot()],
        Kind::ClaimAcquireFailed | Kind::ClaimFailed => vec![claim(), reason()],
        Kind::SlotSetClaimStart => vec![claim(), address()],
        Kind::SlotSetClaimFailed => vec![claim(), Value::from("NoSlotsReady".to_owned())],
        Kind::HandleClaimed => vec![claim(), slot(), address()],
        Kind::ConnectStart | Kind::ConnectDone | Kind::HealthCheckStart | Kind::RecycleStart => {
            vec![slot(), address()]
        }
        Kind::ConnectFailed => vec![slot(), address(), reason()],
        Kind::HandleReturned | Kind::HealthCheckDone | Kind::RecycleDone => vec![slot()],
        Kind::HealthCheckFailed | Kind::RecycleFailed => vec![slot(), reason()],
        Kind::SlotSetOnline => vec![address(), has_unclaimed(record)],
        Kind::SlotSetOffline => vec![address()],
        Kind::SlotStateChange => {
            let mut arguments = vec![address(), slot()];
            arguments.extend(change(record));
            arguments
        }
        Kind::RebalanceStart | Kind::RebalanceDone => vec![],
        _ => return None,
    })
}

fn reason_of(record: &Record) -> String {
    match &record.detail {
        Detail::Reason(words) => words.clone(),
        Detail::Unwanted => "Unwanted".to_owned(),
        Detail::Refusal(refusal) => format!("{refusal:?}"),
        other => panic!("{other:?} is no reason"),
    }
}

fn has_unclaimed(record: &Record) -> Value {
    let Detail::HasUnclaimed(has) = record.detail else {
        panic!("{record:?} does not say it");
    };
    Value::from(format!(r#"{{"ok":{has}}}"#))
}

fn change(record: &Record) -> [Value; 3] {
    let Detail::Change { old, new, stats } = record.detail else {
        panic!("{record:?} is no change");
    };
    let json = format!(
        r#"{{"ok":{{"connecting_slots":{},"unclaimed_slots":{},"checking_slots":{},"claimed_slots":{},"total_claims":{}}}}}"#,
        stats.connecting_slots,
        stats.unclaimed_slots,
        stats.checking_slots,
        stats.claimed_slots,
        stats.total_claims,
    );
    [format!("{old:?}"), format!("{new:?}"), json].map(Value::from)
}
