//! How files are compressed.
//!
//! A compressed file is a sequence of gzip members (RFC 1952) or of zstd frames with checksums (RFC 8878). Each is
//! complete by itself, so that a file can be cut behind any of them and continued.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use zstd::stream::raw::{self, CParameter, InBuffer, Operation, OutBuffer};

pub(super) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
pub(super) const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Buffered bytes, before and after decompression.
const BUFFER_BYTES: usize = 64 * 1024;

/// The format of a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    /// Not compressed.
    #[default]
    Plain,
    /// gzip members.
    Gzip,
    /// zstd frames.
    Zstd,
}

impl Codec {
    /// The codec of a file that starts with these bytes.
    pub fn of_start(bytes: &[u8]) -> Self {
        if bytes.starts_with(&GZIP_MAGIC) {
            Self::Gzip
        } else if bytes.starts_with(&ZSTD_MAGIC) {
            Self::Zstd
        } else {
            Self::Plain
        }
    }

    /// Whether the bytes are compressed.
    pub fn is_compressed(self) -> bool {
        self != Self::Plain
    }

    /// Decompresses all members or frames of `input`.
    pub(super) fn decode(self, input: impl BufRead + Send + 'static) -> io::Result<Box<dyn BufRead + Send>> {
        Ok(match self {
            Self::Plain => Box::new(input),
            Self::Gzip => Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(input))),
            Self::Zstd => Box::new(BufReader::with_capacity(
                BUFFER_BYTES,
                zstd::stream::read::Decoder::with_buffer(input)?,
            )),
        })
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// How new files are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not.
    None,
    /// With gzip, level 1 (fast) to 9 (small).
    Gzip(u32),
    /// With zstd, level 1 (fast) to 19 (small).
    Zstd(u32),
}

impl Default for Compression {
    fn default() -> Self {
        Self::of(Codec::Gzip)
    }
}

impl Compression {
    /// A codec with its usual level: 6 for gzip, 3 for zstd.
    pub fn of(codec: Codec) -> Self {
        match codec {
            Codec::Plain => Self::None,
            Codec::Gzip => Self::Gzip(6),
            Codec::Zstd => Self::Zstd(3),
        }
    }

    /// The codec.
    pub fn codec(self) -> Codec {
        match self {
            Self::None => Codec::Plain,
            Self::Gzip(_) => Codec::Gzip,
            Self::Zstd(_) => Codec::Zstd,
        }
    }

    /// This compression if its codec is `codec`, otherwise `codec` with its usual level.
    pub(super) fn with(self, codec: Codec) -> Self {
        if self.codec() == codec { self } else { Self::of(codec) }
    }
}

impl FromStr for Compression {
    type Err = String;

    /// `none`, `gzip` or `zstd`, the latter two also with a level as in `zstd:9`; a number alone is a level of gzip.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level.parse())),
            None => match text.parse() {
                Ok(level) => ("gzip", Some(Ok(level))),
                Err(_) => (text, None),
            },
        };
        match (name, level) {
            ("none", None) => Ok(Self::None),
            ("gzip", None) => Ok(Self::of(Codec::Gzip)),
            ("zstd", None) => Ok(Self::of(Codec::Zstd)),
            ("gzip", Some(Ok(level @ 1..=9))) => Ok(Self::Gzip(level)),
            ("zstd", Some(Ok(level @ 1..=19))) => Ok(Self::Zstd(level)),
            _ => Err(format!(
                "{text:?} is no compression; give none, gzip or zstd, the latter two with a level if wanted: gzip:1 (fast) to gzip:9 (small), zstd:1 to zstd:19"
            )),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Gzip(level) => write!(f, "gzip:{level}"),
            Self::Zstd(level) => write!(f, "zstd:{level}"),
        }
    }
}

/// Compresses one member or frame.
pub(super) enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(ZstdEncoder),
}

impl Encoder {
    /// Begins a member or frame, with room for this many bytes of output; `None` for plain files.
    pub(super) fn begin(compression: Compression, capacity: usize) -> io::Result<Option<Self>> {
        let output = || Vec::with_capacity(capacity);
        Ok(match compression {
            Compression::None => None,
            Compression::Gzip(level) => {
                Some(Self::Gzip(GzEncoder::new(output(), flate2::Compression::new(level.clamp(1, 9)))))
            }
            Compression::Zstd(level) => Some(Self::Zstd(ZstdEncoder::begin(level.clamp(1, 19), output())?)),
        })
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    /// The output so far; the caller may take it away.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => &mut encoder.output,
        }
    }

    /// Ends the member or frame, and returns the output that was not taken away.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

