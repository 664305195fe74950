//! The subset of gRPC and protocol buffers that etcd's calls need.

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// A connection of one client.
pub(super) struct Connection {
    address: String,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    pub(super) async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await?;
        // Ends with the sender; its errors are reported by the calls.
        tokio::spawn(connection);
        Ok(Self { address: address.to_owned(), sender })
    }

    /// Calls a method with one message and returns the answer's message.
    pub(super) async fn call(&mut self, method: &str, message: &[u8]) -> anyhow::Result<Bytes> {
        let mut body = vec![0];
        body.extend_from_slice(&u32::try_from(message.len())?.to_be_bytes());
        body.extend_from_slice(message);
        let request = Request::post(format!("http://{}/{method}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(Bytes::from(body)))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        check_status(response.headers(), method)?;
        let answer = response.into_body().collect().await?;
        if let Some(trailers) = answer.trailers() {
            check_status(trailers, method)?;
        }
        let answer = answer.to_bytes();
        ensure!(answer.len() >= 5 && answer[0] == 0, "{method} answered no plain message");
        Ok(answer.slice(5..))
    }
}

fn check_status(headers: &HeaderMap, method: &str) -> anyhow::Result<()> {
    match headers.get("grpc-status") {
        Some(status) if status != "0" => bail!("{method} failed: {:?}", headers.get("grpc-message")),
        _ => Ok(()),
    }
}

/// A message under construction. Callers omit fields with default values.
#[derive(Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    #[must_use]
    pub(super) fn number(mut self, field: u8, value: u64) -> Self {
        self.varint(u64::from(field) << 3);
        self.varint(value);
        self
    }

    #[must_use]
    pub(super) fn bytes(mut self, field: u8, value: &[u8]) -> Self {
        self.varint((u64::from(field) << 3) | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    #[must_use]
    pub(super) fn message(self, field: u8, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// The number in a field of a message; 0, the default, if the field is missing.
pub(super) fn number_of(message: &[u8], field: u64) -> anyhow::Result<u64> {
    match value_of(message, field)? {
        Some(Value::Number(number)) => Ok(number),
        Some(Value::Bytes(_)) => bail!("field {field} is no number"),
        None => Ok(0),
    }
}

/// The text or message in a field of a message; empty if the field is missing.
pub(super) fn bytes_of(message: &[u8], field: u64) -> anyhow::Result<&[u8]> {
    match value_of(message, field)? {
        Some(Value::Bytes(bytes)) => Ok(bytes),
        Some(Value::Number(_)) => bail!("field {field} is a number"),
        None => Ok(&[]),
    }
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn value_of(message: &[u8], wanted: u64) -> anyhow::Result<Option<Value<'_>>> {
    let mut rest = message;
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        let number = varint(&mut rest)?;
        let value = match tag & 7 {
            0 => Value::Number(number),
            2 => {
                let (bytes, after) = rest.split_at_checked(number as usize).context("a field is cut off")?;
                rest = after;
                Value::Bytes(bytes)
            }
            other => bail!("a field of kind {other}, which no answer of etcd has"),
        };
        if tag >> 3 == wanted {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn varint(rest: &mut &[u8]) -> anyhow::Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first().context("a number is cut off")?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    bail!("a number is longer than 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_behind_other_fields() {
        let inner = Message::default().number(1, 7);
        let message = Message::default().message(1, &inner).bytes(2, b"3.5").number(4, 1 << 40).number(5, 2);
        assert_eq!(number_of(message.as_bytes(), 4).unwrap(), 1 << 40);
        assert_eq!(number_of(message.as_bytes(), 9).unwrap(), 0);
        assert_eq!(number_of(bytes_of(message.as_bytes(), 1).unwrap(), 1).unwrap(), 7);
        assert_eq!(bytes_of(message.as_bytes(), 2).unwrap(), b"3.5");
        assert!(number_of(&message.as_bytes()[..3], 4).is_err());
    }
}
