//! The connection to a cluster, and requests.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::DeserializeRow;
use scylla::response::query_result::QueryResult;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};
use scylla::value::{CqlValue, Row as AnyRow};
use tokio::time::{Instant, sleep, timeout};

use super::error::line;
use super::threads::Threads;
use super::tunnels::Tunnels;
use super::{CassandraError, CassandraOptions, CassandraProblem as Problem, CassandraUrl, tls};

/// First and longest pause before a request is sent again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Writes of one call that are under way at a time.
const WRITES: usize = 4;
/// Rows of a page in scans.
const PAGE_ROWS: i32 = 1_000;
/// Servers that are silent for this long are reconnected.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// A row that a request returns, as a tuple.
pub trait Row: for<'frame> DeserializeRow<'frame, 'frame> + Send + 'static {}
impl<T: for<'frame> DeserializeRow<'frame, 'frame> + Send + 'static> Row for T {}

/// A statement, prepared. Values are bound as tuples.
#[derive(Debug, Clone)]
pub struct Statement(pub(super) PreparedStatement);

impl Statement {
    /// The same, read at SERIAL: what is under way is finished first.
    pub fn serial(mut self) -> Self {
        self.0.set_consistency(Consistency::Serial);
        self
    }
}

/// The result of a light transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transaction {
    /// Its condition held, and it was carried out.
    Applied,
    /// Its condition did not hold.
    Refused,
}

/// Some rows of a scan, and where it goes on.
pub struct Page<R> {
    /// The rows.
    pub rows: Vec<R>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<PagingState>,
}

/// A keyspace on a cluster that was reached. All calls block, and end by their deadlines.
#[derive(Clone)]
pub struct Keyspace {
    inner: Arc<Inner>,
}

struct Inner {
    url: CassandraUrl,
    options: CassandraOptions,
    // Dropped before its threads.
    session: Arc<Session>,
    tunnels: Option<Tunnels>,
    threads: Threads,
}

impl Keyspace {
    /// Connects to the cluster. The keyspace need not exist.
    ///
    /// # Errors
    /// No server can be reached, or what answers is no Cassandra, is not trusted or refuses the login.
    pub fn connect(url: &CassandraUrl, options: &CassandraOptions) -> Result<Self, CassandraError> {
        let failed =
            |problem| CassandraError { doing: "connect".to_owned(), place: url.to_string(), problem };
        let threads = Threads::new().map_err(failed)?;
        let tunnels = match &options.tls {
            Some(trust) => Some(Tunnels::new(url, tls::config(trust).map_err(failed)?)),
            None => None,
        };
        let (builder, through) = (builder(url, options), tunnels.clone());
        let servers = url.servers().to_vec();
        // A server after the other may be silent.
        let patience = options.connect_timeout * (url.servers().len() as u32) + options.timeout;
        let session = threads.run(async move {
            let builder = match &through {
                Some(tunnels) => {
                    let known = tunnels.to_all().await.map_err(|error| Problem::Failed(line(error)))?;
                    builder.known_nodes_addr(known).address_translator(Arc::new(tunnels.clone()))
                }
                None => builder.known_nodes(addresses(&servers)),
            };
            match timeout(patience, builder.build()).await {
                Ok(Ok(session)) => Ok(session),
                Ok(Err(error)) => Err(through
                    .and_then(|tunnels| tunnels.problem())
                    .unwrap_or_else(|| Problem::of_session(&error))),
                Err(_) => Err(Problem::Silent(patience)),
            }
        });
        let session = Arc::new(session.and_then(|session| session).map_err(failed)?);
        let inner = Inner { url: url.clone(), options: options.clone(), session, tunnels, threads };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The URL, for messages.
    pub fn place(&self) -> String {
        self.inner.url.to_string()
    }

    /// The keyspace's name.
    pub fn name(&self) -> &str {
        self.inner.url.keyspace()
    }

    /// Prepares a statement. Conditional ones are light transactions, for [`transact`](Self::transact) alone.
    ///
    /// # Errors
    /// The servers are away, or do not take it.
    pub fn prepare(&self, cql: &str) -> Result<Statement, CassandraError> {
        let cql = cql.to_owned();
        self.again("prepare a statement", move |session| {
            let cql = cql.clone();
            async move {
                let mut prepared = session.prepare(cql).await.map_err(|error| Problem::of_prepare(&error))?;
                // Nothing is sent again by the driver: after an error of a light transaction it must not be, and all
                // others are sent again here, which also waits for servers that come back.
                prepared.set_page_size(PAGE_ROWS);
                Ok(Statement(prepared))
            }
        })
    }

    /// Carries out a statement of the schema, and waits until all servers agree on it.
    ///
    /// # Errors
    /// The servers are away, or refuse it.
    pub fn change_schema(&self, doing: &str, cql: &str) -> Result<(), CassandraError> {
        let cql = cql.to_owned();
        self.again(doing, move |session| {
            let cql = cql.clone();
            async move {
                let done = session.query_unpaged(cql, ()).await;
                done.map(drop).map_err(|error| Problem::of_execution(&error))
            }
        })
    }

    /// All rows of a statement that returns few.
    ///
    /// # Errors
    /// The servers are away, or refuse it.
    pub fn rows<R: Row>(
        &self,
        doing: &str,
        statement: &Statement,
        values: impl SerializeRow + Send + Sync + 'static,
    ) -> Result<Vec<R>, CassandraError> {
        let (statement, values) = (statement.0.clone(), Arc::new(values));
        self.again(doing, move |session| {
            let (statement, values) = (statement.clone(), values.clone());
            async move { rows(execute(&session, &statement, &*values).await?) }
        })
    }

    /// A page of a scan: the first one, or the one at `from`.
    ///
    /// # Errors
    /// The servers are away, or refuse it.
    pub fn page<R: Row>(
        &self,
        doing: &str,
        statement: &Statement,
        values: impl SerializeRow + Send + Sync + 'static,
        from: Option<PagingState>,
    ) -> Result<Page<R>, CassandraError> {
        let (statement, values) = (statement.0.clone(), Arc::new(values));
        self.again(doing, move |session| {
            let (statement, values, from) = (statement.clone(), values.clone(), from.clone());
            async move {
                let page = session.execute_single_page(&statement, &*values, from.unwrap_or_default());
                let (result, next) = page.await.map_err(|error| Problem::of_execution(&error))?;
                let next = match next {
                    PagingStateResponse::HasMorePages { state } => Some(state),
                    PagingStateResponse::NoMorePages => None,
                };
                Ok(Page { rows: rows(result)?, next })
            }
        })
    }

    /// Carries out a write that may be repeated.
    ///
    /// # Errors
    /// The servers are away, or refuse it: it may have been carried out, or may still be.
    pub fn write(
        &self,
        doing: &str,
        statement: &Statement,
        values: impl SerializeRow + Send + Sync + 'static,
    ) -> Result<(), CassandraError> {
        self.write_all(doing, statement, vec![values])
    }

    /// Carries out writes that may be repeated, a few at a time, in no order.
    ///
    /// # Errors
    /// As those of [`write`](Self::write).
    pub fn write_all<V: SerializeRow + Send + Sync + 'static>(
        &self,
        doing: &str,
        statement: &Statement,
        rows: Vec<V>,
    ) -> Result<(), CassandraError> {
        let (statement, retries) = (statement.0.clone(), self.retries());
        let session = self.inner.session.clone();
        let all = async move {
            let writes = rows.into_iter().map(Ok).collect::<Vec<_>>();
            stream::iter(writes)
                .try_for_each_concurrent(WRITES, |values| {
                    let (session, statement) = (session.clone(), &statement);
                    async move { retries.run(|| execute(&session, statement, &values)).await.map(drop) }
                })
                .await
        };
        self.run(doing, all)
    }

