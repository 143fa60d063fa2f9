//! Where a probe's arguments are: the notation of notes, and how to follow it.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// The registers of a program that was interrupted, in the kernel's order.
pub(crate) type Registers = [libc::greg_t; 23];

/// Where one argument is, and how wide: `8@%rdi`, `-4@$5`, `8@-16(%rbp)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Operand {
    bytes: usize,
    signed: bool,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Register(usize),
    Constant(i64),
    Memory { base: usize, offset: i64 },
}

impl Operand {
    /// `None` for what is not in the notation, or in a part of it that compilers do not use here.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (width, place) = text.split_once('@')?;
        let bytes = width.trim_start_matches('-').parse().ok()?;
        let operand = Self {
            bytes,
            signed: width.starts_with('-'),
            place: Place::parse(place)?,
        };
        [1, 2, 4, 8].contains(&bytes).then_some(operand)
    }

    /// The argument, widened to 64 bits; `None` where memory that it is in cannot be read. Allocates nothing.
    pub(crate) fn fetch(self, registers: &Registers, memory: &File) -> Option<u64> {
        let wide = match self.place {
            Place::Register(register) => registers.get(register)?.cast_unsigned(),
            Place::Constant(value) => value.cast_unsigned(),
            Place::Memory { base, offset } => {
                let base = registers.get(base)?.cast_unsigned();
                let mut bytes = [0; 8];
                let at = base.wrapping_add_signed(offset);
                memory
                    .read_exact_at(bytes.get_mut(..self.bytes)?, at)
                    .ok()?;
                u64::from_le_bytes(bytes)
            }
        };
        let unused = u64::BITS - 8 * u32::try_from(self.bytes).ok()?;
        let high = wide << unused;
        Some(if self.signed {
            (high.cast_signed() >> unused).cast_unsigned()
        } else {
            high >> unused
        })
    }
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        if let Some(value) = text.strip_prefix('$') {
            return Some(Self::Constant(value.parse().ok()?));
        }
        if let Some(name) = text.strip_prefix('%') {
            return Some(Self::Register(register(name)?));
        }
        let (offset, base) = text.strip_suffix(')')?.split_once("(%")?;
        Some(Self::Memory {
            base: register(base)?,
            offset: if offset.is_empty() {
                0
            } else {
                offset.parse().ok()?
            },
        })
    }
}

/// Where the kernel keeps the register that goes by that name at any width.
fn register(name: &str) -> Option<usize> {
    let mut all = REGISTERS.iter();
    let (at, _) = all.find(|(_, names)| names.contains(&name))?;
    usize::try_from(*at).ok()
}

const REGISTERS: [(libc::c_int, [&str; 4]); 16] = [
    (libc::REG_RAX, ["rax", "eax", "ax", "al"]),
    (libc::REG_RBX, ["rbx", "ebx", "bx", "bl"]),
    (libc::REG_RCX, ["rcx", "ecx", "cx", "cl"]),
    (libc::REG_RDX, ["rdx", "edx", "dx", "dl"]),
    (libc::REG_RSI, ["rsi", "esi", "si", "sil"]),
    (libc::REG_RDI, ["rdi", "edi", "di", "dil"]),
    (libc::REG_RBP, ["rbp", "ebp", "bp", "bpl"]),
    (libc::REG_RSP, ["rsp", "esp", "sp", "spl"]),
    (libc::REG_R8, ["r8", "r8d", "r8w", "r8b"]),
    (libc::REG_R9, ["r9", "r9d", "r9w", "r9b"]),
    (libc::REG_R10, ["r10", "r10d", "r10w", "r10b"]),
    (libc::REG_R11, ["r11", "r11d", "r11w", "r11b"]),
    (libc::REG_R12, ["r12", "r12d", "r12w", "r12b"]),
    (libc::REG_R13, ["r13", "r13d", "r13w", "r13b"]),
    (libc::REG_R14, ["r14", "r14d", "r14w", "r14b"]),
    (libc::REG_R15, ["r15", "r15d", "r15w", "r15b"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(text: &str, registers: &Registers) -> Option<u64> {
        let memory = File::open("/proc/self/mem").expect("the test's own memory");
        let operand = Operand::parse(text).unwrap_or_else(|| panic!("{text} is not understood"));
        operand.fetch(registers, &memory)
    }

    fn at(register: libc::c_int) -> usize {
        usize::try_from(register).expect("a place")
    }

    #[test]
    fn the_notation_is_understood_and_followed() {
        let kept: &[i32; 2] = std::hint::black_box(&[7, -7]);
        let mut registers = Registers::default();
        registers[at(libc::REG_RDI)] = -2;
        registers[at(libc::REG_RBP)] = (&raw const kept[1]).addr().cast_signed() as libc::greg_t;
        for (text, value) in [
            ("8@%rdi", u64::MAX - 1),
            ("-8@%rdi", u64::MAX - 1),
            ("4@%edi", 0xffff_fffe),
            ("1@%dil", 0xfe),
            ("-1@%dil", u64::MAX - 1),
            ("8@%r9", 0),
            ("-4@$-5", u64::MAX - 4),
            ("4@(%rbp)", 0xffff_fff9),
            ("-4@-4(%rbp)", 7),
        ] {
            assert_eq!(fetch(text, &registers), Some(value), "{text}");
        }
        assert_eq!(fetch("8@(%rax)", &registers), None, "nothing is at zero");
    }

    #[test]
    fn what_is_not_in_the_notation_is_not_guessed_at() {
        for text in [
            "",
            "8@",
            "%rdi",
            "3@%rdi",
            "8@%rxx",
            "8@4(%rdi",
            "8f@%rdi",
            "8@x(%rip)",
        ] {
            assert_eq!(Operand::parse(text), None, "{text}");
        }
    }
}
