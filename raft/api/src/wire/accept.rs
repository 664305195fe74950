//! Receives calls on a connection after the greeting.
//!
//! Memory for a call is reserved before its frame is read, and released once its answer is sent. A frame that arrives
//! too slowly or an answer that the peer does not read ends the connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::{FutureExt, Sink, Stream};
use serde::Deserialize;
use tarpc::server::{BaseChannel, Serve};
use tarpc::{ClientMessage, RequestName, Response, ServerError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};
use tokio_util::codec::Framed;

use super::bounds::{QUERY_ANSWER, decoded_size, longest_frame};
use super::budget::{ByteBudget, Held};
use super::codec::{Frames, KEPT_BUFFER, Piece};
use super::greeting::Purpose;
use super::request::ApiRequest;
use super::service::{PeerRequest, PeerResponse};

/// Longest deadline that is accepted from a caller. tarpc takes any value from the wire, and its timers panic
/// for one of centuries.
const LONGEST_CALL: Duration = Duration::from_secs(24 * 3600);

/// How long an announced frame or a sent answer may take: this long, and a second more for this many bytes.
const TRANSFER_TIME: Duration = Duration::from_secs(10);
const BYTES_A_SECOND: usize = 64 << 10;

/// The calls on a connection, each within the size limit of the connection's purpose and all within the budget. Serve
/// them by a [`Charging`].
pub fn calls_on<S>(
    stream: S,
    purpose: Purpose,
    budget: ByteBudget,
) -> BaseChannel<Charged<PeerRequest>, Charged<PeerResponse>, CallTransport<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    BaseChannel::with_defaults(CallTransport {
        frames: Frames::over(stream, longest_frame(purpose)),
        purpose,
        budget,
        reading: Reading::Head,
        leaving: Vec::new(),
        leave_by: None,
    })
}

/// A request or a response with its reserved memory.
#[derive(Debug)]
pub struct Charged<T> {
    value: T,
    room: Held,
}

impl RequestName for Charged<PeerRequest> {
    fn name(&self) -> &str {
        self.value.name()
    }
}

/// Serves calls, and keeps the reservation of each until it is answered.
#[derive(Debug, Clone)]
pub struct Charging<S>(pub S);

impl<S: Serve<Req = PeerRequest, Resp = PeerResponse>> Serve for Charging<S> {
    type Req = Charged<PeerRequest>;
    type Resp = Charged<PeerResponse>;

    async fn serve(
        self,
        context: tarpc::context::Context,
        call: Charged<PeerRequest>,
    ) -> Result<Charged<PeerResponse>, ServerError> {
        let Charged { value, room } = call;
        Ok(Charged { value: self.0.serve(context, value).await?, room })
    }
}

