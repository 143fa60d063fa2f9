//! Where the backends of a service are, and how a pool learns of changes.

use futures_core::Stream;

pub use qorb_core::backend::AllBackends;

/// Any stream of sets of backends. Each set is all there are, and replaces the one before; two that are ready at once
/// count as the later one.
///
/// There is nothing to implement: every [`Stream`] of [`AllBackends`] that can be sent between threads is one. A pool
/// polls it in a task of its own, and only there. When it ends or panics, the last set stays in force.
pub trait Resolver: Stream<Item = AllBackends> + Send + 'static {}

impl<S: Stream<Item = AllBackends> + Send + 'static> Resolver for S {}

/// A resolver of any kind, for programs that choose theirs at run time. A stream that may not be moved
/// ([`Unpin`] says which may) is pinned first: `Box::new(Box::pin(stream))`.
pub type BoxedResolver = Box<dyn Resolver + Unpin>;
