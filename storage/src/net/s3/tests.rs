//! Answers that a real server gives rarely, or never: lost ones, broken ones, and those of a hostile server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::*;

const SHORT: Duration = Duration::from_millis(300);

/// What a server does with a request.
enum Reply {
    /// Status line, headers and body, then the end of the connection.
    Text(String),
    /// Nothing, and the end of the connection.
    Lost,
    /// This text, and then this one again and again, until the other side gives up.
    Endless(String, &'static str),
    /// This text, and then silence, until the other side gives up.
    Silence(String),
}

fn answer(status: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Text(format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    ))
}

fn ok(headers: &str, body: &str) -> Reply {
    answer("200 OK", headers, body)
}

fn error(status: &str, code: &str) -> Reply {
    answer(status, "", &format!("<Error><Code>{code}</Code><Message>text token-1</Message></Error>"))
}

/// A server that answers the request that opens the bucket, and then what it is told to, over and over the last one.
struct Fake {
    endpoint: String,
    /// The first line and the headers of each request after the first one.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    fn new(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let replies = Arc::new(replies);
        thread::spawn(move || {
            let mut at = 0;
            while let Ok((stream, _)) = listener.accept() {
                let (log, replies) = (Arc::clone(&log), Arc::clone(&replies));
                let now = at;
                // An answer may have no end, and the next request does not wait for it.
                let serving = move || serve(stream, now, &replies, &log);
                thread::spawn(move || serving().ok());
                at += 1;
            }
        });
        Self { endpoint, asked }
    }

    fn options(&self) -> S3Options {
        S3Options {
            endpoint: Some(self.endpoint.clone()),
            timeout: SHORT,
            retry_for: 3 * SHORT,
            ..S3Options::new(Credentials::new("key", "secret", Some("token-1")).unwrap())
        }
    }

    fn open(&self) -> Bucket {
        Bucket::open(&S3Url::parse("s3://twm/x").unwrap(), &self.options()).unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, at: usize, replies: &[Reply], log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = bytes.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    let mut stream = stream;
    let reply = match at.checked_sub(1) {
        None => &ok("", "<ListBucketResult/>"),
        Some(at) => {
            log.lock().unwrap().push(head);
            &replies[at.min(replies.len() - 1)]
        }
    };
    match reply {
        Reply::Text(text) => stream.write_all(text.as_bytes()),
        Reply::Lost => Ok(()),
        Reply::Endless(text, more) => {
            stream.write_all(text.as_bytes())?;
            loop {
                stream.write_all(more.as_bytes())?;
            }
        }
        Reply::Silence(text) => {
            stream.write_all(text.as_bytes())?;
            stream.read(&mut [0]).map(|_| ())
        }
    }
}

fn put(bucket: &Bucket, condition: Condition) -> Result<PutOutcome, S3Error> {
    bucket.put("k", b"1".to_vec().into(), &Attributes::new(), &condition)
}

const ETAG: &str = "etag: \"e1\"\r\n";

#[test]
fn a_write_whose_answer_was_lost_is_repeated_and_its_refusal_is_reported() {
    let fake = Fake::new(vec![Reply::Lost, error("412 Precondition Failed", "PreconditionFailed")]);
    let bucket = fake.open();
    assert_eq!(put(&bucket, Condition::Absent).unwrap(), PutOutcome::Refused);
    assert_eq!(bucket.requests(), RequestCounts { put: 2, list: 1, retries: 1, ..RequestCounts::default() });
    let asked = fake.asked();
    assert!(
        asked
            .iter()
            .all(|head| head.starts_with("PUT /twm/x/k HTTP/1.1") && head.contains("if-none-match: *"))
    );
}

