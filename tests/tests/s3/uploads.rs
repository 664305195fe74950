//! Uploads in several parts.

use std::path::Path;
use std::sync::{Arc, Barrier};
use std::thread;

use anyhow::Context;
use storage::net::s3::{Body, Bucket, Condition, LEAST_PART, PutOutcome};
use twm_tests::s3_server::S3Server;

use crate::{attributes, blocking, noise, read, write};

/// Three parts, the last of them short.
const FILE: usize = 2 * LEAST_PART as usize + 1_000;

fn upload(
    bucket: &Bucket,
    file: &Path,
    lease: &str,
    condition: &Condition,
) -> anyhow::Result<Option<String>> {
    match bucket.put("22/big", Body::from(file), &attributes(&[("twm-lease", lease)]), condition)? {
        PutOutcome::Written(etag) => Ok(Some(etag)),
        PutOutcome::Refused => Ok(None),
    }
}

#[tokio::test]
async fn a_file_in_parts_is_one_object_and_keeps_the_condition() -> anyhow::Result<()> {
    let server = S3Server::start().await?;
    let bucket = server.open("x").await?;
    blocking(move || {
        let folder = tempfile::tempdir()?;
        let (file, contents) = (folder.path().join("f"), noise(FILE));
        std::fs::write(&file, &contents)?;
        let none = "\"00000000000000000000000000000000\"".to_owned();
        assert_eq!(upload(&bucket, &file, "0", &Condition::Matches(none.clone()))?, None);
        let before = bucket.requests();
        let first = upload(&bucket, &file, "1", &Condition::Absent)?.context("nothing was there")?;
        let after = bucket.requests();
        assert_eq!((after.multipart - before.multipart, after.put - before.put), (5, 0));
        assert!(read(&bucket, "22/big")? == contents);
        let meta = bucket.head("22/big")?.context("it is there")?;
        assert_eq!((meta.bytes, meta.etag.as_str()), (FILE as u64, first.as_str()));
        assert_eq!(meta.attributes, attributes(&[("twm-lease", "1")]));

        assert_eq!(upload(&bucket, &file, "2", &Condition::Absent)?, None);
        assert_eq!(upload(&bucket, &file, "2", &Condition::Matches(none))?, None);
        assert_eq!(
            bucket.head("22/big")?.map(|meta| meta.attributes),
            Some(attributes(&[("twm-lease", "1")]))
        );
        assert!(upload(&bucket, &file, "3", &Condition::Matches(first))?.is_some());
        assert!(upload(&bucket, &file, "4", &Condition::Any)?.is_some());
        assert_eq!(
            bucket.head("22/big")?.map(|meta| meta.attributes),
            Some(attributes(&[("twm-lease", "4")]))
        );
        assert_eq!(bucket.unfinished_uploads("").count(), 0, "what was refused is aborted");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn of_racing_uploads_one_wins() -> anyhow::Result<()> {
    let server = S3Server::start().await?;
    let bucket = server.open("").await?;
    blocking(move || {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("f");
        std::fs::write(&file, noise(FILE))?;
        let start = Arc::new(Barrier::new(2));
        let racers = ["1", "2"].map(|lease| {
            let (bucket, file, start) = (bucket.clone(), file.clone(), Arc::clone(&start));
            thread::spawn(move || {
                start.wait();
                upload(&bucket, &file, lease, &Condition::Absent)
            })
        });
        let mut winners = Vec::new();
        for (lease, racer) in ["1", "2"].into_iter().zip(racers) {
            if racer.join().ok().context("a racer panicked")??.is_some() {
                winners.push(lease);
            }
        }
        assert_eq!(winners.len(), 1);
        let there = bucket.head("22/big")?.map(|meta| meta.attributes);
        assert_eq!(there, Some(attributes(&[("twm-lease", winners[0])])));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn unfinished_uploads_are_found_and_aborted() -> anyhow::Result<()> {
    let mut server = S3Server::start().await?;
    let (bucket, other) = (server.open("x").await?, server.open("y").await?);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("f");
    // The last part is so large that the server is killed before it has all of it, or before the end.
    std::fs::write(&file, noise(8 * LEAST_PART as usize))?;
    let uploading = {
        let (bucket, file) = (bucket.clone(), file.clone());
        tokio::task::spawn_blocking(move || upload(&bucket, &file, "1", &Condition::Absent))
    };
    twm_tests::cluster::eventually("an upload has begun", async || {
        Ok((bucket.requests().multipart >= 3).then_some(()))
    })
    .await?;
    server.kill().await?;
    let failed = uploading.await?.err().context("the server is away")?;
    assert!(failed.to_string().contains(": cannot write 22/big: "), "{failed}");
    server.restart().await?;
    blocking(move || {
        assert_eq!(bucket.head("22/big")?, None);
        assert_eq!(other.unfinished_uploads("").count(), 0, "those of another folder");
        assert_eq!(bucket.unfinished_uploads("23").count(), 0);
        let found: Vec<_> = bucket.unfinished_uploads("22/").collect::<Result<_, _>>()?;
        assert_eq!(found.iter().map(|upload| upload.key.as_str()).collect::<Vec<_>>(), ["22/big"]);
        assert!(found[0].begun.is_some());
        bucket.abort(&found[0])?;
        bucket.abort(&found[0])?;
        assert_eq!(bucket.unfinished_uploads("").count(), 0);
        assert!(write(&bucket, "22/big", b"1", &Condition::Absent)?.is_some());
        Ok(())
    })
    .await
}
