//! Pipelines appends to a follower that lags.

use std::collections::VecDeque;
use std::future::Future;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, FuturesOrdered};
use futures::{FutureExt, Stream, StreamExt};
use openraft::errors::{NetworkError, RPCError};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, StreamAppendResult};

use super::types::{Entry, LogId, Payload, TypeConfig};

/// Most batches in flight.
const MOST: usize = 3;

/// A batch with at least this many bytes of commands counts as full: half of the limit of one batch.
const FULL: u64 = 2 << 20;

/// Overhead of an entry, bytes.
const ENTRY: u64 = 32;

type Request = AppendEntriesRequest<TypeConfig>;
type Response = Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>>;
type Answer = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

/// Sends requests and yields the answers in the order of the requests. The stream ends with the first answer that is
/// not a full success, or with the requests.
///
/// A request with a full batch is not waited for before the next one is sent: the follower lags, and the link would
/// be idle while it writes. A smaller one is waited for, so that what is proposed in the meantime is sent together.
///
/// `send` gets the number of bytes of commands that are in flight ahead of its request.
pub(super) fn answers<'s, S, F>(
    requests: S,
    send: impl Fn(Request, u64) -> F + Send + 's,
) -> BoxStream<'s, Answer>
where
    S: Stream<Item = Request> + Send + Unpin + 's,
    F: Future<Output = Response> + Send + 's,
{
    let appends =
        Appends { requests: Some(requests), send, answers: FuturesOrdered::new(), sizes: VecDeque::new() };
    stream::unfold(appends, |mut appends| async move {
        let answer = appends.next().await?;
        Some((answer, appends))
    })
    .boxed()
}

struct Appends<'s, S, T> {
    /// Absent once no further request may be sent.
    requests: Option<S>,
    send: T,
    answers: FuturesOrdered<BoxFuture<'s, (Answer, bool)>>,
    /// Sizes of the batches in flight, bytes.
    sizes: VecDeque<u64>,
}

impl<'s, S, T, F> Appends<'s, S, T>
where
    S: Stream<Item = Request> + Send + Unpin + 's,
    T: Fn(Request, u64) -> F + Send + 's,
    F: Future<Output = Response> + Send + 's,
{
    async fn next(&mut self) -> Option<Answer> {
        loop {
            let room = self.sizes.len() < MOST && self.sizes.back().is_none_or(|last| *last >= FULL);
            let requests = self.requests.as_mut().filter(|_| room);
            let may_follow = requests.is_some();
            tokio::select! {
                biased;
                Some((answer, goes_on)) = self.answers.next() => {
                    self.sizes.pop_front();
                    if !goes_on {
                        self.requests = None;
                        self.answers = FuturesOrdered::new();
                    }
                    return Some(answer);
                }
                request = async { requests?.next().await }, if may_follow => match request {
                    Some(request) => self.send(request),
                    None => self.requests = None,
                },
                else => return None,
            }
        }
    }

    fn send(&mut self, request: Request) {
        let (previous, last) = (request.prev_log_id, request.entries.last().map(|entry| entry.log_id));
        let ahead = self.sizes.iter().sum();
        self.sizes.push_back(bytes_of(&request.entries));
        let response = (self.send)(request, ahead);
        self.answers.push_back(async move { answer(response.await, previous, last.or(previous)) }.boxed());
    }
}

/// Converts a response for openraft, and says whether further ones may follow.
fn answer(response: Response, previous: Option<LogId>, last: Option<LogId>) -> (Answer, bool) {
    match response {
        Ok(AppendEntriesResponse::Conflict) if previous.is_none() => {
            let why = "the peer denies what every log begins with; install the same release everywhere";
            (Err(RPCError::Network(NetworkError::from_string(why))), false)
        }
        Ok(response) => {
            let whole = !matches!(&response, AppendEntriesResponse::PartialSuccess(upto) if *upto != last);
            let result = response.into_stream_result(previous, last);
            let goes_on = whole && result.is_ok();
            (Ok(result), goes_on)
        }
        Err(error) => (Err(error), false),
    }
}

