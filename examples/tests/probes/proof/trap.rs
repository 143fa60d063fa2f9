//! The tracer: breakpoints where the probes are, and what is written down as they are hit.
//!
//! As a debugger does, it writes through `/proc/self/mem`, for code and data alike. Where a probe is, the program has a
//! `nop` of one byte; a breakpoint is one byte too, so that whoever has hit it need only go on.

#![allow(
    unsafe_code,
    reason = "a signal's handler is set, and given the registers, as in C; nothing else here is unsafe"
)]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::{array, mem, ptr};

use super::arguments::{Operand, Registers};
use super::contract::{self, Form, Probe};
use super::fired::{Fired, Value};
use super::notes::{Binary, Note};

/// Traces this process, and is the only one that does, until it is dropped.
pub(crate) struct Tracer {
    trap: &'static Trap,
    semaphores: Semaphores,
    _turn: MutexGuard<'static, ()>,
}

/// Whether the program is told that it is traced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Semaphores {
    Raised,
    Left,
}

impl Tracer {
    /// Sets all breakpoints.
    pub(crate) fn attach(semaphores: Semaphores) -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let trap = TRAP.get_or_init(Trap::new);
        trap.replace_code(NOP, BREAKPOINT);
        if semaphores == Semaphores::Raised {
            trap.move_semaphores(1);
        }
        Self {
            trap,
            semaphores,
            _turn: turn,
        }
    }

    /// What has fired since this was called last.
    pub(crate) fn take(&self) -> Vec<Fired> {
        self.trap.take()
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if self.semaphores == Semaphores::Raised {
            self.trap.move_semaphores(-1);
        }
        self.trap.replace_code(BREAKPOINT, NOP);
        self.trap.taken.store(0, Ordering::Relaxed);
    }
}

/// Made once, and there for good: a handler cannot tell when nothing can come any more.
static TRAP: OnceLock<Trap> = OnceLock::new();

struct Trap {
    memory: File,
    /// By address.
    sites: Vec<Site>,
    /// Where each is.
    semaphores: Vec<u64>,
    hits: Box<[Hit]>,
    /// How many of them are in use.
    taken: AtomicUsize,
}

/// Where a probe is in memory.
struct Site {
    address: u64,
    probe: &'static Probe,
    operands: Vec<Operand>,
}

impl Trap {
    fn new() -> Self {
        let binary = Binary::own();
        let site = |note: &Note| Site::new(note, binary.bias);
        let mut sites: Vec<Site> = binary.live().map(site).collect();
        sites.sort_by_key(|site| site.address);
        let semaphores = binary.live().map(|note| note.semaphore);
        let mut semaphores: Vec<u64> = semaphores.map(|it| it.wrapping_add(binary.bias)).collect();
        semaphores.sort_unstable();
        semaphores.dedup();
        let memory = File::options()
            .read(true)
            .write(true)
            .open("/proc/self/mem");
        handle_breakpoints();
        Self {
            memory: memory.expect("a process may change itself"),
            sites,
            semaphores,
            hits: (0..MOST_HITS).map(|_| Hit::new()).collect(),
            taken: AtomicUsize::new(0),
        }
    }

    /// At each site, puts one instruction in the place of the other.
    fn replace_code(&self, old: u8, new: u8) {
        for Site { address, probe, .. } in &self.sites {
            let mut code = [0];
            let there = self.memory.read_exact_at(&mut code, *address);
            there.unwrap_or_else(|error| panic!("{} at {address:#x}: {error}", probe.name));
            assert_eq!(
                code,
                [old],
                "{} at {address:#x}: what is there?",
                probe.name
            );
            let written = self.memory.write_all_at(&[new], *address);
            written.expect("a process may change its code");
        }
    }

    fn move_semaphores(&self, by: i16) {
        for &address in &self.semaphores {
            let mut count = [0; 2];
            let there = self.memory.read_exact_at(&mut count, address);
            there.expect("a semaphore is in memory");
            let count = u16::from_le_bytes(count).checked_add_signed(by);
            let count = count.expect("others raise few, and lower what they raised");
            let written = self.memory.write_all_at(&count.to_le_bytes(), address);
            written.expect("a process may change its data");
        }
    }

    fn take(&self) -> Vec<Fired> {
        let count = self.taken.swap(0, Ordering::Relaxed);
        assert!(count <= self.hits.len(), "{count} hits are too many");
        let hits = self.hits[..count].iter();
        hits.map(|hit| hit.take(&self.sites)).collect()
    }

    /// Writes down that a breakpoint was hit; whether it is one of these. A handler of signals calls it, in the middle of
    /// whatever goes on: it takes no lock and allocates nothing.
    fn spring(&self, registers: &Registers) -> bool {
        let after = registers.get(REG_RIP).copied().unwrap_or_default();
        let address = after.cast_unsigned().wrapping_sub(1);
        let found = self
            .sites
            .binary_search_by_key(&address, |site| site.address);
        let Some((number, site)) = found.ok().and_then(|at| Some((at, self.sites.get(at)?))) else {
            return false;
        };
        let place = self.taken.fetch_add(1, Ordering::Relaxed);
        if let Some(hit) = self.hits.get(place) {
            hit.write(number, site, registers, &self.memory);
        }
        true
    }
}

