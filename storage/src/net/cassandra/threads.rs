//! Where the asynchronous work of a blocking client runs.

use std::future::Future;
use std::sync::mpsc;

use tokio::runtime::{Builder, Handle, Runtime};

use super::CassandraProblem;

/// A runtime of two threads that belongs to one client.
///
/// Its own, instead of the caller's: callers may have none (a command, a test), one on simulated time, or one whose
/// threads are busy. The caller waits on a channel, which panics nowhere; calls belong to blocking threads.
#[derive(Debug)]
pub(super) struct Threads(Option<Runtime>);

impl Threads {
    pub(super) fn new() -> Result<Self, CassandraProblem> {
        let mut builder = Builder::new_multi_thread();
        // Names of hosts are looked up on the blocking ones.
        builder.worker_threads(2).max_blocking_threads(4).thread_name("cassandra").enable_io().enable_time();
        let runtime =
            builder.build().map_err(|error| CassandraProblem::Failed(format!("no threads: {error}")))?;
        Ok(Self(Some(runtime)))
    }

    pub(super) fn handle(&self) -> Option<&Handle> {
        self.0.as_ref().map(Runtime::handle)
    }

    /// Waits for a task. Tasks end by their own deadlines.
    pub(super) fn run<F>(&self, task: F) -> Result<F::Output, CassandraProblem>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let stopped = || CassandraProblem::Failed("its task ended early".to_owned());
        let (done, result) = mpsc::sync_channel(1);
        self.handle().ok_or_else(stopped)?.spawn(async move {
            let output = task.await;
            // Nobody waits any more only if the caller's thread has panicked.
            done.send(output).ok();
        });
        result.recv().map_err(|_| stopped())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Waiting for its threads is not allowed within another runtime, and no task matters any more.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_runs_and_the_threads_end_wherever_the_caller_is() {
        let threads = Threads::new().unwrap();
        assert_eq!(threads.run(async { 1 }).unwrap(), 1);
        let threads = tokio::task::spawn_blocking(move || {
            assert_eq!(threads.run(async { 2 }).unwrap(), 2);
            threads
        });
        drop(threads.await.unwrap());
    }
}
