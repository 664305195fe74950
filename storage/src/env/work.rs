//! Work that blocks: disk work and long computations, which an async thread must not do.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

/// Where such work is done.
pub trait Blocking: Send + Sync + 'static {
    /// Does it, whether or not what is returned is waited for; that resolves when it is done, or will never be.
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;
}

/// On the runtime's threads for blocking work.
#[derive(Debug, Clone, Copy, Default)]
pub struct Threads;

impl Blocking for Threads {
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let work = tokio::task::spawn_blocking(work);
        // That it panicked shows by its result, which is missing.
        async move { drop(work.await) }.boxed()
    }
}

/// On the threads of a certain runtime, whichever asks.
impl Blocking for tokio::runtime::Handle {
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let work = self.spawn_blocking(work);
        async move { drop(work.await) }.boxed()
    }
}

/// At once, in the place of whoever asks: for simulations, in which nothing may depend on other threads.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inline;

impl Blocking for Inline {
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        work();
        futures::future::ready(()).boxed()
    }
}

/// The work was not done to its end: it panicked, or the runtime stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("work on a disk broke off; the node stops, or the line before this one tells of a panic")]
pub struct WorkLost;

impl From<WorkLost> for std::io::Error {
    fn from(lost: WorkLost) -> Self {
        Self::other(lost)
    }
}

/// A handle for such work. Clones share it.
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
    /// Work that is done there.
    pub fn over(blocking: impl Blocking) -> Self {
        Self(Arc::new(blocking))
    }

    /// Begins some work whose end nobody waits for.
    pub fn start(&self, work: impl FnOnce() + Send + 'static) {
        drop(self.0.run(Box::new(work)));
    }

    /// Does some work, and gives what it came to.
    ///
    /// # Errors
    /// It was not done to its end.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WorkLost> {
        let (tell, told) = oneshot::channel();
        // The receiver is gone only when the caller is; nobody waits for the result then.
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
