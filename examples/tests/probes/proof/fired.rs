//! A probe that fired, and what it said.

use std::fmt;

/// Displays as a line: `claim-start "pool" 7`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fired {
    pub(crate) probe: &'static str,
    pub(crate) arguments: Vec<Value>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    Number(u64),
    Text(String),
    /// There should have been text, but there is none, or no end of it.
    Nothing,
}

impl Fired {
    /// The argument at `place`, which is a number.
    pub(crate) fn number(&self, place: usize) -> u64 {
        match self.arguments.get(place) {
            Some(&Value::Number(number)) => number,
            other => panic!("{other:?} is no number in: {self}"),
        }
    }

    /// The argument at `place`, which is text.
    pub(crate) fn text(&self, place: usize) -> &str {
        match self.arguments.get(place) {
            Some(Value::Text(text)) => text,
            other => panic!("{other:?} is no text in: {self}"),
        }
    }
}

impl fmt::Display for Fired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.probe)?;
        self.arguments.iter().try_for_each(|it| write!(f, " {it}"))
    }
}

/// Text as it came, between quotes.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "\"{text}\""),
            Self::Nothing => f.write_str("nothing"),
        }
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
