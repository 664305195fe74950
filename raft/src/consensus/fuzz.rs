//! Entry points to the log and to Raft's messages for the fuzz targets.

use bytes::Bytes;
use codeq::{Decode, Encode};

use super::log_codec::{StoredLogId, StoredPayload, StoredVote};
use super::messages::RaftMessage;
use super::types::{Payload, Vote};

/// Valid messages.
pub(crate) fn good_messages() -> Vec<Bytes> {
    let id = "1-2-3".to_owned();
    let all = [
        RaftMessage::SnapshotChunk { id: id.clone(), offset: 0, chunk: Bytes::from_static(b"twm-snap") },
        RaftMessage::SnapshotEnd { id, bytes: 8, vote: Vote::new(1, crate::model::MemberId::from(2)) },
    ];
    all.iter().filter_map(|message| postcard::to_stdvec(message).ok()).map(Bytes::from).collect()
}

/// A message of Raft: decoding, encoding and decoding again gives the same value.
pub(crate) fn message(bytes: &[u8]) {
    let Ok(message) = RaftMessage::decode(bytes) else { return };
    let encoded = postcard::to_stdvec(&message).unwrap_or_default();
    let again = RaftMessage::decode(&encoded).map(|message| postcard::to_stdvec(&message));
    assert_eq!(again, Ok(Ok(encoded)));
}

/// Log records of every kind: decoding, encoding and decoding again gives the same value, for a contained command as
/// well.
pub fn log_record(bytes: &[u8]) {
    super::log_check::search(bytes);
    if let Ok(id) = StoredLogId::decode(bytes) {
        assert_eq!(StoredLogId::decode(&*encoded(&id)).ok(), Some(id));
    }
    if let Ok(vote) = StoredVote::decode(bytes) {
        assert_eq!(StoredVote::decode(&*encoded(&vote)).ok(), Some(vote));
    }
    let Ok(payload) = StoredPayload::decode(bytes) else { return };
    let first = encoded(&payload);
    assert_eq!(StoredPayload::decode(&*first).map(|again| encoded(&again)).ok(), Some(first));
    if let StoredPayload(Payload::Normal(packed)) = payload {
        if let Ok(command) = packed.unpack() {
            let again = super::PackedCommand::pack(&command).and_then(|packed| packed.unpack());
            assert_eq!(again, Ok(command));
        }
    }
}

fn encoded(record: &impl Encode) -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = record.encode(&mut bytes).unwrap_or_default();
    assert_eq!(length, bytes.len(), "the length that was stated");
    bytes
}
