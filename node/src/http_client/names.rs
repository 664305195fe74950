//! Looks up the addresses of hosts.
//!
//! The system's resolver blocks its thread, for half a minute if a name server is silent. A crawl of thousands of hosts
//! meets many such names: their look-ups must not take the threads on which files are written. They run on threads of their
//! own, a bounded number of them in the whole process, and what they find is kept for a minute.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

/// Most look-ups at once. One whose caller has given up still counts.
const AT_ONCE: usize = 64;
/// How long addresses are used.
const KEPT: Duration = Duration::from_secs(60);
/// Most names whose addresses are kept.
const MOST_KEPT: usize = 4_096;
/// Most addresses of a name that are used.
const MOST_ADDRESSES: usize = 16;
/// Stack of a thread that looks up a name, bytes.
const STACK: usize = 512 << 10;

static NAMES: LazyLock<Names> = LazyLock::new(|| Names::new(AT_ONCE));

/// Finds the addresses of a name; their port is 0.
///
/// # Errors
/// It has none, or the resolver failed.
pub(super) async fn look_up(name: &str) -> io::Result<Vec<SocketAddr>> {
    NAMES.look_up(name, system).await
}

fn system(name: &str) -> io::Result<Vec<SocketAddr>> {
    Ok((name, 0).to_socket_addrs()?.take(MOST_ADDRESSES).collect())
}

struct Names {
    slots: Arc<Semaphore>,
    kept: Mutex<HashMap<String, Kept>>,
}

struct Kept {
    until: Instant,
    addresses: Vec<SocketAddr>,
}

impl Names {
    fn new(at_once: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(at_once)), kept: Mutex::default() }
    }

    async fn look_up(
        &self,
        name: &str,
        resolver: fn(&str) -> io::Result<Vec<SocketAddr>>,
    ) -> io::Result<Vec<SocketAddr>> {
        if let Some(addresses) = self.known(name) {
            return Ok(addresses);
        }
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(io::Error::other)?;
        let (send, found) = oneshot::channel();
        let owned = name.to_owned();
        thread::Builder::new().name("names".to_owned()).stack_size(STACK).spawn(move || {
            // Nobody listens any more if the connection was given up meanwhile.
            let _ = send.send(resolver(&owned));
            drop(slot);
        })?;
        let addresses = found.await.map_err(io::Error::other)??;
        self.keep(name, &addresses);
        Ok(addresses)
    }

    fn known(&self, name: &str) -> Option<Vec<SocketAddr>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.get(name).filter(|known| Instant::now() < known.until)?;
        Some(known.addresses.clone())
    }

    fn keep(&self, name: &str, addresses: &[SocketAddr]) {
        let now = Instant::now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST_KEPT {
            kept.retain(|_, known| now < known.until);
        }
        if kept.len() >= MOST_KEPT {
            kept.clear();
        }
        kept.insert(name.to_owned(), Kept { until: now + KEPT, addresses: addresses.to_vec() });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    static ASKED: AtomicUsize = AtomicUsize::new(0);
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    static ANSWERS: AtomicBool = AtomicBool::new(false);

    fn counted(_: &str) -> io::Result<Vec<SocketAddr>> {
        ASKED.fetch_add(1, Ordering::SeqCst);
        Ok(vec![([1, 1, 1, 1], 0).into()])
    }

    fn slow(_: &str) -> io::Result<Vec<SocketAddr>> {
        MOST.fetch_max(RUNNING.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        while !ANSWERS.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        RUNNING.fetch_sub(1, Ordering::SeqCst);
        Err(io::Error::other("no name server answers"))
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_are_asked_for_once_a_minute() {
        let names = Names::new(2);
        for _ in 0..5 {
            assert_eq!(names.look_up("a.example", counted).await.unwrap().len(), 1);
        }
        assert_eq!(ASKED.load(Ordering::SeqCst), 1);
        tokio::time::advance(KEPT).await;
        names.look_up("a.example", counted).await.unwrap();
        assert_eq!(ASKED.load(Ordering::SeqCst), 2);
        for n in 0..2 * MOST_KEPT {
            names.keep(&format!("host{n}"), &[]);
        }
        assert!(names.kept.lock().unwrap().len() <= MOST_KEPT);
    }

    #[tokio::test]
    async fn few_look_ups_run_at_once_even_if_their_callers_give_up() {
        let names = Names::new(3);
        let hosts: Vec<String> = (0..12).map(|n| format!("host{n}")).collect();
        let all = hosts
            .iter()
            .map(|host| tokio::time::timeout(Duration::from_millis(5), names.look_up(host, slow)));
        let given_up = futures::future::join_all(all).await;
        assert!(given_up.iter().all(Result::is_err));
        ANSWERS.store(true, Ordering::SeqCst);
        assert!(names.look_up("last", slow).await.is_err());
        assert_eq!(MOST.load(Ordering::SeqCst), 3);
    }
}
