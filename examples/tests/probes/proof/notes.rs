//! What the binary says of its probes: a note for each place where one is compiled in.

use std::fs;

use object::LittleEndian as Little;
use object::elf::{FileHeader64, PF_W, PF_X, PT_LOAD, ProgramHeader64};
use object::read::elf::{FileHeader, NoteIterator, ProgramHeader, SectionHeader};

/// The test's own binary, as far as probes are concerned.
#[derive(Debug)]
pub(crate) struct Binary {
    pub(crate) notes: Vec<Note>,
    /// What is to be added to an address in the binary to find it in memory.
    pub(crate) bias: u64,
    segments: Vec<Segment>,
}

/// One place of a probe. Addresses are those in the binary.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) probe: String,
    pub(crate) place: u64,
    pub(crate) semaphore: u64,
    /// Where the arguments are: `8@%rdi 8@%rsi`.
    pub(crate) arguments: String,
}

/// What of the file is mapped where.
#[derive(Debug)]
struct Segment {
    address: u64,
    offset: u64,
    size: u64,
    flags: u32,
}

impl Binary {
    /// The one that runs.
    pub(crate) fn own() -> Self {
        let file = fs::read("/proc/self/exe").expect("the test's own binary");
        let header = FileHeader64::<Little>::parse(&*file).expect("it is an ELF file");
        let headers = header.program_headers(Little, &*file);
        let segments = headers.expect("it has segments").iter();
        let segments = segments.filter(|it| it.p_type(Little) == PT_LOAD);
        Self {
            notes: notes(header, &file),
            bias: entry_in_memory().wrapping_sub(header.e_entry(Little)),
            segments: segments.map(Segment::new).collect(),
        }
    }

    /// The places that are code. Others belong to code that the linker threw away, and lead nowhere.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Note> {
        let code = |note: &&Note| {
            let mut segments = self.segments.iter();
            segments.any(|it| it.flags & PF_X != 0 && it.holds(note.place))
        };
        self.notes.iter().filter(code)
    }

    /// The pages of the file that are mapped for writing, each as often as it is.
    pub(crate) fn writable_pages(&self) -> Vec<u64> {
        let writable = self.segments.iter().filter(|it| it.flags & PF_W != 0);
        writable.flat_map(Segment::pages).collect()
    }
}

impl Segment {
    fn new(header: &ProgramHeader64<Little>) -> Self {
        Self {
            address: header.p_vaddr(Little),
            offset: header.p_offset(Little),
            size: header.p_filesz(Little),
            flags: header.p_flags(Little),
        }
    }

    fn holds(&self, address: u64) -> bool {
        (self.address..self.address + self.size).contains(&address)
    }

    /// The pages of the file that are mapped for it.
    fn pages(&self) -> std::ops::Range<u64> {
        self.offset / PAGE..(self.offset + self.size).div_ceil(PAGE)
    }
}

/// The notes of provider `qorb`.
fn notes(header: &FileHeader64<Little>, file: &[u8]) -> Vec<Note> {
    let sections = header.sections(Little, file).expect("it has sections");
    let found = |name: &str| sections.section_by_name(Little, name.as_bytes());
    let (_, section) = found(".note.stapsdt").expect("it has notes of probes");
    let (_, base) = found(".stapsdt.base").expect("it has what notes reckon from");
    let base = base.sh_addr(Little);
    let raw = section.notes(Little, file).expect("its notes can be read");
    descriptions(raw.expect("it is a section of notes"))
        .map(|description| Note::parse(description, base).expect("a note of version 3"))
        .filter_map(|(provider, note)| (provider == PROVIDER).then_some(note))
        .collect()
}

fn descriptions(mut notes: NoteIterator<'_, FileHeader64<Little>>) -> impl Iterator<Item = &[u8]> {
    let next = move || notes.next().expect("notes follow one another");
    let all = std::iter::from_fn(next);
    let ours = all.filter(|it| it.name() == b"stapsdt" && it.n_type(Little) == VERSION);
    ours.map(|note| note.desc())
}

impl Note {
    /// Three addresses and three texts: the place, the base, the semaphore; the provider, the probe, its arguments. Where
    /// the base has been moved since it was written down, the other addresses have been moved with it.
    fn parse(description: &[u8], base: u64) -> Option<(String, Self)> {
        let (addresses, texts) = description.split_at_checked(3 * size_of::<u64>())?;
        let mut addresses = addresses.chunks_exact(size_of::<u64>());
        let mut address = || Some(u64::from_le_bytes(addresses.next()?.try_into().ok()?));
        let (place, noted_base, semaphore) = (address()?, address()?, address()?);
        let moved = base.wrapping_sub(noted_base);
        let mut texts = texts.split(|&byte| byte == 0);
        let mut text = || String::from_utf8(texts.next()?.to_vec()).ok();
        let provider = text()?;
        let note = Self {
            probe: text()?,
            place: place.wrapping_add(moved),
            semaphore: semaphore.wrapping_add(moved),
            arguments: text()?,
        };
        Some((provider, note))
    }
}

/// Where the program began, as the kernel tells each program.
fn entry_in_memory() -> u64 {
    let told = fs::read("/proc/self/auxv").expect("what the kernel told the program");
    let (words, _) = told.as_chunks::<8>();
    let words: Vec<u64> = words.iter().map(|&word| u64::from_le_bytes(word)).collect();
    let entry = words.chunks_exact(2).find(|pair| pair[0] == libc::AT_ENTRY);
    entry.expect("it told where the program begins")[1]
}

const PROVIDER: &str = "qorb";

/// Of the notes' form: `NT_STAPSDT`.
const VERSION: u32 = 3;

const PAGE: u64 = 4096;
