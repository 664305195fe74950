//! The body of a response: ready bytes, or a stream for some faults.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::stream::{BoxStream, Stream, StreamExt};
use hyper::body::{Frame, SizeHint};

use super::ledger::InFlight;

/// Ready bytes in parts, so that a page can borrow from a timeline in memory.
pub(super) type Parts = VecDeque<Bytes>;

/// The body of a response.
pub(super) struct Body {
    source: Source,
    /// Remaining bytes; `None` for a chunked body.
    left: Option<u64>,
    /// Keeps the request counted as in flight until the body is dropped.
    in_flight: Option<InFlight>,
}

enum Source {
    Parts(Parts),
    Stream(BoxStream<'static, io::Result<Bytes>>),
}

impl Body {
    /// A body of ready bytes.
    pub fn ready(parts: Parts) -> Self {
        let left = parts.iter().map(|part| part.len() as u64).sum();
        Self { source: Source::Parts(parts), left: Some(left), in_flight: None }
    }

    /// A streamed body; without a length it is chunked.
    pub fn stream(
        length: Option<u64>,
        stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Self {
        Self { source: Source::Stream(stream.boxed()), left: length, in_flight: None }
    }

    /// Counts the request as in flight until the body is dropped.
    pub fn hold(mut self, in_flight: InFlight) -> Self {
        self.in_flight = Some(in_flight);
        self
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::ready(Parts::from([bytes]))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let next = match &mut self.source {
            Source::Parts(parts) => Poll::Ready(parts.pop_front().map(Ok)),
            Source::Stream(stream) => stream.poll_next_unpin(cx),
        };
        if let (Poll::Ready(Some(Ok(bytes))), Some(left)) = (&next, &mut self.left) {
            *left = left.saturating_sub(bytes.len() as u64);
        }
        next.map(|item| item.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.source, Source::Parts(parts) if parts.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Joins all parts, for the faults that change a body.
pub(super) fn join(parts: Parts) -> Bytes {
    let mut whole = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
    for part in &parts {
        whole.extend_from_slice(part);
    }
    whole.freeze()
}