    /// Carries out the same read for several values at a time; returns all rows, in no order.
    ///
    /// # Errors
    /// As those of [`rows`](Self::rows).
    pub fn rows_of_all<R: Row, V: SerializeRow + Send + Sync + 'static>(
        &self,
        doing: &str,
        statement: &Statement,
        of: Vec<V>,
        at_a_time: usize,
    ) -> Result<Vec<R>, CassandraError> {
        let (statement, retries) = (statement.0.clone(), self.retries());
        let session = self.inner.session.clone();
        let all = async move {
            let reads = of.into_iter().map(|values| {
                let (session, statement) = (session.clone(), statement.clone());
                async move {
                    let read = || async { rows(execute(&session, &statement, &values).await?) };
                    retries.run(read).await
                }
            });
            let read: Vec<Vec<R>> = stream::iter(reads).buffer_unordered(at_a_time).try_collect().await?;
            Ok(read.into_iter().flatten().collect())
        };
        self.run(doing, all)
    }

    /// Carries out a light transaction, once.
    ///
    /// # Errors
    /// The servers are away, or refuse it: it may have been carried out, or may still be.
    pub fn transact(
        &self,
        doing: &str,
        statement: &Statement,
        values: impl SerializeRow + Send + Sync + 'static,
    ) -> Result<Transaction, CassandraError> {
        let (session, statement) = (self.inner.session.clone(), statement.0.clone());
        let deadline = self.retries().attempt;
        self.run(doing, async move {
            within(deadline, async { applied(execute(&session, &statement, &values).await?) }).await
        })
    }

    /// Carries out two light transactions on one partition as one, once.
    ///
    /// # Errors
    /// As those of [`transact`](Self::transact).
    pub fn transact_both<A, B>(
        &self,
        doing: &str,
        first: (&Statement, A),
        second: (&Statement, B),
    ) -> Result<Transaction, CassandraError>
    where
        A: SerializeRow + Send + Sync + 'static,
        B: SerializeRow + Send + Sync + 'static,
    {
        let session = self.inner.session.clone();
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.append_statement(first.0.0.clone());
        batch.append_statement(second.0.0.clone());
        let (values, deadline) = ((first.1, second.1), self.retries().attempt);
        self.run(doing, async move {
            let both = async {
                let result = session.batch(&batch, &values).await;
                applied(result.map_err(|error| Problem::of_execution(&error))?)
            };
            within(deadline, both).await
        })
    }

    pub(super) fn tunnels(&self) -> Option<&Tunnels> {
        self.inner.tunnels.as_ref()
    }

    pub(super) fn session(&self) -> &Arc<Session> {
        &self.inner.session
    }

    pub(super) fn retries(&self) -> Retries {
        let options = &self.inner.options;
        // The driver's own deadline comes first.
        Retries { attempt: options.timeout + Duration::from_secs(1), until: options.retry_for }
    }

    /// An error of this keyspace.
    pub fn error(&self, doing: &str, problem: Problem) -> CassandraError {
        CassandraError { doing: doing.to_owned(), place: self.place(), problem }
    }

    pub(super) fn run<T: Send + 'static>(
        &self,
        doing: &str,
        task: impl Future<Output = Result<T, Problem>> + Send + 'static,
    ) -> Result<T, CassandraError> {
        let result = self.inner.threads.run(task).and_then(|result| result);
        result.map_err(|problem| self.error(doing, problem))
    }

    fn again<T, F, A>(&self, doing: &str, attempt: A) -> Result<T, CassandraError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Problem>> + Send,
        A: Fn(Arc<Session>) -> F + Send + Sync + 'static,
    {
        let (session, retries) = (self.inner.session.clone(), self.retries());
        self.run(doing, async move { retries.run(|| attempt(session.clone())).await })
    }
}

