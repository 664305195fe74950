//! Blocking work: disk work and long computations, which must not run on an async thread.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

/// Runs blocking work.
pub trait Blocking: Send + Sync + 'static {
    /// Runs it, whether or not the returned future is awaited, which resolves when it is done or will never
    /// be.
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;
}

/// The runtime's blocking threads.
#[derive(Debug, Clone, Copy, Default)]
pub struct Threads;

impl Blocking for Threads {
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let work = tokio::task::spawn_blocking(work);
        // A panic shows by the missing result.
        async move { drop(work.await) }.boxed()
    }
}

/// The blocking threads of a given runtime, from whichever thread it is called.
impl Blocking for tokio::runtime::Handle {
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let work = self.spawn_blocking(work);
        async move { drop(work.await) }.boxed()
    }
}

/// The calling thread: for simulations, which must not depend on other threads.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inline;

impl Blocking for Inline {
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        work();
        futures::future::ready(()).boxed()
    }
}

/// The work did not finish: it panicked, or the runtime stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("work on a disk did not finish; the node stops, or the line before this one describes a panic")]
pub struct WorkLost;

impl From<WorkLost> for std::io::Error {
    fn from(lost: WorkLost) -> Self {
        Self::other(lost)
    }
}

/// A handle for blocking work. Clones share it.
#[derive(Clone)]
pub struct Work(Arc<dyn Blocking>);

impl Default for Work {
    fn default() -> Self {
        Self::over(Threads)
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Work")
    }
}

impl Work {
    /// Runs work by `blocking`.
    pub fn over(blocking: impl Blocking) -> Self {
        Self(Arc::new(blocking))
    }

    /// Starts work without waiting for it.
    pub fn start(&self, work: impl FnOnce() + Send + 'static) {
        drop(self.0.run(Box::new(work)));
    }

    /// Runs work, and returns its result.
    ///
    /// # Errors
    /// It did not finish.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WorkLost> {
        let (tell, told) = oneshot::channel();
        // The receiver is dropped only with the caller, and then nobody needs the result.
        self.0.run(Box::new(move || drop(tell.send(work())))).await;
        told.await.map_err(|_| WorkLost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_wherever_it_is_and_a_panic_is_an_error() {
        assert_eq!(Work::default().run(|| 7).await, Ok(7));
        assert_eq!(Work::over(Inline).run(|| 7).await, Ok(7));
        assert_eq!(Work::default().run(|| -> u8 { panic!("on purpose") }).await, Err(WorkLost));
    }
}
