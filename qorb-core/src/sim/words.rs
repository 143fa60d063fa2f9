//! Scripts as words, and again from that.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use super::script::{Answer, Client, Conduct, End, Habits, Happening, Named, Scene, Script};
use crate::io::{Hooks, Patience};
use crate::policy::{CheckedPolicy, Policy};
use crate::tape::words::{Words, hooks, policy};

pub(super) fn write(script: &Script, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "seed {}; hooks {}", script.seed, hooks(script.hooks))?;
    write!(f, "; policy {}", policy_words(&script.policy))?;
    if script.habits != Habits::default() {
        let Habits {
            late,
            twice,
            lag,
            dawdle,
        } = script.habits;
        write!(
            f,
            "; habits late={late} twice={twice} lag={} dawdle={}",
            Span(lag),
            Span(dawdle)
        )?;
    }
    for Scene { at, event } in &script.scenes {
        write!(f, "; {} {}", Span(*at), Written(event))?;
    }
    if !script.healthy.is_empty() {
        write!(f, "; healthy {}", Numbers(&script.healthy))?;
    }
    Ok(())
}

/// What differs from the default.
fn policy_words(it: &CheckedPolicy) -> String {
    let all = policy(it);
    let usual = policy(&Policy::default());
    let usual: Vec<&str> = usual.split(' ').collect();
    let differ = all.split(' ').filter(|word| !usual.contains(word));
    differ.collect::<Vec<_>>().join(" ")
}

/// An event, as it is written.
struct Written<'a>(&'a Happening);

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Happening::Resolve(all) => {
                f.write_str("resolve")?;
                for it in all {
                    write!(f, " b{}", it.number)?;
                    if (it.priority, it.weight) != (0, 1) {
                        write!(f, ":{}:{}", it.priority, it.weight)?;
                    }
                }
                Ok(())
            }
            Happening::Conduct(who, conduct) => {
                write!(f, "conduct {}", Numbers(who))?;
                write_conduct(conduct, f)
            }
            Happening::Sever(who) => write!(f, "sever {}", Numbers(who)),
            Happening::Claim(client) => {
                f.write_str("claim")?;
                write_client(client, f)
            }
            Happening::Policy(it) => write!(f, "policy {}", policy_words(it)),
            Happening::Jump(by) => write!(f, "jump {}", Span(*by)),
            Happening::Back(by) => write!(f, "back {}", Span(*by)),
            Happening::Terminate => f.write_str("terminate"),
        }
    }
}

fn write_conduct(it: &Conduct, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(match it.connects {
        Answer::Yes => " yes",
        Answer::No => " no",
        Answer::Never => " never",
    })?;
    write!(f, " delay={}", Span(it.delay))?;
    if let Some(room) = it.room {
        write!(f, " room={room}")?;
    }
    if it.flaky > 0 {
        write!(f, " flaky={}", it.flaky)?;
    }
    if it.breaks > 0 {
        write!(f, " breaks={}", it.breaks)?;
    }
    if it.silent {
        write!(f, " silent")?;
    }
    Ok(())
}

fn write_client(it: &Client, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, " hold={}", Span(it.hold))?;
    match it.patience {
        Patience::Policy => {}
        Patience::AtOnce => f.write_str(" at-once")?,
        Patience::Within(time) => write!(f, " within={}", Span(time))?,
    }
    if let Some(quits) = it.quits {
        write!(f, " quits={}", Span(quits))?;
    }
    f.write_str(match it.end {
        End::Returns => "",
        End::Breaks => " breaks",
        End::Detaches => " detaches",
        End::Keeps => " keeps",
    })?;
    for (name, hook) in [("acquire", it.acquire), ("recycle", it.recycle)] {
        if let Some(takes) = hook.takes {
            write!(f, " {name}={}", Span(takes))?;
        }
        if hook.fails > 0 {
            write!(f, " {name}-fails={}", hook.fails)?;
        }
    }
    Ok(())
}

/// Numbers of backends.
struct Numbers<'a>(&'a [u16]);

impl fmt::Display for Numbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(|it| format!("b{it}")).collect();
        f.write_str(&names.join(","))
    }
}

/// A duration in the greatest unit that tells it exactly.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let mut units = UNITS.into_iter();
        let unit = units.find(|&(_, unit)| nanos.is_multiple_of(unit));
        let (name, unit) = unit.unwrap_or(("ns", 1));
        write!(f, "{}{name}", nanos / unit)
    }
}

impl FromStr for Span {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        let digits = word.trim_end_matches(|it: char| it.is_ascii_alphabetic());
        let unit = UNITS
            .iter()
            .find(|&&(name, _)| *name == word[digits.len()..]);
        let &(_, unit) = unit.ok_or(())?;
        let nanos = digits
            .parse::<u128>()
            .map_err(drop)?
            .checked_mul(unit)
            .ok_or(())?;
        let (secs, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        let secs = u64::try_from(secs).map_err(drop)?;
        Ok(Self(Duration::new(secs, rest as u32)))
    }
}

