//! Frames and their encoding.

use std::io;
use std::pin::Pin;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::codec::{Decoder, Encoder, Framed, LengthDelimitedCodec};

/// Longest frame of an answer, bytes. A longer one ends the connection before it is read.
pub const MAX_FRAME: usize = 16 << 20;

/// Length-prefixed frames of at most `max` bytes.
pub fn framed<S: AsyncRead + AsyncWrite>(stream: S, max: usize) -> Framed<S, LengthDelimitedCodec> {
    LengthDelimitedCodec::builder().max_frame_length(max).new_framed(stream)
}

/// A buffer that has grown beyond this is freed once it is empty, bytes.
pub(super) const KEPT_BUFFER: usize = 64 << 10;

/// What a connection yields.
#[derive(Debug)]
pub(super) enum Piece {
    /// A frame of this many bytes follows. Nothing has been allocated for it yet.
    Announced(usize),
    /// The frame that was announced.
    Frame(BytesMut),
}

/// Frames of the server side. Incoming frames are announced before they are read; outgoing frames have at most
/// [`MAX_FRAME`] bytes.
#[derive(Debug)]
pub(super) struct Frames {
    longest: usize,
    /// Length of the announced frame, bytes.
    announced: Option<usize>,
}

impl Frames {
    /// Frames over a stream; incoming ones have at most `longest` bytes.
    pub(super) fn over<S: AsyncRead + AsyncWrite>(stream: S, longest: usize) -> Framed<S, Self> {
        Framed::new(stream, Self { longest, announced: None })
    }
}

impl Decoder for Frames {
    type Item = Piece;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<Piece>> {
        let Some(length) = self.announced else {
            let Some(head) = src.first_chunk::<4>() else { return Ok(None) };
            let length = u32::from_be_bytes(*head) as usize;
            if length > self.longest {
                let what = format!("a frame of {length} bytes; at most {} are allowed here", self.longest);
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            src.advance(4);
            self.announced = Some(length);
            return Ok(Some(Piece::Announced(length)));
        };
        if src.len() < length {
            src.reserve(length - src.len());
            return Ok(None);
        }
        self.announced = None;
        let frame = src.split_to(length);
        if length > KEPT_BUFFER {
            // The following bytes share the frame's allocation and would keep it alive.
            *src = BytesMut::from(&src[..]);
        }
        Ok(Some(Piece::Frame(frame)))
    }
}

impl Encoder<Bytes> for Frames {
    type Error = io::Error;

    fn encode(&mut self, frame: Bytes, dst: &mut BytesMut) -> io::Result<()> {
        let length = u32::try_from(frame.len()).ok().filter(|length| *length as usize <= MAX_FRAME);
        let length = length.ok_or_else(|| {
            io::Error::other(format!("an answer of {} bytes; at most {MAX_FRAME} are sent", frame.len()))
        })?;
        dst.reserve(4 + frame.len());
        dst.put_u32(length);
        dst.put_slice(&frame);
        Ok(())
    }
}

/// Postcard as tarpc's message format.
#[derive(Debug, Clone, Copy, Default)]
pub struct Postcard;

impl<T: Serialize> tokio_serde::Serializer<T> for Postcard {
    type Error = io::Error;

    fn serialize(self: Pin<&mut Self>, item: &T) -> Result<Bytes, io::Error> {
        postcard::to_stdvec(item).map(Bytes::from).map_err(io::Error::other)
    }
}

impl<T: DeserializeOwned> tokio_serde::Deserializer<T> for Postcard {
    type Error = io::Error;

    fn deserialize(self: Pin<&mut Self>, src: &BytesMut) -> Result<T, io::Error> {
        postcard::from_bytes(src).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
    }
}