impl std::fmt::Debug for Keyspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyspace({})", self.place())
    }
}

/// How long an attempt may take, and until when there may be another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retries {
    attempt: Duration,
    until: Duration,
}

impl Retries {
    pub(super) async fn run<T, F>(self, attempt: impl Fn() -> F) -> Result<T, Problem>
    where
        F: Future<Output = Result<T, Problem>>,
    {
        let begun = Instant::now();
        let mut pause = PAUSE.0;
        loop {
            match within(self.attempt, attempt()).await {
                Err(problem) if problem.is_temporary() && begun.elapsed() + pause < self.until => {
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
                other => return other,
            }
        }
    }
}

async fn within<T>(
    deadline: Duration,
    attempt: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    timeout(deadline, attempt).await.unwrap_or(Err(Problem::Silent(deadline)))
}

async fn execute(
    session: &Session,
    statement: &PreparedStatement,
    values: &impl SerializeRow,
) -> Result<QueryResult, Problem> {
    let result = session.execute_unpaged(statement, values).await;
    result.map_err(|error| Problem::of_execution(&error))
}

fn rows<R: Row>(result: QueryResult) -> Result<Vec<R>, Problem> {
    let unexpected = |why: String| {
        Problem::Schema(format!(
            "a table has other columns than this program ({why}); check it with `twm-ctl dataset init URL`"
        ))
    };
    let result = result.into_rows_result().map_err(|error| unexpected(line(error)))?;
    let rows = result.rows::<R>().map_err(|error| unexpected(line(error)))?;
    rows.collect::<Result<_, _>>().map_err(|error| unexpected(line(error)))
}

/// The first column of the answer to a light transaction says whether it was carried out; the others depend on it.
fn applied(result: QueryResult) -> Result<Transaction, Problem> {
    let row = rows::<AnyRow>(result)?.into_iter().next();
    match row.and_then(|row| row.columns.into_iter().next().flatten()) {
        Some(CqlValue::Boolean(true)) => Ok(Transaction::Applied),
        Some(CqlValue::Boolean(false)) => Ok(Transaction::Refused),
        _ => Err(Problem::Failed("the answer to a light transaction says nothing".to_owned())),
    }
}

fn addresses(servers: &[(String, u16)]) -> Vec<String> {
    let address = |(host, port): &(String, u16)| match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    };
    servers.iter().map(address).collect()
}

fn builder(url: &CassandraUrl, options: &CassandraOptions) -> SessionBuilder {
    let profile = ExecutionProfile::builder()
        .consistency(Consistency::Quorum)
        .serial_consistency(Some(SerialConsistency::Serial))
        .retry_policy(Arc::new(scylla::policies::retry::FallthroughRetryPolicy::new()))
        .request_timeout(Some(options.timeout))
        .build();
    let mut builder = SessionBuilder::new()
        .default_execution_profile_handle(profile.into_handle())
        .connection_timeout(options.connect_timeout)
        .hostname_resolution_timeout(Some(options.connect_timeout))
        .metadata_request_clientside_timeout(options.timeout)
        .keepalive_interval(KEEPALIVE)
        .keepalive_timeout(KEEPALIVE)
        // Which servers have the replicas of a partition.
        .keyspaces_to_fetch([url.keyspace()])
        .driver_config_reporting(false);
    if let Some(login) = &options.login {
        builder = builder.user(&login.user, &login.password);
    }
    builder
}