impl Site {
    fn new(note: &Note, bias: u64) -> Self {
        let name = &note.probe;
        let probe = contract::find(name).unwrap_or_else(|| panic!("{name} is a new probe"));
        let operand = |text| Operand::parse(text).unwrap_or_else(|| panic!("{name}: {text}?"));
        let operands: Vec<Operand> = note.arguments.split(' ').map(operand).collect();
        assert_eq!(
            operands.len(),
            probe.arguments.len(),
            "{name}: {}",
            note.arguments
        );
        Self {
            address: note.place.wrapping_add(bias),
            probe,
            operands,
        }
    }
}

/// What a handler writes down, in room that was made before.
struct Hit {
    /// Which, or `UNWRITTEN`.
    site: AtomicUsize,
    arguments: [Argument; MOST_ARGUMENTS],
}

struct Argument {
    number: AtomicU64,
    /// Of the text, or `NO_TEXT`.
    length: AtomicUsize,
    text: [AtomicU8; LONGEST_TEXT],
}

impl Hit {
    fn new() -> Self {
        Self {
            site: AtomicUsize::new(UNWRITTEN),
            arguments: array::from_fn(|_| Argument::new()),
        }
    }

    fn write(&self, number: usize, site: &Site, registers: &Registers, memory: &File) {
        let forms = site.operands.iter().zip(site.probe.arguments);
        for (argument, (operand, form)) in self.arguments.iter().zip(forms) {
            let value = operand.fetch(registers, memory).unwrap_or_default();
            argument.number.store(value, Ordering::Relaxed);
            if *form == Form::Text {
                argument.copy_text(value, memory);
            }
        }
        self.site.store(number, Ordering::Release);
    }

    fn take(&self, sites: &[Site]) -> Fired {
        let site = self.site.swap(UNWRITTEN, Ordering::Acquire);
        let probe = sites.get(site).expect("a hit that is written down").probe;
        let arguments = self.arguments.iter().zip(probe.arguments);
        Fired {
            probe: probe.name,
            arguments: arguments.map(|(it, form)| it.value(*form)).collect(),
        }
    }
}

impl Argument {
    fn new() -> Self {
        Self {
            number: AtomicU64::new(0),
            length: AtomicUsize::new(NO_TEXT),
            text: array::from_fn(|_| AtomicU8::new(0)),
        }
    }

    /// Copies the text at `address`. As a tracer of another process must, it takes nothing for granted: where there is
    /// no memory, it reads none.
    fn copy_text(&self, address: u64, memory: &File) {
        let mut bytes = [0; LONGEST_TEXT];
        let readable = memory.read_at(&mut bytes, address).unwrap_or(0);
        let mut bytes = bytes.iter().take(readable);
        let end = bytes.clone().position(|&byte| byte == 0);
        self.length.store(end.unwrap_or(NO_TEXT), Ordering::Relaxed);
        for (to, from) in self.text.iter().zip(&mut bytes) {
            to.store(*from, Ordering::Relaxed);
        }
    }

    fn value(&self, form: Form) -> Value {
        if form == Form::Number {
            return Value::Number(self.number.load(Ordering::Relaxed));
        }
        let text = self.text.get(..self.length.load(Ordering::Relaxed));
        let bytes = text.map(|text| text.iter().map(|it| it.load(Ordering::Relaxed)).collect());
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        text.map_or(Value::Nothing, Value::Text)
    }
}

/// Has breakpoints come here.
fn handle_breakpoints() {
    // SAFETY: It is a C struct of numbers, a set of bits and a pointer that may be null, for all of which zero is a value.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = on_breakpoint as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: The handler has the signature that SA_SIGINFO asks for, and does only what a handler may.
    let refused = unsafe { libc::sigaction(libc::SIGTRAP, &raw const action, ptr::null_mut()) };
    assert_eq!(refused, 0, "breakpoints cannot be handled");
}

extern "C" fn on_breakpoint(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: With SA_SIGINFO, this is the state of the thread that was interrupted, and is there until the handler ends.
    let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let ours = TRAP.get().is_some_and(|trap| trap.spring(registers));
    if !ours {
        // Somebody else's breakpoint, which would have ended the program without this handler too.
        std::process::abort();
    }
}

const NOP: u8 = 0x90;
const BREAKPOINT: u8 = 0xcc;

const REG_RIP: usize = libc::REG_RIP as usize;

/// More than the whole scenario comes to.
const MOST_HITS: usize = 4096;
/// What usdt lets a probe have.
const MOST_ARGUMENTS: usize = 6;
/// More than any argument has, the end included.
const LONGEST_TEXT: usize = 192;

const UNWRITTEN: usize = usize::MAX;
const NO_TEXT: usize = usize::MAX;