#[test]
fn a_check_of_conditions_whose_first_answer_was_lost_goes_on() {
    let refused = || error("412 Precondition Failed", "PreconditionFailed");
    let upload = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
    let uploaded = || [ok("", upload), ok(ETAG, ""), refused(), ok("", "")];
    let date = "last-modified: Mon, 30 Nov 2026 22:00:00 GMT\r\n";
    let there = |length: u32| {
        Reply::Text(format!(
            "HTTP/1.1 200 OK\r\n{ETAG}{date}content-length: {length}\r\nconnection: close\r\n\r\n"
        ))
    };
    let mut replies = vec![Reply::Lost, refused(), there(0)];
    replies.extend(uploaded());
    replies.extend([refused(), refused(), answer("204 No Content", "", "")]);
    let fake = Fake::new(replies);
    fake.open().check_conditions("k").unwrap();
    assert!(fake.asked().last().unwrap().starts_with("DELETE /twm/x/k "), "{:?}", fake.asked());
    // An object with contents is somebody's, and an object that is not there can be created.
    for (found, says) in [(there(7), "there is an object"), (error("404 Not Found", "NoSuchKey"), "refuses")]
    {
        let fake = Fake::new(vec![refused(), found]);
        let error = fake.open().check_conditions("k").unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(fake.asked().len(), 2, "nothing is deleted");
    }
}

#[test]
fn a_busy_server_is_asked_again_for_a_while_and_not_sooner_than_it_asks() {
    let fake =
        Fake::new(vec![error("503 Slow Down", "SlowDown"), error("500 x", "InternalError"), ok(ETAG, "")]);
    let bucket = fake.open();
    assert_eq!(put(&bucket, Condition::Any).unwrap(), PutOutcome::Written("\"e1\"".to_owned()));
    assert_eq!(bucket.requests().retries, 2);

    let bucket = Fake::new(vec![error("503 Slow Down", "SlowDown")]).open();
    let busy = put(&bucket, Condition::Any).unwrap_err();
    assert!(matches!(busy.problem, S3Problem::Busy(_)) && busy.is_temporary(), "{busy}");
    assert!((2..10).contains(&bucket.requests().put), "{:?}", bucket.requests());
    assert!(busy.to_string().starts_with("s3://twm/x at http://127"), "{busy}");
    assert!(!busy.to_string().contains("token-1"), "{busy}");

    let bucket = Fake::new(vec![answer("503 x", "retry-after: 1000\r\n", "")]).open();
    assert!(put(&bucket, Condition::Any).unwrap_err().is_temporary());
    assert_eq!(bucket.requests().put, 1);
}

#[test]
fn what_cannot_get_better_is_not_repeated() {
    for (status, code, expected) in [
        ("403 Forbidden", "RequestTimeTooSkewed", "set both with NTP"),
        ("403 Forbidden", "AccessDenied", "allow these credentials"),
        ("403 Forbidden", "QuotaExceeded", "raise the quota"),
        ("409 Conflict", "BucketNotEmpty", "409 BucketNotEmpty text ***"),
        ("501 Not Implemented", "NotImplemented", "501 NotImplemented text"),
    ] {
        let bucket = Fake::new(vec![error(status, code)]).open();
        let refused = put(&bucket, Condition::Any).unwrap_err().to_string();
        assert!(refused.contains(expected) && !refused.contains("token-1"), "{refused}");
        assert_eq!(bucket.requests().retries, 0, "{code}");
    }
}

#[test]
fn the_end_of_an_upload_may_fail_after_its_status_and_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f");
    std::fs::write(&file, b"0123456789").unwrap();
    let upload = |replies: Vec<Reply>| {
        let begun =
            "<InitiateMultipartUploadResult><UploadId>i&amp;1</UploadId></InitiateMultipartUploadResult>";
        let mut all = vec![ok("", begun), ok(ETAG, ""), ok("etag: \"e2\"\r\n", "")];
        all.extend(replies);
        let fake = Fake::new(all);
        let options = S3Options { multipart_from: 6, ..fake.options() };
        let bucket = Bucket::open(&S3Url::parse("s3://twm").unwrap(), &options).unwrap();
        let body = Body::File(file.clone());
        let outcome = bucket.put("k", body, &Attributes::new(), &Condition::Matches("\"e0\"".to_owned()));
        (outcome, fake.asked())
    };
    let internal = || ok("", "<Error><Code>InternalError</Code></Error>");
    let done =
        || ok("", "<CompleteMultipartUploadResult><ETag>\"e3-2\"</ETag></CompleteMultipartUploadResult>");
    let (outcome, asked) = upload(vec![internal(), done()]);
    assert_eq!(outcome.unwrap(), PutOutcome::Written("\"e3-2\"".to_owned()));
    let lines: Vec<_> = asked.iter().map(|head| head.lines().next().unwrap()).collect();
    assert!(lines[1].contains("partNumber=1") && lines[2].contains("partNumber=2"), "{lines:?}");
    assert_eq!(lines[3], "POST /twm/k?uploadId=i%261 HTTP/1.1");
    assert!(asked[4].contains("if-match: \"e0\""), "{}", asked[4]);

    // The first attempt has ended it.
    let (outcome, asked) =
        upload(vec![Reply::Lost, error("404 x", "NoSuchUpload"), answer("204 No Content", "", "")]);
    assert_eq!(outcome.unwrap(), PutOutcome::Refused);
    assert!(asked.last().unwrap().starts_with("DELETE /twm/k?uploadId=i%261 "), "{asked:?}");

    for strange in ["<CompleteMultipartUploadResult/>", "done"] {
        let (outcome, asked) = upload(vec![ok("", strange), answer("204 No Content", "", "")]);
        assert!(matches!(outcome.unwrap_err().problem, S3Problem::NotS3(_)), "{strange}");
        assert!(asked.last().unwrap().starts_with("DELETE"), "{asked:?}");
    }
}

