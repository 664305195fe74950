//! Taking calls from a connection that was greeted.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tarpc::server::BaseChannel;
use tarpc::{ClientMessage, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::codec::Framed;

use super::bounds::longest_frame;
use super::codec::{Frames, Postcard, framed_in};
use super::greeting::Purpose;
use super::service::{PeerRequest, PeerResponse};

/// The longest that a call may take, as its caller says. tarpc takes any time from the wire, and panics in its
/// timers over one of centuries.
const LONGEST_CALL: Duration = Duration::from_secs(24 * 3600);

type CallTransport<S> =
    tokio_serde::Framed<Framed<S, Frames>, ClientMessage<PeerRequest>, Response<PeerResponse>, Calls>;

/// The calls that come on a connection, each no longer than those for its purpose are.
pub fn calls_on<S>(stream: S, purpose: Purpose) -> BaseChannel<PeerRequest, PeerResponse, CallTransport<S>>
where
    S: AsyncRead + AsyncWrite,
{
    let frames = framed_in(stream, longest_frame(purpose));
    BaseChannel::with_defaults(tokio_serde::Framed::new(frames, Calls))
}

/// [`Postcard`] for the side that is called.
#[derive(Debug, Clone, Copy)]
pub struct Calls;

/// The beginning of a [`ClientMessage`], up to the time that a call may take.
#[derive(Deserialize)]
enum Beginning {
    Request { may_take: Duration },
    Cancel,
}

impl<T: Serialize> tokio_serde::Serializer<T> for Calls {
    type Error = io::Error;

    fn serialize(self: Pin<&mut Self>, item: &T) -> Result<Bytes, io::Error> {
        Pin::new(&mut Postcard).serialize(item)
    }
}

impl tokio_serde::Deserializer<ClientMessage<PeerRequest>> for Calls {
    type Error = io::Error;

    fn deserialize(self: Pin<&mut Self>, src: &BytesMut) -> Result<ClientMessage<PeerRequest>, io::Error> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        match postcard::take_from_bytes(src).map_err(|e| invalid(format!("this is no call: {e}")))?.0 {
            Beginning::Request { may_take } if may_take > LONGEST_CALL => {
                Err(invalid(format!("a call that may take {may_take:?}; at most a day is allowed")))
            }
            Beginning::Request { .. } | Beginning::Cancel => Pin::new(&mut Postcard).deserialize(src),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{SinkExt, StreamExt};
    use tokio::io::duplex;

    use super::*;
    use crate::wire::ApiRequest;
    use crate::wire::codec::{MAX_FRAME, framed};

    /// A call as [`ClientMessage`] writes it.
    #[derive(Serialize)]
    enum Message {
        Request { may_take: Duration, trace: tarpc::trace::Context, id: u64, call: PeerRequest },
    }

    /// What becomes of a call that may take so long.
    async fn received(may_take: Duration) -> Option<Result<u64, String>> {
        let (ours, theirs) = duplex(4096);
        let trace = tarpc::trace::Context::default();
        let call = PeerRequest::Api { request: ApiRequest::NodeStatus };
        let bytes = postcard::to_stdvec(&Message::Request { may_take, trace, id: 7, call }).unwrap();
        framed(ours, MAX_FRAME).send(Bytes::from(bytes)).await.unwrap();
        let call = Box::pin(calls_on(theirs, Purpose::Api)).next().await?;
        Some(call.map(|call| call.request.id).map_err(|error| format!("{error:?}")))
    }

    #[tokio::test]
    async fn a_call_of_centuries_ends_the_connection_with_an_error_and_no_panic() {
        assert_eq!(received(Duration::from_secs(10)).await, Some(Ok(7)));
        for too_long in [LONGEST_CALL * 1_000, Duration::MAX] {
            let error = received(too_long).await.unwrap().unwrap_err();
            assert!(error.contains("at most a day"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_frame_longer_than_its_connection_is_for_ends_the_connection() {
        for purpose in [Purpose::Api, Purpose::Control, Purpose::Replication] {
            let (ours, theirs) = duplex(4096);
            let length = longest_frame(purpose) as u32 + 1;
            let mut ours = ours;
            tokio::io::AsyncWriteExt::write_all(&mut ours, &length.to_be_bytes()).await.unwrap();
            let call = Box::pin(calls_on(theirs, purpose)).next().await.unwrap();
            let error = format!("{:?}", call.map(|call| call.request.id).unwrap_err());
            assert!(error.contains("LengthDelimitedCodecError"), "{error}");
        }
    }
}
