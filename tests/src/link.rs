//! A slow link to a server: a delay and a limited byte rate in each direction, shared fairly among its
//! connections.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// Bytes that a connection sends before the turn of the next one.
const TURN: usize = 8 << 10;

/// Maximum turns of a connection in flight: the capacity of routers and windows of a link.
const ON_THE_WAY: usize = 64;

/// Granularity of the timer: a link that is ahead of schedule by less does not wait, and one that wakes up late by
/// less catches up.
const GRAIN: Duration = Duration::from_millis(4);

/// Properties of a link, the same in each direction.
#[derive(Debug, Clone, Copy)]
pub struct Speed {
    /// Bits a second.
    pub bits: u64,
    /// Delay of each byte.
    pub delay: Duration,
}

impl Speed {
    /// Bytes a second.
    pub fn bytes(self) -> f64 {
        self.bits as f64 / 8.0
    }
}

/// A link to a server. Dropping it ends all its connections.
#[derive(Debug)]
pub struct Link {
    task: JoinHandle<()>,
}

/// One direction of a link.
struct Direction {
    speed: Speed,
    /// Time at which the bytes of all turns so far have been sent. Connections queue here, in order.
    free: Mutex<Instant>,
}

impl Link {
    /// Accepts connections at `listen` and forwards them to `server` at this speed. The server may stop and
    /// restart.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn open(listen: &str, server: &str, speed: Speed) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(listen).await.with_context(|| format!("a link at {listen}"))?;
        let server = server.to_owned();
        let direction = || Arc::new(Direction { speed, free: Mutex::new(Instant::now()) });
        let (there, back) = (direction(), direction());
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (server, there, back) = (server.clone(), Arc::clone(&there), Arc::clone(&back));
                connections.spawn(async move {
                    // The client sees its connection end, as with a server that is down.
                    let _ended = join(stream, &server, &there, &back).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { task })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn join(client: TcpStream, server: &str, there: &Direction, back: &Direction) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::try_join!(carry(from_client, to_server, there), carry(from_server, to_client, back))?;
    Ok(())
}

/// Forwards bytes in one direction until either end closes.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    direction: &Direction,
) -> io::Result<()> {
    let (sender, mut on_the_way) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let send = async {
        let mut turn = vec![0; TURN];
        loop {
            let read = from.read(&mut turn).await?;
            if read == 0 {
                drop(sender);
                return Ok::<_, io::Error>(());
            }
            let sent = direction.send(read).await;
            if sender.send((sent + direction.speed.delay, turn[..read].to_vec())).await.is_err() {
                return Ok(());
            }
        }
    };
    let arrive = async {
        while let Some((at, bytes)) = on_the_way.recv().await {
            sleep_until(at).await;
            to.write_all(&bytes).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(send, arrive).map(drop)
}

impl Direction {
    /// Waits until this turn's bytes are sent, after those of connections that already wait; returns the time
    /// at which they are sent.
    async fn send(&self, bytes: usize) -> Instant {
        let mut free = self.free.lock().await;
        let now = Instant::now();
        let earliest = now.checked_sub(GRAIN).unwrap_or(now);
        let sent = (*free).max(earliest) + Duration::from_secs_f64(bytes as f64 / self.speed.bytes());
        *free = sent;
        if sent > now + GRAIN {
            sleep_until(sent).await;
        }
        sent.max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_link_is_no_faster_than_it_is_said_to_be_and_changes_nothing() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap().to_string();
        let listen = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        let speed = Speed { bits: 8_000_000, delay: Duration::from_millis(15) };
        let _link = Link::open(&listen, &address, speed).await.unwrap();
        let sent: Vec<u8> = (0..400_000u32).map(|n| (n % 251) as u8).collect();
        let echo = async {
            let (mut stream, _) = server.accept().await.unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            stream.write_all(&all).await.unwrap();
        };
        let begun = Instant::now();
        let ask = async {
            let mut stream = TcpStream::connect(&listen).await.unwrap();
            stream.write_all(&sent).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            all
        };
        let ((), got) = tokio::join!(echo, ask);
        assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
        // 0.4 s and 15 ms in each direction, less the time that a link may be ahead.
        assert!(begun.elapsed() >= 2 * Duration::from_millis(405), "{:?}", begun.elapsed());
    }
}
