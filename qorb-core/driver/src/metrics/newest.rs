//! What is told as it is, not as it changes: of records that come out of turn, the newest counts.

/// A value that is told again and again.
#[derive(Default)]
pub(super) struct Newest<T> {
    /// The record that it was told in.
    sequence: u64,
    value: T,
}

impl<T> Newest<T> {
    /// Takes what a record tells. Gives what was known before, unless something newer is known already.
    pub(super) fn replace(&mut self, sequence: u64, value: T) -> Option<T> {
        if sequence <= self.sequence {
            return None;
        }
        self.sequence = sequence;
        Some(std::mem::replace(&mut self.value, value))
    }
}
