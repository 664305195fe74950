//! The fence of a dataset: writes that are carried out only if nobody else was first.

use std::sync::{Arc, Barrier};
use std::thread;

use anyhow::Context;
use storage::net::s3::{Bucket, Condition, S3Problem};
use twm_tests::s3_server::S3Server;

use crate::{blocking, keys, read, write};

#[tokio::test]
async fn a_condition_that_does_not_hold_refuses_the_write() -> anyhow::Result<()> {
    let server = S3Server::start().await?;
    let bucket = server.open("x").await?;
    blocking(move || {
        let put = |bytes: &[u8], condition| write(&bucket, "k", bytes, &condition);
        let other = || Condition::Matches("\"00000000000000000000000000000000\"".to_owned());
        assert_eq!(put(b"0", other())?, None, "nothing is there that could match");
        let first = put(b"1", Condition::Absent)?.context("nothing was there")?;
        assert_eq!(put(b"2", Condition::Absent)?, None);
        assert_eq!(put(b"2", other())?, None);
        let second = put(b"2", Condition::Matches(first.clone()))?.context("it matches")?;
        assert_eq!(put(b"3", Condition::Matches(first))?, None);
        assert_eq!(read(&bucket, "k")?, b"2");
        assert_eq!(bucket.head("k")?.map(|meta| meta.etag), Some(second));

        bucket.check_conditions("probe")?;
        assert_eq!(keys(&bucket, "", None)?, ["k"]);
        let taken = bucket.check_conditions("k").err().context("the name is taken")?;
        assert!(matches!(taken.problem, S3Problem::Setting(_)), "{taken}");
        assert_eq!(read(&bucket, "k")?, b"2", "what is there stays");

        for (key, condition) in [("a//b", Condition::Any), ("k", Condition::Matches("a b".to_owned()))] {
            let refused = write(&bucket, key, b"", &condition).err().context("it cannot be used")?;
            assert!(refused.to_string().contains("cannot be used"), "{refused}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn of_racing_creators_one_wins() -> anyhow::Result<()> {
    let server = S3Server::start().await?;
    let (one, two) = (server.open("").await?, server.open("").await?);
    blocking(move || {
        for round in 0..20 {
            let key = format!("race-{round}");
            let start = Arc::new(Barrier::new(2));
            let race = |bucket: &Bucket, name: &'static [u8]| {
                let (bucket, key, start) = (bucket.clone(), key.clone(), Arc::clone(&start));
                thread::spawn(move || {
                    start.wait();
                    write(&bucket, &key, name, &Condition::Absent)
                })
            };
            let racers = [(&b"one"[..], race(&one, b"one")), (b"two", race(&two, b"two"))];
            let mut winners = Vec::new();
            for (name, racer) in racers {
                if racer.join().ok().context("a racer panicked")??.is_some() {
                    winners.push(name);
                }
            }
            assert_eq!(winners.len(), 1, "{key}");
            assert_eq!(read(&one, &key)?, winners[0], "{key}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn no_compare_and_swap_is_lost() -> anyhow::Result<()> {
    let server = S3Server::start().await?;
    let bucket = server.open("").await?;
    blocking(move || {
        write(&bucket, "count", b"0", &Condition::Absent)?;
        let counters: Vec<_> = (0..4)
            .map(|_| {
                let bucket = bucket.clone();
                thread::spawn(move || -> anyhow::Result<()> {
                    for _ in 0..20 {
                        while !increase(&bucket)? {}
                    }
                    Ok(())
                })
            })
            .collect();
        for counter in counters {
            counter.join().ok().context("a counter panicked")??;
        }
        assert_eq!(read(&bucket, "count")?, b"80");
        Ok(())
    })
    .await
}

/// Adds one if nobody else does at the same time.
fn increase(bucket: &Bucket) -> anyhow::Result<bool> {
    let mut object = bucket.get("count")?.context("it is there")?;
    let etag = object.meta().etag.clone();
    let count: u64 = std::io::read_to_string(&mut object)?.parse()?;
    Ok(write(bucket, "count", (count + 1).to_string().as_bytes(), &Condition::Matches(etag))?.is_some())
}
