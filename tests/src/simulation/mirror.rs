//! A model of the Redis to which nodes mirror events: it is slow, fails, is unreachable at times, and loses its
//! newest entries when it comes back.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::model::EventId;
use futures::FutureExt;
use futures::future::BoxFuture;
use node::mirror::{Appended, End, EventServer, EventStream};
use raft::sim::WorldClock;
use redis::{ErrorKind, Pipeline, RedisResult};
use storage::env::{Entropy, SeededEntropy};
use storage::net::redis::RedisError;
use tokio::time::sleep;

use super::watch::Watch;

/// The server is unreachable once in this time.
const EPOCH: Duration = Duration::from_secs(10);
/// Longest outage.
const LONGEST_OUTAGE: Duration = Duration::from_secs(4);
/// Most entries lost in an outage, as when a replica that lags takes over.
const MOST_LOST: u64 = 40;
/// Longest time of a command, ms.
const SLOWEST: u64 = 25;

/// The server of one simulation. Clones share it.
#[derive(Debug, Clone)]
pub struct MirrorServer {
    seed: u64,
    clock: WorldClock,
    watch: Watch,
    stream: Arc<Mutex<Stream>>,
}

#[derive(Debug, Default)]
struct Stream {
    /// Number of outages so far.
    outages: u64,
    /// The entries, oldest first.
    entries: Vec<Entry>,
    /// The fields of each event as first written, by whichever leader.
    first: BTreeMap<EventId, BTreeMap<String, String>>,
}

#[derive(Debug, Clone)]
struct Entry {
    id: EventId,
    number: u64,
}

impl fmt::Display for MirrorServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("redis://model")
    }
}

impl MirrorServer {
    /// An empty server.
    pub fn new(seed: u64, clock: WorldClock, watch: Watch) -> Self {
        Self { seed, clock, watch, stream: Arc::default() }
    }

    /// The server as seen by one node.
    pub fn reached_with(&self, dice: SeededEntropy) -> Reached {
        Reached { server: self.clone(), dice: Arc::new(dice) }
    }

    /// Number of the newest event in the stream.
    pub fn newest(&self) -> u64 {
        self.stream().entries.last().map_or(0, |entry| entry.number)
    }

    /// The stream, after the losses of the outages so far.
    fn stream(&self) -> MutexGuard<'_, Stream> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = self.clock.now().as_nanos() / EPOCH.as_nanos();
        while u128::from(stream.outages) < begun {
            stream.outages += 1;
            let dice = self.outage(stream.outages);
            let lost = if dice.next_u64() % 3 == 0 { dice.next_u64() % MOST_LOST } else { 0 };
            let left = stream.entries.len().saturating_sub(lost as usize);
            stream.entries.truncate(left);
        }
        stream
    }

    /// The random choices of an outage.
    fn outage(&self, number: u64) -> SeededEntropy {
        SeededEntropy::new(self.seed ^ (number << 32) ^ 0x6d69_7272_6f72)
    }

    /// Whether the server is unreachable: each epoch begins with an outage.
    fn is_away(&self) -> bool {
        let now = self.clock.now().as_nanos();
        let (epoch, within) = (now / EPOCH.as_nanos(), now % EPOCH.as_nanos());
        let lasts = self.outage(epoch as u64 + (1 << 24)).next_u64() % LONGEST_OUTAGE.as_nanos() as u64;
        epoch > 0 && within < u128::from(lasts)
    }

    /// Appends an entry, which must directly follow its predecessor or a gap entry.
    fn append(&self, stream: &mut Stream, id: EventId, mut fields: BTreeMap<String, String>) {
        let fail = |what: String| self.watch.fail(format!("the mirror's stream: {what}"));
        let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let Ok(number) = field("number").parse::<u64>() else {
            return fail(format!("entry {id} has no number: {fields:?}"));
        };
        let gap = field("type") == "gap";
        let (last, before) =
            stream.entries.last().map_or((EventId::default(), 0), |last| (last.id, last.number));
        if id <= last {
            return fail(format!("entry {id} comes behind {last}"));
        }
        if gap && (number <= before || field("after") != last.to_string()) {
            return fail(format!("a gap up to {number} stands behind event {before}, {last}: {fields:?}"));
        }
        if !gap && number != before + 1 {
            return fail(format!("event {number} comes behind event {before}"));
        }
        stream.entries.push(Entry { id, number });
        if gap {
            return;
        }
        // The wall clock of the writer.
        fields.remove("time");
        let first = stream.first.entry(id).or_insert_with(|| fields.clone());
        if *first != fields {
            let first = first.clone();
            fail(format!("event {id} was {first:?} and is {fields:?}"));
        }
    }
}

/// The server as seen by one node.
#[derive(Debug, Clone)]
pub struct Reached {
    server: MirrorServer,
    dice: Arc<SeededEntropy>,
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.server.fmt(f)
    }
}

impl Reached {
    /// A command takes time and may be lost.
    async fn arrives(&self) -> RedisResult<()> {
        sleep(Duration::from_millis(self.dice.next_u64() % SLOWEST)).await;
        self.is_lost("the server is away")
    }

    /// An answer may be lost, too.
    async fn answered<T>(&self, answer: T) -> RedisResult<T> {
        sleep(Duration::from_millis(self.dice.next_u64() % SLOWEST)).await;
        self.is_lost("the answer is lost").map(|()| answer)
    }

    fn is_lost(&self, what: &'static str) -> RedisResult<()> {
        let lost = self.server.is_away() || self.dice.next_u64() % 40 == 0;
        if lost { Err((ErrorKind::Io, what).into()) } else { Ok(()) }
    }
}

impl EventServer for Reached {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn EventStream>, RedisError>> {
        async {
            let failed = |source| RedisError::Connect { url: self.to_string(), source };
            self.arrives().await.map_err(failed)?;
            Ok(Box::new(self.clone()) as Box<dyn EventStream>)
        }
        .boxed()
    }
}

impl EventStream for Reached {
    fn end(&mut self) -> BoxFuture<'_, RedisResult<End>> {
        async {
            self.arrives().await?;
            let last = self.server.stream().entries.last().cloned();
            self.answered(
                last.map_or_else(End::default, |last| End { id: last.id, number: Some(last.number) }),
            )
            .await
        }
        .boxed()
    }

    fn append<'a>(
        &'a mut self,
        behind: EventId,
        commands: &'a [Vec<String>],
    ) -> BoxFuture<'a, RedisResult<Appended>> {
        async move {
            self.arrives().await?;
            let appended = {
                let mut stream = self.server.stream();
                let end = stream.entries.last().map(|last| last.id).unwrap_or_default();
                if end == behind {
                    for (id, fields) in commands.iter().filter_map(|words| entry(words)) {
                        self.server.append(&mut stream, id, fields);
                    }
                    Appended::Done
                } else {
                    Appended::Elsewhere
                }
            };
            self.answered(appended).await
        }
        .boxed()
    }

    fn run(&mut self, _batch: Pipeline) -> BoxFuture<'_, RedisResult<()>> {
        async {
            self.arrives().await?;
            self.answered(()).await
        }
        .boxed()
    }
}

/// The entry that `XADD KEY MAXLEN ~ LENGTH ID NAME VALUE ...` adds.
fn entry(words: &[String]) -> Option<(EventId, BTreeMap<String, String>)> {
    let [command, _, _, _, _, id, fields @ ..] = words else { return None };
    let fields = fields.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
    (command == "XADD").then_some(())?;
    Some((id.parse().ok()?, fields.collect()))
}
