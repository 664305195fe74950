//! Encoding of votes, log ids and entries in the write-ahead log, which frames and checksums each record
//! itself.

use std::io::{self, Read, Write};

use bytes::Bytes;
use codeq::{Decode, Encode};

use super::types::{LogId, PackedCommand, Payload, Vote};

/// Longest payload that is read, bytes: a damaged length must not cause an unbounded allocation.
pub(super) const MAX_PAYLOAD: u32 = 64 << 20;

/// The log's types.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LogTypes;

impl raft_log::Types for LogTypes {
    type LogId = StoredLogId;
    type LogPayload = StoredPayload;
    type Vote = StoredVote;
    type Callback = Flushed;
    type UserData = StoredOwner;

    fn log_index(id: &StoredLogId) -> u64 {
        id.0.index
    }

    fn payload_size(payload: &StoredPayload) -> u64 {
        match &payload.0 {
            Payload::Normal(command) => command.0.len() as u64 + 64,
            Payload::Blank | Payload::Membership(_) => 256,
        }
    }
}

/// The callback of a flush.
pub(super) struct Flushed(Box<dyn FnOnce(io::Result<()>) + Send>);

impl Flushed {
    pub(super) fn call(tell: impl FnOnce(io::Result<()>) + Send + 'static) -> Self {
        Self(Box::new(tell))
    }
}

impl raft_log::Callback for Flushed {
    fn send(self, result: Result<(), io::Error>) {
        (self.0)(result);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StoredLogId(pub(super) LogId);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd)]
pub(super) struct StoredVote(pub(super) Vote);

#[derive(Debug, Clone)]
pub(super) struct StoredPayload(pub(super) Payload);

/// The data directory that owns the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredOwner(pub(super) String);

impl Encode for StoredLogId {
    fn encode<W: Write>(&self, w: W) -> io::Result<usize> {
        encode_packed(&self.0, w)
    }
}

impl Decode for StoredLogId {
    fn decode<R: Read>(r: R) -> io::Result<Self> {
        decode_packed(r).map(Self)
    }
}

impl Encode for StoredVote {
    fn encode<W: Write>(&self, w: W) -> io::Result<usize> {
        encode_packed(&self.0, w)
    }
}

impl Decode for StoredVote {
    fn decode<R: Read>(r: R) -> io::Result<Self> {
        decode_packed(r).map(Self)
    }
}

impl Encode for StoredOwner {
    fn encode<W: Write>(&self, w: W) -> io::Result<usize> {
        encode_packed(&self.0, w)
    }
}

impl Decode for StoredOwner {
    fn decode<R: Read>(r: R) -> io::Result<Self> {
        decode_packed(r).map(Self)
    }
}

/// A payload: a tag, a length, the bytes. Commands are stored as they are.
impl Encode for StoredPayload {
    fn encode<W: Write>(&self, mut w: W) -> io::Result<usize> {
        match &self.0 {
            Payload::Normal(command) => {
                w.write_all(&[1])?;
                w.write_all(&length(command.0.len())?.to_be_bytes())?;
                w.write_all(&command.0)?;
                Ok(5 + command.0.len())
            }
            other => {
                w.write_all(&[0])?;
                Ok(1 + encode_packed(other, w)?)
            }
        }
    }
}

impl Decode for StoredPayload {
    fn decode<R: Read>(mut r: R) -> io::Result<Self> {
        let mut tag = [0];
        r.read_exact(&mut tag)?;
        match tag[0] {
            0 => decode_packed(r).map(Self),
            1 => Ok(Self(Payload::Normal(PackedCommand(Bytes::from(read_block(r)?))))),
            other => Err(invalid(format!("a log entry has the unknown tag {other}"))),
        }
    }
}

fn encode_packed<T: serde::Serialize, W: Write>(value: &T, mut w: W) -> io::Result<usize> {
    let bytes = postcard::to_stdvec(value).map_err(io::Error::other)?;
    w.write_all(&length(bytes.len())?.to_be_bytes())?;
    w.write_all(&bytes)?;
    Ok(4 + bytes.len())
}

fn decode_packed<T: serde::de::DeserializeOwned, R: Read>(r: R) -> io::Result<T> {
    let bytes = read_block(r)?;
    postcard::from_bytes(&bytes).map_err(|e| invalid(format!("a log record is damaged: {e}")))
}

fn read_block<R: Read>(mut r: R) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    r.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > MAX_PAYLOAD {
        return Err(invalid(format!("a log record claims {length} bytes")));
    }
    let mut bytes = vec![0; length as usize];
    r.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn length(bytes: usize) -> io::Result<u32> {
    u32::try_from(bytes)
        .ok()
        .filter(|&n| n <= MAX_PAYLOAD)
        .ok_or_else(|| invalid("a log entry is too large".into()))
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
