//! A runtime of one thread, in full: what an adapter for it has to write.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::pin::{Pin, pin};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use qorb_driver::connectors::tcp::DialTcp;
use qorb_driver::runtime::{Bytes, Datagrams, Network, Runtime, Timer};

/// A handle to the runtime. Pools hold it, and tasks hold pools, so it does not own the thread.
#[derive(Clone, Default)]
pub(crate) struct Tiny(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Rung when there is something to do.
    bell: Condvar,
}

#[derive(Default)]
struct State {
    tasks: BTreeMap<u64, Arc<Task>>,
    ready: VecDeque<Arc<Task>>,
    alarms: BTreeMap<(Instant, u64), Waker>,
    /// Tasks and timers are numbered.
    last: u64,
    ended: bool,
}

struct Task {
    number: u64,
    rt: Tiny,
    /// `None` once it has ended.
    future: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Tiny>> = const { RefCell::new(None) };
}

impl Runtime for Tiny {
    type Timer = TinyTimer;

    fn current() -> Option<Self> {
        // A handle may be dropped when the thread's own variables have gone already.
        CURRENT.try_with(|it| it.borrow().clone()).ok().flatten()
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let future: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(task);
        let mut state = self.state();
        if state.ended {
            // Whoever waits for it learns of it, for it is dropped; but not under our lock.
            drop(state);
            return drop(future);
        }
        state.last += 1;
        let task = Arc::new(Task {
            number: state.last,
            rt: self.clone(),
            future: Mutex::new(Some(future)),
        });
        state.tasks.insert(task.number, Arc::clone(&task));
        state.ready.push_back(task);
        self.0.bell.notify_one();
    }

    fn timer(&self) -> TinyTimer {
        let mut state = self.state();
        state.last += 1;
        TinyTimer {
            rt: self.clone(),
            number: state.last,
            at: None,
        }
    }

    fn within<T>(&self, f: impl FnOnce() -> T) -> T {
        /// Puts back what was there before, also when `f` panics.
        struct Restore(Option<Tiny>);
        impl Drop for Restore {
            fn drop(&mut self) {
                let _ = CURRENT.try_with(|it| it.replace(self.0.take()));
            }
        }
        let before = CURRENT.try_with(|it| it.replace(Some(self.clone())));
        let _restore = Restore(before.ok().flatten());
        f()
    }
}

impl Tiny {
    /// Runs tasks on the calling thread until [`end`](Self::end).
    pub(crate) fn work(&self) {
        self.within(|| {
            while let Some(task) = self.next() {
                task.run();
            }
        });
        // What is left is dropped where its own code may run: without our lock.
        let left = {
            let mut state = self.state();
            state.ready.clear();
            state.alarms.clear();
            std::mem::take(&mut state.tasks)
        };
        for task in left.values() {
            drop(task.take());
        }
    }

    pub(crate) fn end(&self) {
        self.state().ended = true;
        self.0.bell.notify_one();
    }

    /// Runs `main` on the calling thread, inside the runtime.
    pub(crate) fn block_on<F: Future>(&self, main: F) -> F::Output {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut cx = Context::from_waker(&waker);
        let mut main = pin!(main);
        loop {
            if let Poll::Ready(output) = self.within(|| main.as_mut().poll(&mut cx)) {
                return output;
            }
            thread::park();
        }
    }

