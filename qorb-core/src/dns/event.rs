//! What happens, as it happens.

use alloc::string::String;
use core::net::SocketAddr;
use core::time::Duration;

use super::query::Transport;
use super::question::Question;
use crate::backend::AllBackends;

/// Is told what a [`Resolver`](super::Resolver) does. The empty one is `()`.
pub trait Observer {
    /// Takes note of something that happened.
    fn observe(&mut self, event: &Event<'_>);
}

impl Observer for () {
    fn observe(&mut self, _: &Event<'_>) {}
}

impl<O: Observer> Observer for &mut O {
    fn observe(&mut self, event: &Event<'_>) {
        O::observe(self, event);
    }
}

/// Something that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A server is about to be asked.
    Asked {
        /// Which.
        server: SocketAddr,
        /// What.
        question: &'a Question,
        /// How.
        transport: Transport,
        /// How many packets it was sent about this before.
        sent_before: u32,
    },
    /// A server answered.
    Answered {
        /// Which.
        server: SocketAddr,
        /// What it was asked.
        question: &'a Question,
        /// How long that took, with all packets sent again.
        took: Duration,
        /// What it said.
        found: Found,
    },
    /// A server gave no answer that is of use.
    QueryFailed {
        /// Which.
        server: SocketAddr,
        /// What it was asked.
        question: &'a Question,
        /// What went wrong.
        failure: &'a Failure,
    },
    /// A packet came that is no answer. It was ignored.
    Strayed {
        /// From where.
        from: SocketAddr,
        /// Why it is none.
        why: Stray,
    },
    /// Nobody who was asked gave an answer that is of use. What was known before stays in force.
    LookupFailed {
        /// What they were asked.
        question: &'a Question,
        /// What went wrong last.
        failure: &'a Failure,
        /// How often that has happened in a row.
        times: u32,
        /// How long until they are asked again.
        pause: Duration,
    },
    /// Nobody could be asked for so long that what was known is no longer believed.
    Expired {
        /// What is unknown now.
        question: &'a Question,
    },
    /// There was more than is taken.
    Dropped {
        /// Where.
        question: &'a Question,
        /// How many.
        count: usize,
        /// Of what.
        what: &'static str,
    },
    /// There are other DNS servers than before.
    Servers {
        /// All there are now.
        count: usize,
        /// Servers that were not there before.
        added: usize,
        /// Servers that were.
        removed: usize,
    },
    /// There are other backends than before.
    Changed {
        /// All there are now.
        backends: &'a AllBackends,
        /// Backends that were not there before.
        added: usize,
        /// Backends that were.
        removed: usize,
    },
}

/// What an answer says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Found {
    /// There are records.
    Records {
        /// How many.
        count: usize,
        /// How long they are good for.
        ttl: Duration,
    },
    /// The name stands for another, of which this server says no more.
    Alias,
    /// There is no such name.
    NoSuchName,
    /// The name has no records of the sort.
    NoRecords,
}

/// Why an answer is of no use, or did not come.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// None came in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The network, or the system, said no.
    #[error("{0}")]
    Transport(String),
    /// The server said no: `SERVFAIL`, `REFUSED`.
    #[error("the server says {0}")]
    Code(&'static str),
    /// The answer cannot be read.
    #[error("the answer cannot be read: {0}")]
    Malformed(&'static str),
    /// The server knows only who else might know.
    #[error("the server does not know, and refers to others")]
    Referral,
    /// The name stands for another, and that for another, and so on.
    #[error("too many CNAMEs, or they go round in a circle")]
    Aliases,
}

/// Why a packet is no answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Stray {
    /// It came from elsewhere than was asked.
    Source,
    /// Its id is not the one sent.
    Id,
    /// It answers another question, or is itself one.
    Question,
    /// It is not even as long as a header.
    Unreadable,
    /// Nobody waits for it any more, or ever did.
    Late,
}