/// log2 of the bytes that a zstd frame can refer back to: 512 KiB, which bounds the memory of a draft while it is written.
const ZSTD_WINDOW_LOG: u32 = 19;

/// Free room in the output whenever the compressor is called.
const ZSTD_ROOM: usize = 32 * 1024;

/// Most contexts that are kept while nothing uses them.
const MOST_IDLE: usize = 8;

/// Contexts that nothing uses, with their levels. The node's allocator returns so large a block to the system; with a
/// context of its own, a timeline of 600 kB takes twice the time (1.2 ms instead of 0.6 ms).
static IDLE: Mutex<Vec<(u32, raw::Encoder<'static>)>> = Mutex::new(Vec::new());

fn idle() -> MutexGuard<'static, Vec<(u32, raw::Encoder<'static>)>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Compresses one zstd frame with a checksum.
pub(super) struct ZstdEncoder {
    level: u32,
    context: raw::Encoder<'static>,
    output: Vec<u8>,
}

impl ZstdEncoder {
    fn begin(level: u32, output: Vec<u8>) -> io::Result<Self> {
        let used_before = {
            let mut idle = idle();
            let at = idle.iter().position(|(of, _)| *of == level);
            at.map(|at| idle.swap_remove(at).1)
        };
        let context = match used_before {
            Some(context) => context,
            None => {
                let mut context = raw::Encoder::new(level as i32)?;
                context.set_parameter(CParameter::ChecksumFlag(true))?;
                context.set_parameter(CParameter::WindowLog(ZSTD_WINDOW_LOG))?;
                context
            }
        };
        Ok(Self { level, context, output })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut input = InBuffer::around(bytes);
        while input.pos() < bytes.len() {
            self.output.reserve(ZSTD_ROOM);
            let length = self.output.len();
            self.context.run(&mut input, &mut OutBuffer::around_pos(&mut self.output, length))?;
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<Vec<u8>> {
        loop {
            self.output.reserve(ZSTD_ROOM);
            let length = self.output.len();
            let mut room = OutBuffer::around_pos(&mut self.output, length);
            if self.context.finish(&mut room, true)? == 0 {
                break;
            }
        }
        self.context.reinit()?;
        let mut idle = idle();
        if idle.len() < MOST_IDLE {
            idle.push((self.level, self.context));
        }
        Ok(self.output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_that_is_used_again_gives_the_same_bytes() {
        let text: Vec<u8> =
            (0..40_000u32).flat_map(|n| format!("{{\"id\":{}}}\n", n * n % 977).into_bytes()).collect();
        let compress = |bytes: &[u8]| {
            let mut encoder = Encoder::begin(Compression::Zstd(3), 0).unwrap().unwrap();
            bytes.chunks(30_000).for_each(|chunk| encoder.write_all(chunk).unwrap());
            encoder.finish().unwrap()
        };
        let (first, other, again) = (compress(&text), compress(&text[7..]), compress(&text));
        assert!(first == again && first != other && first.len() < text.len() / 4);
        assert_eq!(zstd::stream::decode_all(&first[..]).unwrap(), text);
        // A frame that was given up leaves nothing behind.
        let mut encoder = Encoder::begin(Compression::Zstd(3), 0).unwrap().unwrap();
        encoder.write_all(&text).unwrap();
        drop(encoder);
        assert_eq!(compress(&text), first);
        assert!(idle().len() <= MOST_IDLE);
    }

    #[test]
    fn a_compression_is_named_with_or_without_its_level() {
        for (text, meant) in [
            ("none", Compression::None),
            ("gzip", Compression::Gzip(6)),
            ("6", Compression::Gzip(6)),
            ("gzip:1", Compression::Gzip(1)),
            ("zstd", Compression::Zstd(3)),
            ("zstd:19", Compression::Zstd(19)),
        ] {
            assert_eq!(text.parse(), Ok(meant));
            assert_eq!(meant.to_string().parse(), Ok(meant));
        }
        for wrong in ["", "0", "10", "gzip:0", "gzip:", "zstd:20", "zstd:-1", "none:1", "lz4"] {
            let error = wrong.parse::<Compression>().unwrap_err();
            assert!(error.contains(&format!("{wrong:?}")) && error.contains("zstd:19"), "{error}");
        }
    }
}