/// Approximate size of these entries in a message, bytes. A request without entries counts as zero.
pub(super) fn bytes_of(entries: &[Entry]) -> u64 {
    let size = |entry: &Entry| match &entry.payload {
        Payload::Normal(command) => command.0.len() as u64,
        _ => 0,
    };
    entries.iter().map(|entry| ENTRY + size(entry)).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures::channel::{mpsc, oneshot};
    use openraft::raft::StreamAppendError;
    use openraft::testing::log_id;

    use super::super::types::{PackedCommand, Vote};
    use super::*;
    use crate::model::MemberId;

    const SMALL: usize = 10;
    const CUT: u64 = FULL + ENTRY;

    fn id(index: u64) -> LogId {
        log_id::<TypeConfig>(1, MemberId::from(1), index)
    }

    /// A request with the entry of this index.
    fn request(index: u64, bytes: usize) -> Request {
        let payload = Payload::Normal(PackedCommand(vec![0; bytes].into()));
        Request {
            vote: Vote::new(1, MemberId::from(1)),
            prev_log_id: index.checked_sub(1).map(id),
            leader_commit: None,
            entries: vec![Entry { log_id: id(index), payload }],
        }
    }

    /// An append that is not answered yet, and the bytes in flight ahead of it.
    type Pending = (u64, u64, oneshot::Sender<Response>);

    /// A peer that records what it is sent.
    #[derive(Clone, Default)]
    struct Peer(Arc<Mutex<Vec<Pending>>>);

    impl Peer {
        fn send(&self, request: &Request, ahead: u64) -> impl Future<Output = Response> + use<> {
            let (answer, answered) = oneshot::channel();
            self.0.lock().unwrap().push((request.entries[0].log_id.index, ahead, answer));
            async move { answered.await.unwrap() }
        }

        fn under_way(&self) -> Vec<(u64, u64)> {
            self.0.lock().unwrap().iter().map(|(index, ahead, _)| (*index, *ahead)).collect()
        }

        fn answer(&self, index: u64, response: AppendEntriesResponse<TypeConfig>) {
            let mut sent = self.0.lock().unwrap();
            let at = sent.iter().position(|(sent, _, _)| *sent == index).unwrap();
            sent.remove(at).2.send(Ok(response)).unwrap();
        }
    }

    /// Sends requests of these sizes to a peer.
    fn appends(sizes: &[usize]) -> (Peer, BoxStream<'static, Answer>) {
        let (tell, requests) = mpsc::unbounded();
        for (index, bytes) in (0..).zip(sizes) {
            tell.unbounded_send(request(index, *bytes)).unwrap();
        }
        let peer = Peer::default();
        let to = peer.clone();
        (peer, answers(requests, move |request, ahead| to.send(&request, ahead)))
    }

    #[test]
    fn full_batches_follow_each_other_and_are_answered_in_order() {
        let full = FULL as usize;
        let (peer, mut answers) = appends(&[full, full, full, full, SMALL]);
        assert!(answers.next().now_or_never().is_none());
        assert_eq!(peer.under_way(), [(0, 0), (1, CUT), (2, 2 * CUT)], "no more than three");
        peer.answer(1, AppendEntriesResponse::Success);
        assert!(answers.next().now_or_never().is_none(), "the first comes first");
        peer.answer(0, AppendEntriesResponse::Success);
        for index in [0, 1] {
            let answer = answers.next().now_or_never().flatten().unwrap().unwrap();
            assert_eq!(answer.unwrap(), Some(id(index)));
        }
        assert!(answers.next().now_or_never().is_none());
        assert_eq!(peer.under_way(), [(2, 2 * CUT), (3, CUT), (4, 2 * CUT)]);
    }

    #[test]
    fn an_entry_without_a_command_is_more_than_a_heartbeat() {
        let blank = Entry { log_id: id(1), payload: Payload::Blank };
        assert_eq!(bytes_of(&[]), 0);
        assert!(bytes_of(&[blank]) > 0, "it has to be synced, which takes time");
    }

    #[test]
    fn a_batch_that_was_not_cut_is_waited_for() {
        let (peer, mut answers) = appends(&[SMALL, SMALL]);
        assert!(answers.next().now_or_never().is_none());
        assert_eq!(peer.under_way(), [(0, 0)]);
        peer.answer(0, AppendEntriesResponse::Success);
        assert!(answers.next().now_or_never().is_some());
        assert!(answers.next().now_or_never().is_none());
        assert_eq!(peer.under_way(), [(1, 0)]);
    }

    #[test]
    fn nothing_follows_what_was_not_taken_whole() {
        let full = FULL as usize;
        let partial = AppendEntriesResponse::PartialSuccess(None);
        for (response, accepted) in [(partial, true), (AppendEntriesResponse::Conflict, false)] {
            let (peer, mut answers) = appends(&[SMALL, full, full, full]);
            assert!(answers.next().now_or_never().is_none());
            peer.answer(0, AppendEntriesResponse::Success);
            assert!(answers.next().now_or_never().is_some());
            assert!(answers.next().now_or_never().is_none());
            peer.answer(1, response);
            let answer = answers.next().now_or_never().flatten().unwrap().unwrap();
            match (answer, accepted) {
                (Ok(None), true) => {}
                (Err(StreamAppendError::Conflict(at)), false) => assert_eq!(at, id(0)),
                (other, _) => panic!("{other:?}"),
            }
            assert!(answers.next().now_or_never().unwrap().is_none(), "the stream has ended");
        }
    }

    #[test]
    fn a_peer_that_denies_the_beginning_is_an_error_and_no_panic() {
        let (peer, mut answers) = appends(&[SMALL]);
        assert!(answers.next().now_or_never().is_none());
        peer.answer(0, AppendEntriesResponse::Conflict);
        let answer = answers.next().now_or_never().flatten().unwrap();
        assert!(matches!(answer, Err(RPCError::Network(_))), "{answer:?}");
    }
}