const UNITS: [(&str, u128); 4] = [
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// The script of that text, or the part of it that says nothing.
pub(super) fn read(line: &str) -> Result<Script, &str> {
    let mut script = Script {
        seed: 0,
        hooks: Hooks::NONE,
        policy: CheckedPolicy::default(),
        habits: Habits::default(),
        scenes: Vec::new(),
        healthy: Vec::new(),
    };
    for part in line.split(';') {
        let part = part.trim();
        let words: Vec<&str> = part.split_ascii_whitespace().collect();
        let read = match words.as_slice() {
            [] => Some(()),
            ["seed", seed] => seed.parse().map(|seed| script.seed = seed).ok(),
            ["hooks", rest @ ..] => {
                let hooks = Words::of(&rest.join(" ")).hooks();
                hooks.map(|hooks| script.hooks = hooks)
            }
            ["policy", rest @ ..] => read_policy(rest).map(|it| script.policy = it),
            ["habits", rest @ ..] => read_habits(rest).map(|it| script.habits = it),
            ["healthy", who] => read_numbers(who).map(|it| script.healthy = it),
            [at, rest @ ..] => read_scene(at, rest).map(|scene| script.scenes.push(scene)),
        };
        read.ok_or(part)?;
    }
    Ok(script)
}

fn read_policy(words: &[&str]) -> Option<CheckedPolicy> {
    Words::of(&words.join(" ")).policy()
}

fn read_scene(at: &str, words: &[&str]) -> Option<Scene> {
    let event = match words {
        ["resolve", all @ ..] => {
            Happening::Resolve(all.iter().map(|it| read_named(it)).collect::<Option<_>>()?)
        }
        ["conduct", who, rest @ ..] => Happening::Conduct(read_numbers(who)?, read_conduct(rest)?),
        ["sever", who] => Happening::Sever(read_numbers(who)?),
        ["claim", rest @ ..] => Happening::Claim(read_client(rest)?),
        ["policy", rest @ ..] => Happening::Policy(read_policy(rest)?),
        ["jump", by] => Happening::Jump(span(by)?),
        ["back", by] => Happening::Back(span(by)?),
        ["terminate"] => Happening::Terminate,
        _ => return None,
    };
    let at = span(at)?;
    Some(Scene { at, event })
}

fn span(word: &str) -> Option<Duration> {
    word.parse().ok().map(|Span(span)| span)
}

fn read_numbers(words: &str) -> Option<Vec<u16>> {
    let numbers = words
        .split(',')
        .map(|it| it.strip_prefix('b')?.parse().ok());
    numbers.collect()
}

fn read_named(word: &str) -> Option<Named> {
    let mut parts = word.strip_prefix('b')?.split(':');
    let mut named = Named::plain(parts.next()?.parse().ok()?);
    if let Some(priority) = parts.next() {
        named.priority = priority.parse().ok()?;
        named.weight = parts.next()?.parse().ok()?;
    }
    parts.next().is_none().then_some(named)
}

fn read_habits(words: &[&str]) -> Option<Habits> {
    let mut habits = Habits::default();
    for word in words {
        match word.split_once('=')? {
            ("late", it) => habits.late = it.parse().ok()?,
            ("twice", it) => habits.twice = it.parse().ok()?,
            ("lag", it) => habits.lag = span(it)?,
            ("dawdle", it) => habits.dawdle = span(it)?,
            _ => return None,
        }
    }
    Some(habits)
}

fn read_conduct(words: &[&str]) -> Option<Conduct> {
    let mut conduct = Conduct::WELL;
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("yes", "") => conduct.connects = Answer::Yes,
            ("no", "") => conduct.connects = Answer::No,
            ("never", "") => conduct.connects = Answer::Never,
            ("silent", "") => conduct.silent = true,
            ("delay", it) => conduct.delay = span(it)?,
            ("room", it) => conduct.room = Some(it.parse().ok()?),
            ("flaky", it) => conduct.flaky = it.parse().ok()?,
            ("breaks", it) => conduct.breaks = it.parse().ok()?,
            _ => return None,
        }
    }
    Some(conduct)
}

fn read_client(words: &[&str]) -> Option<Client> {
    let mut client = Client::holding(Duration::ZERO);
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("at-once", "") => client.patience = Patience::AtOnce,
            ("breaks", "") => client.end = End::Breaks,
            ("detaches", "") => client.end = End::Detaches,
            ("keeps", "") => client.end = End::Keeps,
            ("hold", it) => client.hold = span(it)?,
            ("within", it) => client.patience = Patience::Within(span(it)?),
            ("quits", it) => client.quits = Some(span(it)?),
            ("acquire", it) => client.acquire.takes = Some(span(it)?),
            ("recycle", it) => client.recycle.takes = Some(span(it)?),
            ("acquire-fails", it) => client.acquire.fails = it.parse().ok()?,
            ("recycle-fails", it) => client.recycle.fails = it.parse().ok()?,
            _ => return None,
        }
    }
    Some(client)
}