/// What is being read.
enum Reading {
    Head,
    /// Waiting for memory for a frame of this many bytes.
    Room(usize, BoxFuture<'static, Option<Held>>),
    /// Reading a frame whose memory is reserved.
    Frame(Held, Pin<Box<Sleep>>),
    /// Waiting for memory for the answer to a received call.
    Answer(Box<ClientMessage<PeerRequest>>, BoxFuture<'static, Option<Held>>),
}

/// Calls and answers over a stream.
pub struct CallTransport<S> {
    frames: Framed<S, Frames>,
    purpose: Purpose,
    budget: ByteBudget,
    reading: Reading,
    /// Reservations of answers that are not completely sent.
    leaving: Vec<Held>,
    /// When they must be sent.
    leave_by: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> CallTransport<S> {
    fn poll_call(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<ClientMessage<Charged<PeerRequest>>>>> {
        loop {
            match &mut self.reading {
                Reading::Head => {
                    let Some(piece) = ready!(Pin::new(&mut self.frames).poll_next(cx)?) else {
                        return Poll::Ready(Ok(None));
                    };
                    let length = match piece {
                        Piece::Announced(length) => length,
                        Piece::Frame(_) => return Poll::Ready(Err(invalid("a frame before its length"))),
                    };
                    let room = self.budget.clone().take(decoded_size(self.purpose, length));
                    self.reading = Reading::Room(length, room.boxed());
                }
                Reading::Room(length, room) => {
                    let Some(room) = ready!(room.poll_unpin(cx)) else { return Poll::Ready(Ok(None)) };
                    self.reading = Reading::Frame(room, Box::pin(tokio::time::sleep(time_for(*length))));
                }
                Reading::Frame(_, late) => {
                    let Poll::Ready(piece) = Pin::new(&mut self.frames).poll_next(cx)? else {
                        ready!(late.poll_unpin(cx));
                        return Poll::Ready(Err(timed_out("the rest of a call did not come in time")));
                    };
                    let Reading::Frame(room, _) = std::mem::replace(&mut self.reading, Reading::Head) else {
                        continue;
                    };
                    let Some(Piece::Frame(frame)) = piece else {
                        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                    };
                    let call = decode(&frame)?;
                    if !is_query(&call) {
                        return Poll::Ready(charged(call, room).map(Some));
                    }
                    // The reservation of the call is released first: a task that holds some memory and waits for more
                    // would block others.
                    drop((frame, room));
                    self.reading =
                        Reading::Answer(Box::new(call), self.budget.clone().take(QUERY_ANSWER).boxed());
                }
                Reading::Answer(_, room) => {
                    let Some(room) = ready!(room.poll_unpin(cx)) else { return Poll::Ready(Ok(None)) };
                    let Reading::Answer(call, _) = std::mem::replace(&mut self.reading, Reading::Head) else {
                        continue;
                    };
                    return Poll::Ready(charged(*call, room).map(Some));
                }
            }
        }
    }

    /// Ends the connection if answers are not read in time.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.leave_by {
            Some(late) => {
                ready!(late.poll_unpin(cx));
                Poll::Ready(Err(timed_out("the answers were not taken in time")))
            }
            None => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for CallTransport<S> {
    type Item = io::Result<ClientMessage<Charged<PeerRequest>>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_call(cx).map(Result::transpose)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sink<Response<Charged<PeerResponse>>> for CallTransport<S> {
    type Error = io::Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.frames).poll_ready(cx) {
            Poll::Ready(ready) => Poll::Ready(ready),
            Poll::Pending => this.poll_late(cx),
        }
    }

    fn start_send(self: Pin<&mut Self>, response: Response<Charged<PeerResponse>>) -> io::Result<()> {
        let this = self.get_mut();
        let (message, room) = match response.message {
            Ok(Charged { value, room }) => (Ok(value), Some(room)),
            Err(error) => (Err(error), None),
        };
        let response = Response { request_id: response.request_id, message };
        let bytes = postcard::to_stdvec(&response).map_err(io::Error::other)?;
        let time = time_for(bytes.len());
        Pin::new(&mut this.frames).start_send(Bytes::from(bytes))?;
        this.leaving.extend(room);
        match &mut this.leave_by {
            Some(late) => {
                // Each answer has its own time in addition to that of the answers before it, as long as the peer
                // reads.
                let longer = late.deadline().max(Instant::now() + time);
                late.as_mut().reset(longer);
            }
            none => *none = Some(Box::pin(tokio::time::sleep(time))),
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if Pin::new(&mut this.frames).poll_flush(cx)?.is_pending() {
            return this.poll_late(cx);
        }
        this.leaving.clear();
        this.leave_by = None;
        if this.frames.write_buffer().capacity() > KEPT_BUFFER {
            *this.frames.write_buffer_mut() = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.frames).poll_close(cx) {
            Poll::Ready(closed) => Poll::Ready(closed),
            Poll::Pending => this.poll_late(cx),
        }
    }
}

/// How long this many bytes may take.
fn time_for(bytes: usize) -> Duration {
    TRANSFER_TIME + Duration::from_secs((bytes / BYTES_A_SECOND) as u64)
}

fn charged(call: ClientMessage<PeerRequest>, room: Held) -> io::Result<ClientMessage<Charged<PeerRequest>>> {
    match call {
        ClientMessage::Request(call) => Ok(ClientMessage::Request(tarpc::Request {
            context: call.context,
            id: call.id,
            message: Charged { value: call.message, room },
        })),
        ClientMessage::Cancel { trace_context, request_id } => {
            Ok(ClientMessage::Cancel { trace_context, request_id })
        }
        _ => Err(invalid("this is neither a call nor the end of one")),
    }
}

/// Whether the answer may be much longer than the call.
fn is_query(call: &ClientMessage<PeerRequest>) -> bool {
    let ClientMessage::Request(call) = call else { return false };
    let request = match &call.message {
        PeerRequest::Api { request } => request,
        PeerRequest::Forwarded { call } => &call.request,
        PeerRequest::Raft { .. } | PeerRequest::Join { .. } => return false,
    };
    matches!(request, ApiRequest::Query(_))
}

/// The start of a [`ClientMessage`], up to the deadline.
#[derive(Deserialize)]
enum Beginning {
    Request { may_take: Duration },
    Cancel,
}

fn decode(frame: &[u8]) -> io::Result<ClientMessage<PeerRequest>> {
    match postcard::take_from_bytes(frame).map_err(|e| invalid(format!("this is no call: {e}")))?.0 {
        Beginning::Request { may_take } if may_take > LONGEST_CALL => {
            Err(invalid(format!("a call that may take {may_take:?}; at most a day is allowed")))
        }
        Beginning::Request { .. } | Beginning::Cancel => postcard::from_bytes(frame).map_err(invalid),
    }
}

fn invalid(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn timed_out(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

#[cfg(test)]
mod tests {
    use futures::{SinkExt, StreamExt};
    use serde::Serialize;
    use tarpc::server::Channel;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::model::Query;
    use crate::model::WIRE_VERSIONS;
    use crate::wire::codec::{MAX_FRAME, framed};
    use crate::wire::connect::connect_over;
    use crate::wire::{ApiError, ApiReply, Forwarded, JoinAnswer, JoinRequest, Peer};

    /// A call, encoded as [`ClientMessage`] is.
    #[derive(Serialize)]
    enum Message {
        Request { may_take: Duration, trace: tarpc::trace::Context, id: u64, call: PeerRequest },
    }

    fn api(id: u64, request: ApiRequest) -> Vec<u8> {
        call(id, Duration::from_secs(60), request)
    }

    fn call(id: u64, may_take: Duration, request: ApiRequest) -> Vec<u8> {
        let trace = tarpc::trace::Context::default();
        let call = PeerRequest::Api { request };
        postcard::to_stdvec(&Message::Request { may_take, trace, id, call }).unwrap()
    }

    fn budget(bytes: usize) -> ByteBudget {
        ByteBudget::of_host(bytes, ByteBudget::of_all(bytes))
    }

    /// The result of receiving these bytes.
    async fn received(purpose: Purpose, bytes: &[u8]) -> Result<u64, String> {
        let (mut ours, theirs) = duplex(4096);
        let mut calls = Box::pin(calls_on(theirs, purpose, budget(16 << 20)));
        let (_, call) = tokio::join!(ours.write_all(bytes), calls.next());
        call.unwrap().map(|call| call.request.id).map_err(|error| format!("{error:?}"))
    }

    fn frame(content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32).to_be_bytes(), content].concat()
    }

    #[tokio::test]
    async fn a_call_of_centuries_ends_the_connection_with_an_error_and_no_panic() {
        let of = |may_take| frame(&call(7, may_take, ApiRequest::NodeStatus));
        assert_eq!(received(Purpose::Api, &of(Duration::from_secs(10))).await, Ok(7));
        for too_long in [LONGEST_CALL * 1_000, Duration::MAX] {
            let error = received(Purpose::Api, &of(too_long)).await.unwrap_err();
            assert!(error.contains("at most a day"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_frame_longer_than_its_connection_is_for_ends_the_connection() {
        for purpose in [Purpose::Api, Purpose::Control, Purpose::Replication] {
            let length = longest_frame(purpose) as u32 + 1;
            let error = received(purpose, &length.to_be_bytes()).await.unwrap_err();
            assert!(error.contains(&format!("a frame of {length} bytes")), "{error}");
        }
    }

    /// Answers at once; a query gets this many bytes.
    #[derive(Clone)]
    struct Answering(usize);

    impl Peer for Answering {
        async fn api(self, _: tarpc::context::Context, _: ApiRequest) -> Result<ApiReply, ApiError> {
            Err(ApiError::Unavailable("x".repeat(self.0)))
        }
        async fn forwarded(self, _: tarpc::context::Context, _: Forwarded) -> Result<ApiReply, ApiError> {
            Ok(ApiReply::Done)
        }
        async fn raft(self, _: tarpc::context::Context, _: Bytes) -> Result<Bytes, String> {
            Ok(Bytes::new())
        }
        async fn join(self, _: tarpc::context::Context, _: JoinRequest) -> JoinAnswer {
            JoinAnswer::Done
        }
    }

    /// Serves a connection until it closes.
    fn serve(stream: DuplexStream, budget: ByteBudget, answer: usize) -> tokio::task::JoinHandle<()> {
        tokio::spawn(async move {
            let calls = calls_on(stream, Purpose::Api, budget).execute(Charging(Answering(answer).serve()));
            calls.for_each_concurrent(None, |call| call).await;
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_that_does_not_come_ends_its_connection_and_gives_its_room_back() {
        let all = ByteBudget::of_all(8 << 20);
        let budget = ByteBudget::of_host(4 << 20, all.clone());
        let (mut slow, theirs) = duplex(4096);
        let slow_one = serve(theirs, budget.clone(), 1);
        slow.write_all(&(1u32 << 20).to_be_bytes()).await.unwrap();
        tokio::time::timeout(Duration::from_secs(600), slow_one).await.unwrap().unwrap();
        assert_eq!(all.available_permits(), 8 << 10);
        // The connection is closed.
        assert_eq!(slow.read(&mut [0; 8]).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_are_not_taken_end_the_connection_and_give_their_room_back() {
        let all = ByteBudget::of_all(8 << 20);
        let budget = ByteBudget::of_host(4 << 20, all.clone());
        let (ours, theirs) = duplex(4096);
        let served = serve(theirs, budget, 100_000);
        let mut ours = framed(ours, MAX_FRAME);
        ours.send(Bytes::from(api(1, ApiRequest::Query(Query::Crawls)))).await.unwrap();
        tokio::time::timeout(Duration::from_secs(600), served).await.unwrap().unwrap();
        assert_eq!(all.available_permits(), 8 << 10);
    }

    #[tokio::test]
    async fn a_query_holds_room_for_its_answer_and_another_call_only_for_itself() {
        let held = async |request| {
            let all = ByteBudget::of_all(8 << 20);
            let (mut ours, theirs) = duplex(4096);
            let budget = ByteBudget::of_host(8 << 20, all.clone());
            let mut calls = Box::pin(calls_on(theirs, Purpose::Api, budget));
            let bytes = frame(&api(1, request));
            let (_, call) = tokio::join!(ours.write_all(&bytes), calls.next());
            let _call = call.unwrap().unwrap();
            (8 << 20) - all.available_permits() * 1024
        };
        assert_eq!(held(ApiRequest::Query(Query::Crawls)).await, QUERY_ANSWER);
        let small = held(ApiRequest::NodeStatus).await;
        assert!((1..=16 << 10).contains(&small), "{small} bytes");
    }

    #[tokio::test]
    async fn calls_wait_for_room_and_are_all_answered() {
        // Room for two queries at a time.
        let all = ByteBudget::of_all(2 << 20);
        let budget = ByteBudget::of_host(2 << 20, all.clone());
        let (ours, theirs) = duplex(4096);
        let served = serve(theirs, budget, 50_000);
        let client = connect_over(ours, WIRE_VERSIONS.1);
        let ask = |_| client.api(Duration::from_secs(60), ApiRequest::Query(Query::Crawls));
        let answers = futures::future::join_all((0..40).map(ask)).await;
        assert!(answers.iter().all(|answer| matches!(answer, Ok(Err(ApiError::Unavailable(_))))));
        drop(client);
        served.await.unwrap();
        assert_eq!(all.available_permits(), 2 << 10);
    }
}
