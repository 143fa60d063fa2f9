//! The resolver's tape, on its way to a file. Without the feature `recorder` there is none.

#[cfg(not(feature = "recorder"))]
pub(super) use none::{Mind, Taping};
#[cfg(feature = "recorder")]
pub(super) use some::{Mind, Taping};

#[cfg(not(feature = "recorder"))]
mod none {
    pub(in super::super) type Mind = qorb_core::dns::Resolver;

    #[derive(Default)]
    pub(in super::super) struct Taping(());

    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "as with a recorder, which can fail"
    )]
    impl Taping {
        pub(in super::super) fn begin(&self, _: &mut Mind) {}

        pub(in super::super) fn keep(&self, _: &mut Mind) {}

        pub(in super::super) fn write(&self) -> Result<(), String> {
            Ok(())
        }
    }
}

#[cfg(feature = "recorder")]
mod some {
    use std::io::Write;

    use crate::recorder::Recorder;

    /// What decides, and may keep a tape.
    pub(in super::super) type Mind = qorb_core::tape::dns::Recorded;

    /// What is written down is written out when this is dropped, at the latest.
    #[derive(Default)]
    pub(in super::super) struct Taping(Option<Recorder>);

    impl Taping {
        pub(in super::super) fn to(writer: impl Write + Send + 'static) -> Self {
            Self(Some(Recorder::new(writer)))
        }

        pub(in super::super) fn begin(&self, machine: &mut Mind) {
            if self.0.is_some() {
                machine.record();
            }
        }

        /// Called under the resolver's lock.
        pub(in super::super) fn keep(&self, machine: &mut Mind) {
            if let Some(recorder) = &self.0 {
                if recorder.has_failed() {
                    machine.stop_recording();
                } else {
                    recorder.keep(&machine.take_tape(), false);
                }
            }
        }

        /// Called with no lock held: the writer is somebody else's code.
        pub(in super::super) fn write(&self) -> Result<(), String> {
            self.0.as_ref().map_or(Ok(()), Recorder::write)
        }
    }
}
