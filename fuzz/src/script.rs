//! How a script is read from bytes.

use arbitrary::{Arbitrary, Unstructured};

/// What comes first, and then steps as long as there are bytes, but no more than `most`. A `Vec` would ask for a lucky byte before
/// each, and so be short where bytes are random.
pub(crate) fn read<'a, H: Arbitrary<'a>, S: Arbitrary<'a>>(
    bytes: &'a [u8],
    most: usize,
) -> arbitrary::Result<(H, Vec<S>)> {
    let mut bytes = Unstructured::new(bytes);
    let head = bytes.arbitrary()?;
    let mut steps = Vec::new();
    while !bytes.is_empty() && steps.len() < most {
        steps.push(bytes.arbitrary()?);
    }
    Ok((head, steps))
}
