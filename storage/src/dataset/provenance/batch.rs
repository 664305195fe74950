//! The bytes of a batch.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::super::input::LineReader;
use super::super::{Codec, DatasetError, Result};
use super::Record;

/// Encodes the lines of a batch. Equal lines have equal bytes.
pub fn encode_batch<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let written = lines.into_iter().try_for_each(|line| {
        encoder.write_all(line.as_bytes())?;
        encoder.write_all(b"\n")
    });
    // Memory takes all.
    written.and_then(|()| encoder.finish()).unwrap_or_default()
}

/// The records of a batch. After an error there are none.
pub struct Records {
    place: String,
    lines: Option<LineReader>,
    read: u64,
}

/// Reads a batch, whose place is for messages.
///
/// # Errors
/// It cannot be read, or is no batch.
pub fn read_batch(place: &str, input: impl Read + Send + 'static) -> Result<Records> {
    let unreadable = |why: String| DatasetError::UnreadableBatch { place: place.to_owned(), record: 1, why };
    let mut input = BufReader::new(input);
    let codec = match input.fill_buf() {
        Ok(start) => Codec::of_start(start),
        Err(error) => {
            return Err(of_store(error, place).unwrap_or_else(|error| unreadable(error.to_string())));
        }
    };
    let decoded = codec.decode(input).map_err(|error| unreadable(error.to_string()))?;
    let lines = Some(LineReader::new(Path::new(place), decoded));
    Ok(Records { place: place.to_owned(), lines, read: 0 })
}

/// An error of the store itself.
fn of_store(error: io::Error, place: &str) -> Result<DatasetError, io::Error> {
    if error.raw_os_error().is_none() && error.get_ref().is_none() {
        return Err(error);
    }
    match DatasetError::of_copy(error, Path::new(place)) {
        DatasetError::File(file) if file.source.raw_os_error().is_none() => Err(file.source),
        error => Ok(error),
    }
}

impl Records {
    fn read(&mut self) -> Result<Option<Record>> {
        let Some(lines) = &mut self.lines else { return Ok(None) };
        let record = self.read + 1;
        let unreadable = |why| DatasetError::UnreadableBatch { place: self.place.clone(), record, why };
        let line = match lines.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(None),
            Err(DatasetError::Unreadable { why, .. }) => return Err(unreadable(why)),
            Err(other) => return Err(other),
        };
        let found = Record::of_line(line).map_err(unreadable)?;
        self.read = record;
        Ok(Some(found))
    }
}

impl Iterator for Records {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read().transpose();
        if !matches!(read, Some(Ok(_))) {
            self.lines = None;
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dataset::FileKey;

    fn records(count: u64) -> Vec<Record> {
        let record = |lease: u64| Record {
            key: FileKey::followers(&(lease % 5 + 1).into()),
            crawl: Some(1),
            operation: 'F',
            begun: None,
            ended: None,
            published: Duration::from_secs(lease),
            items: Some(lease),
            node: 1,
            lease,
            epoch: 0,
            extent: None,
        };
        (1..=count).map(record).collect()
    }

    fn batch(records: &[Record]) -> Vec<u8> {
        let lines: Vec<String> = records.iter().map(Record::to_line).collect();
        encode_batch(lines.iter().map(String::as_str))
    }

    fn read(bytes: Vec<u8>) -> (Vec<Record>, Option<String>) {
        let (mut read, mut error) = (Vec::new(), None);
        match read_batch("here", io::Cursor::new(bytes)) {
            Err(refused) => error = Some(refused.to_string()),
            Ok(records) => {
                for record in records {
                    match record {
                        Ok(record) => read.push(record),
                        Err(refused) => error = Some(refused.to_string()),
                    }
                }
            }
        }
        (read, error)
    }

    #[test]
    fn a_batch_is_read_as_it_was_written_and_written_equally_again() {
        let records = records(5_000);
        let bytes = batch(&records);
        assert_eq!(bytes, batch(&records));
        assert!(bytes.len() < 200_000, "{} bytes", bytes.len());
        assert_eq!(read(bytes), (records, None));
    }

    #[test]
    fn of_a_torn_batch_what_is_whole_is_read_and_the_rest_is_named() {
        let records = records(5_000);
        let mut torn = batch(&records);
        torn.truncate(torn.len() / 2);
        let (read_of_torn, error) = read(torn);
        assert!(!read_of_torn.is_empty() && records.starts_with(&read_of_torn));
        let error = error.unwrap();
        assert!(error.contains("here is unreadable at record") && error.contains("in the middle"), "{error}");
    }

    #[test]
    fn what_is_no_record_is_named_by_its_number() {
        let lines = [records(1)[0].to_line(), "{\"no\":1}".to_owned()];
        let (found, error) = read(encode_batch(lines.iter().map(String::as_str)));
        assert_eq!((found.len(), error.unwrap().contains("record 2")), (1, true));
        let (found, error) = read(b"\x1f\x8bno gzip".to_vec());
        assert!(found.is_empty() && error.is_some());
    }
}
