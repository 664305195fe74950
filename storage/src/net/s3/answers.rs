//! What a server answers in XML. Bodies are bounded before they come here.

use quick_xml::Reader;
use quick_xml::events::Event;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::S3Problem;

/// `ListObjectsV2`.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ObjectPage {
    pub(super) is_truncated: bool,
    pub(super) next_continuation_token: Option<String>,
    pub(super) contents: Vec<ObjectEntry>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ObjectEntry {
    pub(super) key: String,
    pub(super) size: u64,
    #[serde(rename = "ETag", default)]
    pub(super) etag: String,
}

/// `ListMultipartUploads`.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct UploadPage {
    pub(super) is_truncated: bool,
    pub(super) next_key_marker: String,
    pub(super) next_upload_id_marker: String,
    #[serde(rename = "Upload")]
    pub(super) uploads: Vec<UploadEntry>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UploadEntry {
    pub(super) key: String,
    pub(super) upload_id: String,
    #[serde(default)]
    pub(super) initiated: String,
}

/// `CompleteMultipartUpload`.
#[derive(Debug, Deserialize)]
pub(super) struct Completed {
    #[serde(rename = "ETag")]
    pub(super) etag: String,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    #[serde(rename = "Code")]
    code: String,
    #[serde(rename = "Message", default)]
    message: String,
}

/// The code and the message of an error, if the body is one.
pub(super) fn error(body: &[u8]) -> Option<(String, String)> {
    let refusal: Refusal = read(body, "Error").ok()?;
    Some((refusal.code, refusal.message))
}

/// Reads a body with this outermost element.
pub(super) fn read<T: DeserializeOwned>(body: &[u8], root: &str) -> Result<T, S3Problem> {
    let strange = |what: &str| S3Problem::NotS3(format!("its answer is not {root}: {what}"));
    match outermost(body) {
        Some(name) if name == root => {}
        Some(name) => return Err(strange(&format!("it is {}", crate::text::excerpt(&name, 50)))),
        None => return Err(strange("it is no XML")),
    }
    quick_xml::de::from_reader(body).map_err(|error| strange(&crate::text::excerpt(&error.to_string(), 100)))
}

fn outermost(body: &[u8]) -> Option<String> {
    let (mut reader, mut buffer) = (Reader::from_reader(body), Vec::new());
    // A declaration, a type and comments may precede it.
    for _ in 0..16 {
        match reader.read_event_into(&mut buffer).ok()? {
            Event::Start(start) | Event::Empty(start) => {
                return Some(String::from_utf8_lossy(start.local_name().as_ref()).into_owned());
            }
            Event::Eof => return None,
            _ => buffer.clear(),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_objects_is_read_whatever_else_is_in_it() {
        let body = br#"<?xml version="1.0" encoding="UTF-8"?>
            <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>twm</Name><Prefix/><KeyCount>2</KeyCount>
            <Contents><Key>a&amp;b &lt;1&gt;&#x20;c</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;e1&quot;</ETag><Size>7</Size><Owner><ID>me</ID></Owner></Contents>
            <CommonPrefixes><Prefix>x/</Prefix></CommonPrefixes>
            <Contents><Size>0</Size><Key> b </Key></Contents>
            <IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken></ListBucketResult>"#;
        let page: ObjectPage = read(body, "ListBucketResult").unwrap();
        let entry =
            |key: &str, size, etag: &str| ObjectEntry { key: key.to_owned(), size, etag: etag.to_owned() };
        assert_eq!(page.contents, [entry("a&b <1> c", 7, "\"e1\""), entry(" b ", 0, "")]);
        assert_eq!((page.is_truncated, page.next_continuation_token.as_deref()), (true, Some("t")));
        let empty: ObjectPage = read(b"<ListBucketResult></ListBucketResult>", "ListBucketResult").unwrap();
        assert_eq!(empty, ObjectPage::default());
    }

    #[test]
    fn an_error_is_told_from_everything_else() {
        let body = b"<?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey</Code><Message>not there</Message><Key>k</Key></Error>";
        assert_eq!(error(body), Some(("NoSuchKey".to_owned(), "not there".to_owned())));
        assert_eq!(error(b"<Error><Code>X</Code></Error>"), Some(("X".to_owned(), String::new())));
        for other in [
            &b""[..],
            b"<html><body>404</body></html>",
            b"{\"code\": 1}",
            b"<Error>",
            b"<Error><Code>X",
            b"\xff\x00",
        ] {
            assert_eq!(error(other), None, "{other:?}");
        }
    }

    #[test]
    fn what_is_damaged_is_an_error_and_never_a_panic() {
        for body in [
            &b"<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>"[..],
            b"<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
            b"<ListBucketResult><IsTruncated>maybe</IsTruncated></ListBucketResult>",
            b"<ListBucketResult><Contents><Key>a</Key><Size>99999999999999999999999</Size></Contents></ListBucketResult>",
            b"<ListBucketResult><Contents>",
            b"<!DOCTYPE x [<!ENTITY a \"aaaa\">]><ListBucketResult><Contents><Key>&a;</Key><Size>1</Size></Contents></ListBucketResult>",
            b"<ListMultipartUploadsResult/>",
            b"hello",
            b"",
        ] {
            let read: Result<ObjectPage, _> = read(body, "ListBucketResult");
            assert!(matches!(read, Err(S3Problem::NotS3(_))), "{:?}: {read:?}", String::from_utf8_lossy(body));
        }
        let deep = "<a>".repeat(100_000);
        let read: Result<ObjectPage, _> =
            read(format!("<ListBucketResult>{deep}").as_bytes(), "ListBucketResult");
        assert!(read.is_err());
    }
}
