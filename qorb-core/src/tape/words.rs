//! How values are written as words, and read again.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;
use core::str::FromStr;
use core::time::Duration;

use crate::backend::{Backend, Location};
use crate::id::{ClaimId, JobId, SlotId};
use crate::io::{Hooks, Patience, Returned};
use crate::policy::{CheckedPolicy, CoDel, Policy};
use crate::time::Instant;

/// A word that stands for `text`, whatever that is.
pub(crate) fn escape(text: &str) -> String {
    let mut word = String::from("'");
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'%' | b'=') {
            word.push(char::from(byte));
        } else {
            let _ = write!(word, "%{byte:02x}");
        }
    }
    word
}

pub(crate) fn unescape(word: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = word.strip_prefix('\'')?.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).ok()
}

/// The words of a line, to be read one after the other.
pub(crate) struct Words<'a>(core::str::SplitAsciiWhitespace<'a>);

impl<'a> Words<'a> {
    pub(crate) fn of(line: &'a str) -> Self {
        Self(line.split_ascii_whitespace())
    }

    pub(crate) fn next(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    pub(crate) fn number<T: FromStr>(&mut self) -> Option<T> {
        self.next()?.parse().ok()
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        unescape(self.next()?)
    }

    pub(crate) fn time(&mut self) -> Option<Instant> {
        self.number().map(Instant::from_nanos)
    }

    pub(crate) fn slot(&mut self) -> Option<SlotId> {
        let [index, generation] = numbers(self.next()?)?;
        Some(SlotId { index, generation })
    }

    pub(crate) fn claim(&mut self) -> Option<ClaimId> {
        let [index, generation] = numbers(self.next()?)?;
        Some(ClaimId { index, generation })
    }

    pub(crate) fn job(&mut self) -> Option<JobId> {
        let [index, generation, attempt] = numbers(self.next()?)?;
        let slot = SlotId { index, generation };
        Some(JobId { slot, attempt })
    }

    pub(crate) fn patience(&mut self) -> Option<Patience> {
        Some(match self.next()? {
            "policy" => Patience::Policy,
            "at-once" => Patience::AtOnce,
            nanos => Patience::Within(duration_of(nanos)?),
        })
    }

    pub(crate) fn returned(&mut self) -> Option<Returned> {
        let word = self.next()?;
        let all = [
            Returned::Healthy,
            Returned::Broken,
            Returned::Abandoned,
            Returned::Detached,
        ];
        all.into_iter().find(|&how| returned(how) == word)
    }

    pub(crate) fn hooks(&mut self) -> Option<Hooks> {
        let mut next = || Some(self.number::<u8>()? != 0);
        Some(Hooks {
            is_valid: next()?,
            on_acquire: next()?,
            on_recycle: next()?,
            close: next()?,
        })
    }

    pub(crate) fn policy(&mut self) -> Option<CheckedPolicy> {
        let mut policy = Policy::default();
        while let Some(word) = self.next() {
            let (field, value) = word.split_once('=')?;
            set_field(&mut policy, field, value)?;
        }
        policy.check().ok()
    }

    pub(crate) fn backend(&mut self) -> Option<Backend> {
        let (name, place) = (self.text()?, self.next()?);
        let mut backend = match unescape(place) {
            Some(path) => Backend::unix(path),
            None => Backend::new(place.parse().ok()?),
        };
        backend = backend.named(name);
        (backend.priority, backend.weight) = (self.number()?, self.number()?);
        while let Some(word) = self.next() {
            let (key, value) = word.split_once('=')?;
            let label = (unescape(key)?.into(), unescape(value)?.into());
            backend.labels.extend([label]);
        }
        Some(backend)
    }
}

fn numbers<const N: usize>(word: &str) -> Option<[u32; N]> {
    let mut numbers = [0; N];
    let mut parts = word.split('.');
    for number in &mut numbers {
        *number = parts.next()?.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

pub(crate) fn slot(id: SlotId) -> String {
    alloc::format!("{}.{}", id.index, id.generation)
}

pub(crate) fn claim(id: ClaimId) -> String {
    alloc::format!("{}.{}", id.index, id.generation)
}

pub(crate) fn job(id: JobId) -> String {
    alloc::format!("{}.{}", slot(id.slot), id.attempt)
}

pub(crate) fn patience(patience: Patience) -> Cow<'static, str> {
    match patience {
        Patience::Policy => "policy".into(),
        Patience::AtOnce => "at-once".into(),
        Patience::Within(time) => time.as_nanos().to_string().into(),
    }
}

pub(crate) const fn returned(how: Returned) -> &'static str {
    match how {
        Returned::Healthy => "healthy",
        Returned::Broken => "broken",
        Returned::Abandoned => "abandoned",
        Returned::Detached => "detached",
    }
}

pub(crate) fn hooks(hooks: Hooks) -> String {
    let all = [
        hooks.is_valid,
        hooks.on_acquire,
        hooks.on_recycle,
        hooks.close,
    ];
    let all: Vec<&str> = all.iter().map(|&it| if it { "1" } else { "0" }).collect();
    all.join(" ")
}

pub(crate) fn backend(backend: &Backend) -> String {
    let mut line = escape(backend.name.as_str());
    let place = match backend.location() {
        Location::Ip(address) => address.to_string(),
        Location::Unix(path) => escape(path),
    };
    let _ = write!(line, " {place} {} {}", backend.priority, backend.weight);
    for (key, value) in &backend.labels {
        let _ = write!(line, " {}={}", escape(key), escape(value));
    }
    line
}

pub(crate) fn duration_of(word: &str) -> Option<Duration> {
    let nanos: u128 = word.parse().ok()?;
    let seconds = u64::try_from(nanos / NANOS).ok()?;
    Some(Duration::new(seconds, (nanos % NANOS) as u32))
}

/// A policy, each field by name.
pub(crate) fn policy(policy: &Policy) -> String {
    let nanos = |time: Duration| time.as_nanos().to_string();
    let set = &policy.set_config;
    let optional = |number: Option<usize>| number.map_or("-".into(), |it| it.to_string());
    let codel = policy.codel;
    let codel = codel.map_or("-".into(), |it| {
        alloc::format!("{}:{}", nanos(it.target), nanos(it.interval))
    });
    let fields = [
        ("spares_wanted", policy.spares_wanted.to_string()),
        ("max_slots", policy.max_slots.to_string()),
        ("rebalance_interval", nanos(policy.rebalance_interval)),
        ("claim_timeout", nanos(policy.claim_timeout)),
        ("max_waiting", optional(policy.max_waiting)),
        ("codel", codel),
        ("timed", u8::from(policy.timed).to_string()),
        ("leak_after", policy.leak_after.map_or("-".into(), nanos)),
        ("max_count", set.max_count.to_string()),
        ("min_connection_backoff", nanos(set.min_connection_backoff)),
        ("max_connection_backoff", nanos(set.max_connection_backoff)),
        ("spread", nanos(set.spread)),
        ("health_interval", nanos(set.health_interval)),
        ("health_check_timeout", nanos(set.health_check_timeout)),
        ("connect_timeout", nanos(set.connect_timeout)),
        ("max_lifetime", nanos(set.max_lifetime)),
    ];
    let fields = fields.map(|(field, value)| alloc::format!("{field}={value}"));
    fields.join(" ")
}

fn set_field(policy: &mut Policy, field: &str, value: &str) -> Option<()> {
    let time = || duration_of(value);
    let count = || value.parse::<usize>().ok();
    let set = &mut policy.set_config;
    match field {
        "spares_wanted" => policy.spares_wanted = count()?,
        "max_slots" => policy.max_slots = count()?,
        "rebalance_interval" => policy.rebalance_interval = time()?,
        "claim_timeout" => policy.claim_timeout = time()?,
        "max_waiting" if value == "-" => policy.max_waiting = None,
        "max_waiting" => policy.max_waiting = Some(count()?),
        "codel" if value == "-" => policy.codel = None,
        "codel" => {
            let (target, interval) = value.split_once(':')?;
            policy.codel = Some(CoDel {
                target: duration_of(target)?,
                interval: duration_of(interval)?,
            });
        }
        "timed" => policy.timed = value.parse::<u8>().ok()? != 0,
        "leak_after" if value == "-" => policy.leak_after = None,
        "leak_after" => policy.leak_after = Some(time()?),
        "max_count" => set.max_count = count()?,
        "min_connection_backoff" => set.min_connection_backoff = time()?,
        "max_connection_backoff" => set.max_connection_backoff = time()?,
        "spread" => set.spread = time()?,
        "health_interval" => set.health_interval = time()?,
        "health_check_timeout" => set.health_check_timeout = time()?,
        "connect_timeout" => set.connect_timeout = time()?,
        "max_lifetime" => set.max_lifetime = time()?,
        _ => return None,
    }
    Some(())
}

const NANOS: u128 = 1_000_000_000;
