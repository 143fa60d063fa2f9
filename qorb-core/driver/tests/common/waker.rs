//! A waker all of whose parts run the test's code: its wake, its clone and its drop. The standard library's own way to
//! make wakers leaves the clone out.

#![allow(unsafe_code, reason = "only a raw waker can hook its clone")]

use std::sync::Arc;
use std::task::{RawWaker, RawWakerVTable, Waker};

/// What is done with a waker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Touch {
    Wake,
    Clone,
    Drop,
}

type Hook = Arc<dyn Fn(Touch) + Send + Sync>;

/// A waker that tells `hook` of all that is done with it and its clones.
pub(crate) fn hooked(hook: impl Fn(Touch) + Send + Sync + 'static) -> Waker {
    raw(Arc::new(hook))
}

fn raw(hook: Hook) -> Waker {
    let data: *const Hook = Box::into_raw(Box::new(hook));
    // SAFETY: each function of the table treats the pointer as the box that it was made of, which is freed once: by
    // `wake` or by `drop`. The hook is `Send + Sync`.
    unsafe { Waker::from_raw(RawWaker::new(data.cast(), &TABLE)) }
}

static TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the box lives as long as its waker, which is borrowed here.
    let hook = unsafe { &*data.cast::<Hook>() };
    hook(Touch::Clone);
    let data: *const Hook = Box::into_raw(Box::new(Arc::clone(hook)));
    RawWaker::new(data.cast(), &TABLE)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: waking consumes the waker, and so the box.
    let hook = unsafe { Box::from_raw(data.cast::<Hook>().cast_mut()) };
    hook(Touch::Wake);
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: as for `clone`.
    let hook = unsafe { &*data.cast::<Hook>() };
    hook(Touch::Wake);
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: dropping consumes the waker, and so the box.
    let hook = unsafe { Box::from_raw(data.cast::<Hook>().cast_mut()) };
    hook(Touch::Drop);
}
