//! Who takes part.

use std::any::Any;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::contestants::{
    Bb8, Contestant, Deadpool, FastPool, HandOff, Mobc, OnAsyncStd, OnSmol, OnTokio, Original, Sqlx,
};
use crate::runtimes::{AsyncStd, Runtime, Smol, Tokio};
use crate::scale::Scale;
use crate::scenarios::{Sample, Scenario};

/// A pool whose type is forgotten, which it is only between samples.
pub(crate) trait Entrant: Send + Sync {
    fn pool(&self) -> &'static str;
    fn runtime(&self) -> &'static str;

    /// Measures it once. A panic is what is wrong with it.
    fn sample(&self, scenario: Scenario, scale: &Scale) -> Result<Sample, String>;
}

pub(crate) fn all() -> Vec<Box<dyn Entrant>> {
    vec![
        entrant::<OnTokio>(),
        entrant::<HandOff<Tokio>>(),
        entrant::<Deadpool>(),
        entrant::<Bb8>(),
        entrant::<FastPool>(),
        entrant::<Mobc>(),
        entrant::<Sqlx>(),
        entrant::<Original>(),
        entrant::<OnSmol>(),
        entrant::<HandOff<Smol>>(),
        entrant::<OnAsyncStd>(),
        entrant::<HandOff<AsyncStd>>(),
    ]
}

fn entrant<C: Contestant>() -> Box<dyn Entrant> {
    Box::new(Of::<C>(PhantomData))
}

struct Of<C>(PhantomData<fn() -> C>);

impl<C: Contestant> Entrant for Of<C> {
    fn pool(&self) -> &'static str {
        C::NAME
    }

    fn runtime(&self) -> &'static str {
        C::Runtime::NAME
    }

    fn sample(&self, scenario: Scenario, scale: &Scale) -> Result<Sample, String> {
        // Each sample has a pool and a runtime of its own, so nothing is left of it.
        catch_unwind(AssertUnwindSafe(|| scenario.sample::<C>(scale)))
            .map_err(|panic| words(&*panic))
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}
