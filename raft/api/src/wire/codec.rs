//! Frames and their contents.

use std::io;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::codec::{Decoder, Encoder, Framed, LengthDelimitedCodec};

/// Longest frame of an answer, bytes. A longer one ends the connection before it is read.
pub const MAX_FRAME: usize = 16 << 20;

/// Frames of at most `max` bytes, each after its length.
pub fn framed<S: AsyncRead + AsyncWrite>(stream: S, max: usize) -> Framed<S, LengthDelimitedCodec> {
    LengthDelimitedCodec::builder().max_frame_length(max).new_framed(stream)
}

/// Frames whose longest one differs by direction: what comes is bounded by what it is for, what goes by [`MAX_FRAME`].
#[derive(Debug)]
pub struct Frames {
    incoming: LengthDelimitedCodec,
    outgoing: LengthDelimitedCodec,
}

impl Decoder for Frames {
    type Item = BytesMut;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<BytesMut>> {
        self.incoming.decode(src)
    }
}

impl Encoder<Bytes> for Frames {
    type Error = io::Error;

    fn encode(&mut self, frame: Bytes, dst: &mut BytesMut) -> io::Result<()> {
        self.outgoing.encode(frame, dst)
    }
}

/// Frames of which those that come have at most `max` bytes.
pub fn framed_in<S: AsyncRead + AsyncWrite>(stream: S, max: usize) -> Framed<S, Frames> {
    let codec = |max| LengthDelimitedCodec::builder().max_frame_length(max).new_codec();
    Framed::new(stream, Frames { incoming: codec(max), outgoing: codec(MAX_FRAME) })
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
