//! What is to happen to a pool and around it: a script, as values and as one line of text.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use super::words;
use crate::backend::Backend;
use crate::io::{Hooks, Patience};
use crate::policy::CheckedPolicy;

/// A pool's life: what it is, and what happens to it.
///
/// Its text is one line, and gives the same script when it is parsed, so that a failure becomes a test by pasting it:
///
/// ```
/// use qorb_core::sim::{self, Script};
///
/// let script: Script = "seed 1; hooks 0 0 0 0; policy spares_wanted=1; 0s resolve b0; 1s claim hold=1s".parse().unwrap();
/// assert_eq!(script.to_string().parse(), Ok(script.clone()));
/// let outcome = sim::live(&script);
/// assert_eq!(outcome.breach, None);
/// assert_eq!(outcome.totals.granted, 1 + outcome.granted_in_calm);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Script {
    /// What the pool's dice and the world's follow from.
    pub seed: u64,
    /// Which hooks the connector has.
    pub hooks: Hooks,
    /// The pool's policy at first.
    pub policy: CheckedPolicy,
    /// How the owner of the machine behaves.
    pub habits: Habits,
    /// What happens, in order.
    pub scenes: Vec<Scene>,
    /// The backends that are well once faults have stopped; all, if none is named. The others refuse connects then.
    pub healthy: Vec<u16>,
}

/// Something that happens at its time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scene {
    /// When, after the pool's birth.
    pub at: Duration,
    /// What.
    pub event: Happening,
}

/// Something that happens.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Happening {
    /// The resolver names all backends there are.
    Resolve(Vec<Named>),
    /// These backends behave like that from now on.
    Conduct(Vec<u16>, Conduct),
    /// All connections to these backends break.
    Sever(Vec<u16>),
    /// A client comes.
    Claim(Client),
    /// The operator changes the policy.
    Policy(CheckedPolicy),
    /// The clock jumps forward so far, as after a machine's sleep.
    Jump(Duration),
    /// The clock goes back so far, once.
    Back(Duration),
    /// The pool ends.
    Terminate,
}

/// A backend, as the resolver names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Named {
    /// Its number; it is called `b0`, `b1` and so on.
    pub number: u16,
    /// See [`Backend::priority`].
    pub priority: u16,
    /// See [`Backend::weight`].
    pub weight: u16,
}

impl Named {
    /// The backend of that number, of priority 0 and weight 1.
    pub const fn plain(number: u16) -> Self {
        Self {
            number,
            priority: 0,
            weight: 1,
        }
    }

    /// As the machine knows it.
    pub fn backend(self) -> Backend {
        let [high, low] = self.number.to_be_bytes();
        let backend = Backend::new(([10, 0, high, low], 1).into());
        let mut backend = backend.named(alloc::format!("b{}", self.number));
        (backend.priority, backend.weight) = (self.priority, self.weight);
        backend
    }

    /// The number of a backend that was made here.
    pub(super) fn number_of(backend: &Backend) -> u16 {
        match backend.address {
            core::net::SocketAddr::V4(address) => {
                let [_, _, high, low] = address.ip().octets();
                u16::from_be_bytes([high, low])
            }
            core::net::SocketAddr::V6(_) => 0,
        }
    }
}

/// How a backend behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conduct {
    /// What it says to a connect.
    pub connects: Answer,
    /// How long it takes to say anything, give or take a half.
    pub delay: Duration,
    /// How many connections it has room for.
    pub room: Option<u16>,
    /// How many of a hundred connects fail nevertheless.
    pub flaky: u8,
    /// How many of a hundred uses break the connection.
    pub breaks: u8,
    /// It says nothing on connections that it has.
    pub silent: bool,
}

impl Conduct {
    /// It is well, and takes a millisecond for everything.
    pub const WELL: Self = Self {
        connects: Answer::Yes,
        delay: Duration::from_millis(1),
        room: None,
        flaky: 0,
        breaks: 0,
        silent: false,
    };
}

/// What a backend says to a connect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It accepts.
    Yes,
    /// It refuses.
    No,
    /// Nothing, for ever.
    Never,
}

/// What a client does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Client {
    /// How long it waits for a connection.
    pub patience: Patience,
    /// When it gives up of its own, if it has none by then.
    pub quits: Option<Duration>,
    /// How long it keeps its connection.
    pub hold: Duration,
    /// What it does with it then.
    pub end: End,
    /// How its connection is prepared, where the connector has a hook for that.
    pub acquire: Hook,
    /// How its connection is made fit for the next, where the connector has a hook for that.
    pub recycle: Hook,
}

impl Client {
    /// It waits as long as the policy lets it, and gives back what it has after `hold`.
    pub const fn holding(hold: Duration) -> Self {
        Self {
            patience: Patience::Policy,
            quits: None,
            hold,
            end: End::Returns,
            acquire: Hook::AT_ONCE,
            recycle: Hook::AT_ONCE,
        }
    }
}

/// What a client does with its connection in the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It gives it back.
    Returns,
    /// It gives it back, and it is broken.
    Breaks,
    /// It takes it out of the pool for good.
    Detaches,
    /// It keeps it until faults stop.
    Keeps,
}

/// How a hook ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hook {
    /// How long it takes; nothing, where it does not have to wait.
    pub takes: Option<Duration>,
    /// How many times of a hundred it fails.
    pub fails: u8,
}

impl Hook {
    /// It is done before it has begun.
    pub const AT_ONCE: Self = Self {
        takes: None,
        fails: 0,
    };
}

/// How the owner of the machine behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Habits {
    /// How many of a hundred answers that were given up come late.
    pub late: u8,
    /// How many of a hundred answers come twice.
    pub twice: u8,
    /// How late deadlines are seen to.
    pub lag: Duration,
    /// How long a claim that was granted a slot takes to come for it, at most.
    pub dawdle: Duration,
}

impl Script {
    /// When the last thing happens.
    pub fn end(&self) -> Duration {
        let last = self.scenes.iter().map(|scene| scene.at).max();
        last.unwrap_or_default()
    }
}

/// One line.
impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        words::write(self, f)
    }
}

/// A script that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{part}` says nothing that a script can say")]
pub struct ScriptError {
    part: String,
}

impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(line: &str) -> Result<Self, ScriptError> {
        words::read(line).map_err(|part| ScriptError { part: part.into() })
    }
}
