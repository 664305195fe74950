//! Lists of accounts, plain and gzip.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use ops::ctl::targets::{Entry, MAX_LINE, TargetList, parse_line};
use storage::ids::UserId;

fn read(bytes: Vec<u8>) -> Vec<Result<Entry, String>> {
    let list = TargetList::from_reader("list", Cursor::new(bytes)).unwrap();
    list.map(|entry| entry.map_err(|error| error.to_string())).collect()
}

fn run(data: &[u8]) {
    let Some((mode, bytes)) = data.split_first() else { return };
    let lines = bytes.split(|byte| *byte == b'\n').count() as u64;
    let entries = read(bytes.to_vec());
    let mut last = 0;
    for entry in entries.iter().flatten() {
        match entry {
            // The printed form of an account parses to the same account.
            Entry::Account(user) => assert_eq!(user.to_string().parse::<UserId>().as_ref(), Ok(user)),
            Entry::Name { line, name } => {
                assert!(!name.is_empty() && !name.contains('@'));
                assert!(*line > last);
                last = *line;
            }
            Entry::Bad { line, why } => {
                assert!(*line > last && !why.to_string().is_empty());
                last = *line;
            }
        }
    }
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return;
    }
    assert!(last <= lines && entries.len() as u64 <= lines);
    // Plain text yields no read errors, each line is independent, and gzip changes nothing.
    let alone = bytes.split(|byte| *byte == b'\n').enumerate().filter(|(n, line)| {
        let bare = if *n == 0 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        line.len() > MAX_LINE || !matches!(parse_line(bare), Ok(None))
    });
    assert_eq!(entries.len(), alone.count());
    assert!(entries.iter().all(Result::is_ok));
    assert_eq!(read(twm_fuzz::gzip(bytes, 16 + 16 * usize::from(*mode))), entries);
}

fuzz_target!(init: twm_fuzz::seeds_of("target_list", &[255]), |data: &[u8]| run(data));
