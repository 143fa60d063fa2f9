//! A server that is a program of the system, run as a child process in a folder of its own.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::server::{BOUND, Place, serves};
use crate::zone::Zone;

/// A program that serves a zone, as this system runs it.
pub(crate) trait Program {
    /// What it is called.
    const NAME: &'static str;
    /// What has to be installed to have it.
    const PACKAGE: &'static str;

    /// Writes what it is to serve, and how, into its folder.
    fn configure(folder: &Path, address: SocketAddr, zone: &Zone);

    /// What makes of the program, which is at the path, a process in the foreground.
    fn arguments(folder: &Path) -> Vec<String>;
}

/// The process, and where it is. It is killed when this is dropped, and also when this program ends without a word.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Option<Child>,
    place: Option<Place>,
    address: SocketAddr,
    folder: TempDir,
}

impl Daemon {
    pub(crate) fn start<P: Program>(zone: &Zone) -> Self {
        let folder = TempDir::with_prefix("qorb-dns-").expect("a folder");
        // It may run under rules of the system that know its path, and keep it from a folder like this.
        let copy = folder.path().join(P::NAME);
        fs::copy(find::<P>(), copy).expect("a copy of the program");
        let place = Place::any();
        let mut daemon = Self {
            child: None,
            address: place.address(),
            place: Some(place),
            folder,
        };
        daemon.resume::<P>(zone);
        daemon
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).expect("a child to be told");
    }

    pub(crate) fn stop(&mut self) {
        self.kill();
        self.place = Some(Place::again(self.address));
    }

    pub(crate) fn resume<P: Program>(&mut self, zone: &Zone) {
        P::configure(self.folder.path(), self.address, zone);
        let began = Instant::now();
        loop {
            self.place = None;
            self.child = Some(self.spawn::<P>());
            if self.comes_up(zone) {
                return;
            }
            // Somebody was quicker to take the port. They leave it: they were given it by chance, for a query, say.
            self.kill();
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            assert!(began.elapsed() < BOUND, "{} ends:\n{log}", P::NAME);
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn spawn<P: Program>(&self) -> Child {
        let folder = self.folder.path();
        let log = fs::File::create(self.log()).expect("a log");
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(folder.join(P::NAME))
            .args(P::arguments(folder))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("setpriv, of the package util-linux")
    }

    /// Whether it serves. If not, it has ended.
    fn comes_up(&mut self, zone: &Zone) -> bool {
        let began = Instant::now();
        let child = self.child.as_mut().expect("it was spawned");
        while !serves(self.address, zone) {
            let ended = child.try_wait().expect("a child");
            if ended.is_some() || began.elapsed() > BOUND {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
        true
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

fn find<P: Program>() -> PathBuf {
    // Where servers are is often not where users look.
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let mut places = folders.map(|folder| folder.join(P::NAME));
    let found = places.find(|place| place.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "{} is not installed: apt-get install {}",
            P::NAME,
            P::PACKAGE
        )
    })
}
