//! Other people's code, kept from taking ours down with it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `f`; if it panics, gives the words.
///
/// Whoever calls this throws away what `f` was working on if it panics, so nothing half-done is seen again.
pub(crate) fn caught<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(words)
}

/// Runs `f`, whose failure concerns nobody here: the panic hook has reported it.
pub(crate) fn quietly(f: impl FnOnce()) {
    let _ = caught(f);
}

fn words(payload: Box<dyn Any + Send>) -> String {
    let words = if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "(no words)".to_owned()
    };
    // A payload is somebody's value, and its own drop may panic. That is as far as we follow.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_panic_are_kept() {
        assert_eq!(caught(|| 3), Ok(3));
        assert_eq!(caught(|| panic!("plain")), Err::<(), _>("plain".into()));
        assert_eq!(
            caught(|| panic!("with {}", 2)),
            Err::<(), _>("with 2".into())
        );
        let odd = caught(|| std::panic::panic_any(7));
        assert_eq!(odd, Err::<(), _>("(no words)".into()));
    }

    #[test]
    fn a_payload_that_panics_in_its_turn_goes_no_further() {
        struct Spiteful;
        impl Drop for Spiteful {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        quietly(|| std::panic::panic_any(Spiteful));
    }
}
