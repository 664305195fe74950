//! CAR files (<https://ipld.io/specs/transport/car/carv1/>), indexed as they arrive.

use super::RepositoryError;
use super::cbor::Decoder;
use super::cid::Cid;

/// Longest header. It holds one CID.
const LONGEST_HEADER: u64 = 4096;
/// Longest block; servers take records of at most 1 MiB.
const LONGEST_BLOCK: u64 = 4 << 20;
/// Most blocks: 16 MB of index. 256 MiB of repository have about 900,000.
const MOST_BLOCKS: usize = 1_000_000;
/// Blocks that begin with the same eight bytes of hash and are looked at. With an honest server there is one.
const MOST_ALIKE: usize = 4;

/// Where the blocks are. Sixteen bytes a block, whatever it is.
#[derive(Debug)]
pub(super) struct Index(Vec<(u64, u64)>);

/// A block's place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) bytes: usize,
}

impl Index {
    /// The places where this block may be. Their bytes have to be compared with the CID: the file's own are not trusted.
    pub(super) fn places(&self, cid: &Cid) -> impl Iterator<Item = Place> {
        let hash = beginning(cid);
        let first = self.0.partition_point(|(other, _)| *other < hash);
        let alike = self.0[first..].iter().take_while(move |(other, _)| *other == hash).take(MOST_ALIKE);
        alike.map(|(_, packed)| Place { offset: packed >> 24, bytes: (packed & 0xff_ffff) as usize })
    }
}

fn beginning(cid: &Cid) -> u64 {
    cid.digest.iter().take(8).fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// What the next bytes are.
enum State {
    /// The length of the header or of a block, in base 128.
    Length {
        value: u64,
        shift: u32,
    },
    Header {
        left: u64,
        held: Vec<u8>,
    },
    Cid {
        left: u64,
        held: Vec<u8>,
    },
    Block {
        left: u64,
    },
}

/// Reads a CAR in pieces of any size.
pub(super) struct Scanner {
    state: State,
    position: u64,
    root: Option<Cid>,
    index: Vec<(u64, u64)>,
}

impl Scanner {
    pub(super) fn new() -> Self {
        Self { state: State::Length { value: 0, shift: 0 }, position: 0, root: None, index: Vec::new() }
    }

    /// Reads the next piece.
    pub(super) fn feed(&mut self, mut piece: &[u8]) -> Result<(), RepositoryError> {
        while !piece.is_empty() {
            let used = self.step(piece)?;
            self.position += used as u64;
            piece = &piece[used..];
        }
        Ok(())
    }

    /// Uses at least one byte.
    fn step(&mut self, piece: &[u8]) -> Result<usize, RepositoryError> {
        let offered = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        match &mut self.state {
            State::Length { value, shift } => {
                let byte = piece[0];
                *value |= u64::from(byte & 0x7f) << *shift;
                *shift += 7;
                if byte & 0x80 == 0 {
                    let length = *value;
                    self.state = self.begin(length)?;
                } else if *shift > 56 {
                    return Err(self.damaged("a length of more than eight bytes"));
                }
                Ok(1)
            }
            State::Header { left, held } => {
                let used = offered(*left);
                held.extend_from_slice(&piece[..used]);
                *left -= used as u64;
                if *left == 0 {
                    let root = root(held);
                    self.root = Some(root.map_err(|what| self.damaged(what))?);
                    self.state = State::Length { value: 0, shift: 0 };
                }
                Ok(used)
            }
            State::Cid { left, held } => {
                let used = offered((Cid::BYTES - held.len()) as u64);
                held.extend_from_slice(&piece[..used]);
                if held.len() == Cid::BYTES {
                    let (bytes, cid) = (*left, Cid::from_bytes(held));
                    let cid = cid.ok_or_else(|| self.damaged("a CID of another kind"))?;
                    self.note(&cid, self.position + used as u64, bytes)?;
                    self.state = match bytes {
                        0 => State::Length { value: 0, shift: 0 },
                        left => State::Block { left },
                    };
                }
                Ok(used)
            }
            State::Block { left } => {
                let used = offered(*left);
                *left -= used as u64;
                if *left == 0 {
                    self.state = State::Length { value: 0, shift: 0 };
                }
                Ok(used)
            }
        }
    }

    fn begin(&self, length: u64) -> Result<State, RepositoryError> {
        if self.root.is_none() {
            return match length {
                1..=LONGEST_HEADER => Ok(State::Header { left: length, held: Vec::new() }),
                _ => Err(self.damaged("no header of a CAR")),
            };
        }
        match length.checked_sub(Cid::BYTES as u64) {
            Some(left @ 0..=LONGEST_BLOCK) => Ok(State::Cid { left, held: Vec::with_capacity(Cid::BYTES) }),
            Some(_) => Err(self.damaged("a block that is too long")),
            None => Err(self.damaged("a block without a CID")),
        }
    }

    fn note(&mut self, cid: &Cid, offset: u64, bytes: u64) -> Result<(), RepositoryError> {
        if self.index.len() == MOST_BLOCKS {
            return Err(RepositoryError::TooLarge { what: format!("more than {MOST_BLOCKS} blocks") });
        }
        self.index.push((beginning(cid), offset << 24 | bytes));
        Ok(())
    }

    /// The root and the index of a file that was read to its end.
    pub(super) fn finish(mut self) -> Result<(Cid, Index), RepositoryError> {
        let between = matches!(self.state, State::Length { shift: 0, .. });
        let root = self.root.filter(|_| between).ok_or_else(|| self.damaged("it ends early"))?;
        self.index.sort_unstable();
        Ok((root, Index(self.index)))
    }

    fn damaged(&self, what: &str) -> RepositoryError {
        RepositoryError::Damaged(format!("{what} at byte {}", self.position))
    }
}

/// The one root of a header.
fn root(header: &[u8]) -> Result<Cid, &'static str> {
    let mut decoder = Decoder::new(header);
    let (mut root, mut version) = (None, 0);
    for _ in 0..decoder.map()? {
        match decoder.text()? {
            "roots" => {
                for place in 0..decoder.array()? {
                    let link = decoder.link()?;
                    root = if place == 0 { link } else { root };
                }
            }
            "version" => version = decoder.unsigned()?,
            _ => decoder.skip()?,
        }
    }
    root.filter(|_| version == 1 && decoder.is_at_end()).ok_or("no header of a CAR of version 1")
}
