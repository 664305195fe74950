//! Faults in the transport of the body.

use std::io;
use std::time::Duration;

use bytes::Bytes;

use flate2::{Compression, Crc, FlushCompress};
use futures::StreamExt;
use futures::stream::{self, Stream};
use tokio::time::sleep;

use super::Fault;
use crate::emulator::body::Body;
use crate::emulator::connection::ResetSwitch;

static BLANKS: [u8; 64 << 10] = [b' '; 64 << 10];
/// Time to send the first half of a body before the connection breaks.
const HEAD_START: Duration = Duration::from_millis(20);
/// Shortest interval between the portions of a slow body.
const TICK: Duration = Duration::from_millis(50);

/// A body and its content encoding.
pub(in crate::emulator) struct Delivery {
    pub body: Body,
    /// `Content-Encoding: gzip`.
    pub gzip: bool,
}

/// Sends `body` as the fault requires; faults of other kinds send it unchanged.
pub(in crate::emulator) fn deliver(fault: Fault, body: Bytes, reset: &ResetSwitch) -> io::Result<Delivery> {
    let length = body.len() as u64;
    let half = body.slice(..body.len() / 2);
    let body = match fault {
        Fault::ResetBody => breaking(half, length, Some(reset.clone())),
        Fault::Cut => breaking(half, length, None),
        Fault::Stall => Body::stream(Some(length), stream::iter([Ok(half)]).chain(stream::pending())),
        Fault::Slow(rate) => Body::stream(Some(length), slow(body, rate)),
        Fault::Endless => {
            let blanks = stream::repeat_with(|| Ok(Bytes::from_static(&BLANKS)));
            Body::stream(None, stream::iter([Ok(half)]).chain(blanks))
        }
        Fault::Huge(size) => {
            let padding = size.saturating_sub(length);
            Body::stream(Some(length + padding), stream::iter([Ok(body)]).chain(blanks(padding)))
        }
        Fault::GzipBomb(size) => return Ok(Delivery { body: bomb(size)?, gzip: true }),
        _ => Body::from(body),
    };
    Ok(Delivery { body, gzip: false })
}

/// Half of a body, then a broken connection.
fn breaking(half: Bytes, length: u64, reset: Option<ResetSwitch>) -> Body {
    let broken = stream::once(async move {
        sleep(HEAD_START).await;
        if let Some(reset) = reset {
            reset.pull();
        }
        Err(io::Error::other("injected fault"))
    });
    Body::stream(Some(length), stream::iter([Ok(half)]).chain(broken))
}

fn slow(body: Bytes, bytes_per_second: u64) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let tick = TICK.max(Duration::from_secs(1) / u32::try_from(bytes_per_second).unwrap_or(u32::MAX));
    let portion = (bytes_per_second as f64 * tick.as_secs_f64()).round().max(1.0) as usize;
    stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        sleep(tick).await;
        let portion = rest.split_to(portion.min(rest.len()));
        Some((Ok(portion), rest))
    })
}

fn blanks(count: u64) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(count, |left| async move {
        let portion = left.min(BLANKS.len() as u64);
        (portion > 0).then(|| (Ok(Bytes::from_static(&BLANKS).slice(..portion as usize)), left - portion))
    })
}

/// A gzip stream (RFC 1952) of `[` and blanks: `size` bytes decompressed, about a thousandth of that
/// compressed.
///
/// The decompressed data is never in memory as a whole: after a full flush, deflate output does not depend on
/// earlier data, so one compressed portion can be sent repeatedly.
fn bomb(size: u64) -> io::Result<Body> {
    const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    const LAST_BLOCK: [u8; 2] = [3, 0]; // a final block with nothing in it (RFC 1951, 3.2.6)
    const PORTION: u64 = 1 << 20;
    let blanks = vec![b' '; PORTION as usize];
    let (portions, rest) = (size.saturating_sub(1) / PORTION, size.saturating_sub(1) % PORTION);
    let rest = &blanks[..rest as usize];
    let start = [&b"["[..], rest].concat();
    let mut sum = Crc::new();
    sum.update(&start);
    let mut portion_sum = Crc::new();
    portion_sum.update(&blanks);
    (0..portions).for_each(|_| sum.combine(&portion_sum));

    let head = Bytes::from([&HEADER[..], &packed(&start)?].concat());
    let portion = Bytes::from(packed(&blanks)?);
    let unpacked = (portions * PORTION + start.len() as u64) as u32; // modulo 2^32 (RFC 1952, 2.3.1)
    let tail = [&LAST_BLOCK[..], &sum.sum().to_le_bytes(), &unpacked.to_le_bytes()].concat();
    let length = head.len() as u64 + portions * portion.len() as u64 + tail.len() as u64;
    let repeated = stream::iter(0..portions).map(move |_| Ok(portion.clone()));
    let parts = stream::iter([Ok(head)]).chain(repeated).chain(stream::iter([Ok(tail.into())]));
    Ok(Body::stream(Some(length), parts))
}

/// Deflate blocks that end with a full flush.
fn packed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut compress = flate2::Compress::new(Compression::best(), false);
    let mut out = Vec::with_capacity(bytes.len() / 512 + 1024);
    while (compress.total_in() as usize) < bytes.len() || out.len() == out.capacity() {
        out.reserve(1024);
        let from = compress.total_in() as usize;
        compress.compress_vec(&bytes[from..], &mut out, FlushCompress::Full).map_err(io::Error::other)?;
    }
    Ok(out)
}