const OBJECT: &str = "etag: \"e1\"\r\nx-amz-meta-a: b\r\n";

#[test]
fn a_name_of_an_upload_that_fits_nowhere_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f");
    std::fs::write(&file, b"0123456789").unwrap();
    for id in ["", "a b", &"x".repeat(100_000)] {
        let begun = format!(
            "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
        );
        let fake = Fake::new(vec![ok("", &begun)]);
        let options = S3Options { multipart_from: 6, ..fake.options() };
        let bucket = Bucket::open(&S3Url::parse("s3://twm").unwrap(), &options).unwrap();
        let failed =
            bucket.put("k", Body::File(file.clone()), &Attributes::new(), &Condition::Any).unwrap_err();
        assert!(matches!(failed.problem, S3Problem::NotS3(_)), "{failed}");
        let upload = Upload { key: "k".to_owned(), id: id.to_owned(), begun: None };
        assert!(bucket.abort(&upload).is_err());
        assert_eq!(fake.asked().len(), 1);
    }
}

/// An object of ten bytes, of which only `some` come.
fn broken(some: &str) -> Reply {
    Reply::Text(format!("HTTP/1.1 200 OK\r\n{OBJECT}content-length: 10\r\n\r\n{some}"))
}

fn part(etag: &str, range: &str, body: &str) -> Reply {
    answer("206 Partial Content", &format!("etag: {etag}\r\ncontent-range: bytes {range}\r\n"), body)
}

fn read(bucket: &Bucket) -> Result<String, S3Problem> {
    let object = bucket.get("k").map_err(|error| error.problem)?.unwrap();
    std::io::read_to_string(object).map_err(|error| {
        let error = error.into_inner().unwrap().downcast::<S3Error>().unwrap();
        error.problem
    })
}

#[test]
fn an_object_is_read_on_where_it_broke_off_if_it_is_still_the_same() {
    let fake = Fake::new(vec![broken("0123"), part("\"e1\"", "4-9/10", "456789")]);
    assert_eq!(read(&fake.open()).unwrap(), "0123456789");
    let asked = fake.asked();
    assert!(asked[1].contains("range: bytes=4-9") && asked[1].contains("if-match: \"e1\""), "{}", asked[1]);

    for other in [
        part("\"e2\"", "4-9/10", "456789"),
        error("412 Precondition Failed", "PreconditionFailed"),
        error("404 Not Found", "NoSuchKey"),
    ] {
        let bucket = Fake::new(vec![broken("0123"), other]).open();
        assert_eq!(read(&bucket), Err(S3Problem::Changed));
    }
    // It never gets further.
    let bucket = Fake::new(vec![broken("0123"), Reply::Lost]).open();
    assert!(matches!(read(&bucket), Err(S3Problem::Broken(_))));
}

