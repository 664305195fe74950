//! A connection whose calls end, and that can be given up.

use std::future::Future;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdfs_native::{Client, ClientBuilder};
use tokio::runtime::{Builder, Handle, Runtime};

use super::probe::probe;
use super::url::Servers;
use super::{HdfsOptions, HdfsProblem};

/// The name service that stands for several addresses.
const SERVICE: &str = "twm-output";
/// Attempts of the crate to find an active name node, with pauses of 0.4 to 2 s after each round.
const ROUNDS: usize = 5;

/// A client of the crate with threads of its own: the crate leaves tasks behind that never end, such as the one that renews
/// leases. They end with the threads.
#[derive(Debug)]
pub(super) struct Connection {
    client: Client,
    handle: Handle,
    runtime: Mutex<Option<Runtime>>,
}

impl Connection {
    /// Makes a client, after a look at who listens there.
    pub(super) fn open(servers: &Servers, options: &HdfsOptions) -> Result<Self, HdfsProblem> {
        let mut builder = Builder::new_multi_thread();
        // Names of hosts are looked up on the blocking ones.
        builder.worker_threads(2).max_blocking_threads(8).thread_name("hdfs").enable_io().enable_time();
        let runtime = builder.build().map_err(|error| HdfsProblem::Failed(format!("no threads: {error}")))?;
        let handle = runtime.handle().clone();
        let (own, servers, user) = (handle.clone(), servers.clone(), options.user.clone());
        let opening = async move {
            if let Servers::Addresses(addresses) = &servers {
                probe(addresses).await?;
            }
            client(&servers, user, own).map_err(HdfsProblem::from)
        };
        let client = run(&handle, options.call, opening);
        let client = client.and_then(|client| client);
        let runtime = Mutex::new(Some(runtime));
        match client {
            Ok(client) => Ok(Self { client, handle, runtime }),
            Err(problem) => {
                stop(&runtime);
                Err(problem)
            }
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Waits for a task of the client.
    pub(super) fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        task: impl Future<Output = hdfs_native::Result<T>> + Send + 'static,
    ) -> Result<T, HdfsProblem> {
        Ok(run(&self.handle, limit, task)??)
    }

    /// Lets a task end by itself.
    pub(super) fn leave(&self, limit: Duration, task: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(async move {
            // A task that does not end leaves what the name node's own time limits end.
            let _ = tokio::time::timeout(limit, task).await;
        });
    }

    /// Ends all its tasks: those who wait for one learn that the connection is gone.
    pub(super) fn give_up(&self) {
        stop(&self.runtime);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        stop(&self.runtime);
    }
}

/// Waiting for threads is not allowed within another runtime, and no task matters any more.
fn stop(runtime: &Mutex<Option<Runtime>>) {
    if let Some(runtime) = runtime.lock().unwrap_or_else(PoisonError::into_inner).take() {
        runtime.shutdown_background();
    }
}

/// The caller waits on a channel, which panics nowhere, also not within a task. A panic of the crate ends its own task.
fn run<T: Send + 'static>(
    handle: &Handle,
    limit: Duration,
    task: impl Future<Output = T> + Send + 'static,
) -> Result<T, HdfsProblem> {
    let (done, result) = mpsc::sync_channel(1);
    handle.spawn(async move {
        let output = task.await;
        // Nobody waits any more after the deadline.
        done.send(output).ok();
    });
    result.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => HdfsProblem::Silent(limit),
        RecvTimeoutError::Disconnected => {
            HdfsProblem::Broken("its connection was given up, or the client failed".to_owned())
        }
    })
}

fn client(servers: &Servers, user: Option<String>, handle: Handle) -> hdfs_native::Result<Client> {
    let count = match servers {
        Servers::Addresses(addresses) => addresses.len(),
        Servers::Named(_) => 2,
    };
    let mut settings = vec![
        ("dfs.client.failover.max.attempts".to_owned(), (ROUNDS * count).to_string()),
        ("dfs.client.failover.sleep.base.millis".to_owned(), "200".to_owned()),
        ("dfs.client.failover.sleep.max.millis".to_owned(), "2000".to_owned()),
    ];
    let url = match servers {
        Servers::Named(name) => format!("hdfs://{name}"),
        Servers::Addresses(addresses) if addresses.len() == 1 => format!("hdfs://{}", addresses.join("")),
        Servers::Addresses(addresses) => {
            let names: Vec<_> = (0..addresses.len()).map(|n| format!("nn{n}")).collect();
            settings.push((format!("dfs.ha.namenodes.{SERVICE}"), names.join(",")));
            let each = names.iter().zip(addresses);
            settings.extend(each.map(|(name, address)| {
                (format!("dfs.namenode.rpc-address.{SERVICE}.{name}"), address.clone())
            }));
            format!("hdfs://{SERVICE}")
        }
    };
    let builder = ClientBuilder::new().with_url(url).with_config(settings).with_io_runtime(handle);
    match user {
        Some(user) => builder.with_user(user).build(),
        None => builder.build(),
    }
}
