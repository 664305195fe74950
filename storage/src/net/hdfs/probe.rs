//! Whether a name node listens at an address.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::HdfsProblem;
use super::error::line;

/// Longest time for one address.
const LIMIT: Duration = Duration::from_secs(5);
/// Most bytes of an answer.
const MOST: u64 = 512;
/// What all ports of Hadoop's calls answer to a request of HTTP.
const HADOOP: &str = "Hadoop IPC port";

/// Ensures that one of the addresses is one of Hadoop, and that none is something else.
pub(super) async fn probe(addresses: &[String]) -> Result<(), HdfsProblem> {
    let (mut good, mut away) = (0, Vec::new());
    for address in addresses {
        match timeout(LIMIT, ask(address)).await {
            Ok(Ok(answer)) if answer.contains(HADOOP) => good += 1,
            // One that starts or stops closes without a word, and so does a datanode's port for blocks.
            Ok(Ok(answer)) if answer.is_empty() => away.push(format!("{address} closed the connection")),
            Ok(Ok(answer)) => {
                let found = format!("it answered {:?}", line(answer.lines().next().unwrap_or_default()));
                return Err(HdfsProblem::NotHdfs { address: address.clone(), found });
            }
            Ok(Err(error)) => away.push(format!("{address}: {error}")),
            Err(_) => away.push(format!("{address}: no answer within {LIMIT:?}")),
        }
    }
    match good {
        0 => Err(HdfsProblem::Unreachable(line(&away.join(", ")))),
        _ => Ok(()),
    }
}

async fn ask(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut answer = Vec::new();
    let read = (&mut stream).take(MOST).read_to_end(&mut answer).await;
    // A reset after the answer is no matter.
    if answer.is_empty() {
        read?;
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
