//! One object, and lists.

use std::io::Read as _;

use anyhow::Context;
use storage::net::s3::{Body, Condition, PutOutcome, RequestCounts, S3Problem};
use twm_tests::s3_server::S3Server;

use crate::{attributes, blocking, keys, noise, read, write};

#[tokio::test]
async fn an_object_is_written_read_looked_at_copied_and_deleted() -> anyhow::Result<()> {
    let server = S3Server::start().await?;
    let (bucket, whole) = (server.open("data/set").await?, server.open("").await?);
    blocking(move || {
        let before = bucket.requests();
        assert_eq!(before, RequestCounts { list: 1, ..RequestCounts::default() });
        let own = attributes(&[("twm-epoch", "3"), ("twm-lease", "17 of x")]);
        let contents = noise(300_000);
        let written = bucket.put("22/a b+%23~\u{e9}.twt", contents.clone().into(), &own, &Condition::Any)?;
        let PutOutcome::Written(etag) = written else { anyhow::bail!("{written:?}") };
        let key = "22/a b+%23~\u{e9}.twt";

        let mut object = bucket.get(key)?.context("it is there")?;
        let meta = object.meta().clone();
        assert_eq!((meta.bytes, &meta.attributes, meta.etag.as_str()), (300_000, &own, etag.as_str()));
        let mut bytes = Vec::new();
        object.read_to_end(&mut bytes)?;
        assert!(bytes == contents);
        assert_eq!(bucket.head(key)?.as_ref(), Some(&meta));
        assert!(read(&whole, &format!("data/set/{key}"))? == contents, "the prefix is a folder");

        for (range, expected) in [(10..20, 10..20), (299_990..400_000, 299_990..300_000), (0..1, 0..1)] {
            let mut bytes = Vec::new();
            let mut part = bucket.get_range(key, range)?.context("it is there")?;
            assert_eq!(part.meta(), &meta);
            part.read_to_end(&mut bytes)?;
            assert!(bytes == contents[expected]);
        }
        for range in [5..5, 300_000..300_001] {
            let error = bucket.get_range(key, range.clone()).err().context("no byte of it")?;
            assert_eq!(error.problem, S3Problem::Range { from: range.start, to: range.end });
        }

        assert!(bucket.copy(key, "copy")?);
        assert_eq!(bucket.head("copy")?.map(|copy| (copy.attributes, copy.bytes)), Some((own, 300_000)));
        assert!(!bucket.copy("no", "copy")?);

        bucket.delete(key)?;
        bucket.delete(key)?;
        assert_eq!(bucket.head(key)?, None);
        assert!(bucket.get(key)?.is_none() && bucket.get_range(key, 0..1)?.is_none());

        let counts = bucket.requests();
        let expected =
            RequestCounts { get: 7, head: 3, put: 3, delete: 2, list: 1, multipart: 0, retries: 0 };
        assert_eq!(counts, expected);
        assert_eq!(whole.requests().get, 1);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn empty_objects_and_small_files_are_objects_too() -> anyhow::Result<()> {
    let server = S3Server::start().await?;
    let bucket = server.open("").await?;
    blocking(move || {
        let folder = tempfile::tempdir()?;
        for (name, bytes) in [("empty", &b""[..]), ("small", b"0123456789")] {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes)?;
            let own = attributes(&[("n", name)]);
            bucket.put(name, Body::from(path.as_path()), &own, &Condition::Absent)?;
            assert_eq!(read(&bucket, name)?, bytes);
            assert_eq!(bucket.head(name)?.map(|meta| meta.attributes), Some(own));
        }
        let missing = bucket.put("x", Body::File("/no/file".into()), &attributes(&[]), &Condition::Any);
        let missing = missing.err().context("there is no file")?;
        assert!(matches!(missing.problem, S3Problem::File { .. }), "{missing}");
        assert!(missing.to_string().starts_with("s3://twm at http://127.0.0.1:"), "{missing}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_list_comes_page_by_page_in_order_and_can_begin_anywhere() -> anyhow::Result<()> {
    let server = S3Server::start().await?;
    let (bucket, other) = (server.open("set").await?, server.open("sets").await?);
    blocking(move || {
        write(&other, "a", b"", &Condition::Any)?;
        assert_eq!(keys(&bucket, "", None)?, Vec::<String>::new());
        let mut expected: Vec<_> = (0..1_050).map(|at| format!("{:02}/{at:04}", at % 7)).collect();
        expected.push("z and more &<>\"'+%41\u{e9}".to_owned());
        expected.sort();
        for key in &expected {
            write(&bucket, key, key.as_bytes(), &Condition::Any)?;
        }
        let before = bucket.requests().list;
        let found = keys(&bucket, "", None)?;
        assert_eq!((found.len(), found.last()), (expected.len(), expected.last()));
        assert!(found == expected);
        assert_eq!(bucket.requests().list - before, 2);
        assert_eq!(keys(&bucket, "", Some(&expected[1_000]))?, expected[1_001..]);
        assert_eq!(keys(&bucket, "03/", None)?.len(), 150);
        assert_eq!(
            keys(&bucket, "03/00", None)?,
            expected[expected.partition_point(|key| key.as_str() < "03/00")..][..14]
        );
        assert_eq!(keys(&bucket, "no", None)?, Vec::<String>::new());
        let first = bucket.list("03/", None).next().context("there are some")??;
        let meta = bucket.head(&first.key)?.context("it is there")?;
        assert_eq!((first.bytes, first.etag), (meta.bytes, meta.etag));
        Ok(())
    })
    .await
}
