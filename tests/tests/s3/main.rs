//! The client of S3, against a real server that is killed, restarted and frozen.
#![cfg(feature = "s3")]

mod conditions;
mod objects;
mod trouble;
mod uploads;

use std::collections::BTreeMap;
use std::io::Read as _;

use anyhow::Context;
use storage::net::s3::{Attributes, Body, Bucket, Condition, PutOutcome};

/// Runs blocking calls where a node would.
async fn blocking<T: Send + 'static>(
    calls: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(calls).await?
}

fn attributes(pairs: &[(&str, &str)]) -> Attributes {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>()
}

/// Writes some bytes without attributes, and returns the ETag.
fn write(bucket: &Bucket, key: &str, bytes: &[u8], condition: &Condition) -> anyhow::Result<Option<String>> {
    match bucket.put(key, Body::from(bytes.to_vec()), &Attributes::new(), condition)? {
        PutOutcome::Written(etag) => Ok(Some(etag)),
        PutOutcome::Refused => Ok(None),
    }
}

fn read(bucket: &Bucket, key: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bucket.get(key)?.with_context(|| format!("{key} is not there"))?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn keys(bucket: &Bucket, prefix: &str, start_after: Option<&str>) -> anyhow::Result<Vec<String>> {
    bucket.list(prefix, start_after).map(|listed| Ok(listed?.key)).collect()
}

/// Bytes that do not repeat soon.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    })
    .take(bytes)
    .collect()
}