    /// The next task to be polled. Waits for it, and wakes those whose timers have elapsed. `None` at the end.
    fn next(&self) -> Option<Arc<Task>> {
        let mut state = self.state();
        loop {
            if state.ended {
                return None;
            }
            let now = Instant::now();
            if let Some(alarm) = state.alarms.first_entry().filter(|it| it.key().0 <= now) {
                let waker = alarm.remove();
                // Somebody else's code, so not under our lock.
                drop(state);
                waker.wake();
                state = self.state();
                continue;
            }
            if let Some(task) = state.ready.pop_front() {
                return Some(task);
            }
            let bell = &self.0.bell;
            state = if let Some((&(at, _), _)) = state.alarms.first_key_value() {
                let waited = bell.wait_timeout(state, at - now);
                waited.unwrap_or_else(PoisonError::into_inner).0
            } else {
                let waited = bell.wait(state);
                waited.unwrap_or_else(PoisonError::into_inner)
            };
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.0.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Task {
    fn run(self: &Arc<Self>) {
        let waker = Waker::from(Arc::clone(self));
        // Nobody else polls it, so it can be taken out for as long.
        let Some(mut future) = self.take() else {
            return;
        };
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        if polled.is_pending() {
            *self.future.lock().unwrap() = Some(future);
        } else {
            drop(future);
            let ended = self.rt.state().tasks.remove(&self.number);
            drop(ended);
        }
    }

    fn take(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        self.future.lock().unwrap().take()
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let rt = self.rt.clone();
        let mut state = rt.state();
        if !state.ended {
            state.ready.push_back(self);
            rt.0.bell.notify_one();
        }
    }
}

pub(crate) struct TinyTimer {
    rt: Tiny,
    number: u64,
    /// What it is armed for.
    at: Option<Instant>,
}

impl TinyTimer {
    fn strike_off(&self) {
        let alarm = self.at.and_then(|at| {
            let mut state = self.rt.state();
            state.alarms.remove(&(at, self.number))
        });
        drop(alarm);
    }
}

impl Timer for TinyTimer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.strike_off();
        self.at = Some(at);
    }

    fn poll_elapsed(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        if at <= Instant::now() {
            self.strike_off();
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let replaced = {
            let mut state = self.rt.state();
            let replaced = state.alarms.insert((at, self.number), waker);
            self.rt.0.bell.notify_one();
            replaced
        };
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for TinyTimer {
    fn drop(&mut self) {
        self.strike_off();
    }
}

/// Sockets of the standard library, looked at every millisecond. A runtime with a reactor would be told.
impl Network for Tiny {
    type Udp = TinySocket<UdpSocket>;
    type Tcp = TinySocket<TcpStream>;

    fn watch(&self, socket: UdpSocket) -> io::Result<Self::Udp> {
        Ok(self.watched(socket))
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Self::Tcp> {
        let stream = Dial.dial(address).await?;
        Ok(self.watched(stream))
    }
}

impl Tiny {
    fn watched<S>(&self, socket: S) -> TinySocket<S> {
        TinySocket {
            socket,
            timer: self.timer(),
        }
    }
}

pub(crate) struct TinySocket<S> {
    socket: S,
    timer: TinyTimer,
}

impl<S> TinySocket<S> {
    /// Does `work`, which does not block, once it can be done.
    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut work: impl FnMut(&mut S) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            match work(&mut self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
            let mut timer = Pin::new(&mut self.timer);
            timer
                .as_mut()
                .reset(Instant::now() + Duration::from_millis(1));
            if timer.poll_elapsed(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Datagrams for TinySocket<UdpSocket> {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.poll(cx, |socket| socket.recv_from(buffer))
    }
}

impl Bytes for TinySocket<TcpStream> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll(cx, |stream| stream.read(buffer))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(cx, |stream| stream.write(bytes))
    }
}

/// Connects the standard library's streams, each on a thread of its own. A runtime with a reactor would use that.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dial;

impl DialTcp for Dial {
    type Stream = TcpStream;

    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let stream = beside(move || TcpStream::connect(address)).await?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }
}

#[cfg(unix)]
impl qorb_driver::connectors::unix::DialUnix for Dial {
    type Stream = std::os::unix::net::UnixStream;

    async fn dial(&self, path: &str) -> io::Result<Self::Stream> {
        let path = path.to_owned();
        let stream = beside(move || Self::Stream::connect(path)).await?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }
}

/// Does on a thread of its own what blocks.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, waits) = mpsc::channel();
    let waits = Mutex::new(waits);
    let waker = Arc::new(Mutex::new(None::<Waker>));
    let theirs = Arc::clone(&waker);
    thread::spawn(move || {
        let _ = done.send(work());
        let waker = theirs.lock().unwrap().take();
        waker.inspect(Waker::wake_by_ref);
    });
    std::future::poll_fn(|cx| {
        *waker.lock().unwrap() = Some(cx.waker().clone());
        let done = waits.lock().unwrap().try_recv();
        done.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}