#[test]
fn numbers_that_cannot_be_are_errors() {
    for range in ["0-18446744073709551615/10", "9-0/10", "0-9", "x"] {
        let bucket = Fake::new(vec![part("\"e1\"", range, "0123456789")]).open();
        let error = bucket.get_range("k", 0..10).unwrap_err();
        assert!(matches!(error.problem, S3Problem::NotS3(_)), "{range}: {error}");
    }
    for headers in ["", "etag: \"e1\"\r\nlast-modified: yesterday\r\n"] {
        let bucket = Fake::new(vec![ok(headers, "0123456789")]).open();
        match bucket.get("k") {
            Ok(object) => assert_eq!(object.unwrap().meta().etag, "", "{headers}"),
            Err(error) => assert!(matches!(error.problem, S3Problem::NotS3(_)), "{headers}: {error}"),
        }
    }
    let bucket = Fake::new(vec![ok("", "")]).open();
    assert!(matches!(put(&bucket, Condition::Any).unwrap_err().problem, S3Problem::NotS3(_)));
}

#[test]
fn a_server_without_end_is_left() {
    let endless = |head: &str| {
        Reply::Endless(format!("HTTP/1.1 {head}\r\ntransfer-encoding: chunked\r\n\r\n"), "4\r\naaaa\r\n")
    };
    let long = S3Options { timeout: Duration::from_secs(20), ..Fake::new(vec![Reply::Lost]).options() };
    for (head, expected) in
        [("200 OK", "more than 16777216 bytes"), ("403 Forbidden", "it answered 403 aaaa")]
    {
        let fake = Fake::new(vec![endless(head)]);
        let options = S3Options { endpoint: Some(fake.endpoint.clone()), ..long.clone() };
        let bucket = Bucket::open(&S3Url::parse("s3://twm").unwrap(), &options).unwrap();
        let error = bucket.list("", None).next().unwrap().unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_server_that_stops_within_its_answer_is_left() {
    let head = format!("HTTP/1.1 200 OK\r\n{OBJECT}content-length: 10\r\n\r\n");
    for begun in ["", "HTTP/1.1 200", &head, &format!("{head}0123")] {
        let fake = Fake::new(vec![Reply::Silence(begun.to_owned())]);
        let options = S3Options { retry_for: Duration::ZERO, ..fake.options() };
        let bucket = Bucket::open(&S3Url::parse("s3://twm").unwrap(), &options).unwrap();
        assert!(matches!(read(&bucket), Err(S3Problem::Silent(_))), "{begun}");
        let error = bucket.list("", None).next().unwrap().unwrap_err();
        assert!(matches!(error.problem, S3Problem::Silent(_)), "{begun}: {error}");
    }
}

#[test]
fn a_list_that_does_not_go_on_ends_with_an_error() {
    let page = |contents: &str, token: &str| {
        ok(
            "",
            &format!("<ListBucketResult>{contents}<IsTruncated>true</IsTruncated>{token}</ListBucketResult>"),
        )
    };
    let entry = "<Contents><Key>x/a</Key><Size>1</Size></Contents>";
    let token = |at: usize| format!("<NextContinuationToken>{at}</NextContinuationToken>");
    let all = |replies: Vec<Reply>| {
        let bucket = Fake::new(replies).open();
        let mut found: Vec<_> = bucket.list("", None).take(100).collect();
        (found.pop().unwrap().unwrap_err().problem, found.len())
    };
    let (problem, found) = all(vec![page(entry, &token(1)), page(entry, &token(1))]);
    assert!(matches!(problem, S3Problem::NotS3(_)), "{problem}");
    assert!(found <= 2);
    let (problem, found) = all((0..20).map(|at| page("", &token(at))).collect());
    assert!(matches!(problem, S3Problem::NotS3(_)) && found == 0, "{problem}");
    let (problem, _) = all(vec![page(entry, "")]);
    assert!(matches!(problem, S3Problem::NotS3(_)), "{problem}");
}

#[test]
fn only_s3_itself_says_that_an_object_is_absent() {
    let bucket = Fake::new(vec![error("404 Not Found", "NoSuchKey")]).open();
    assert!(bucket.get("k").unwrap().is_none());
    let bucket = Fake::new(vec![answer("404 Not Found", "", "")]).open();
    assert_eq!(bucket.head("k").unwrap(), None);
    for other in ["", "<html>not here</html>", "<Error><Code>NoSuchBucket</Code></Error>"] {
        let bucket = Fake::new(vec![answer("404 Not Found", "", other)]).open();
        assert!(bucket.get("k").is_err(), "{other}");
        assert!(put(&bucket, Condition::Matches("\"e\"".to_owned())).is_err(), "{other}");
    }
}
