//! Target lists of all kinds.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use storage::env::{Entropy, SeededEntropy};
use twm_tests::cluster::Cluster;

use crate::table::{Places, Row, ctl, holds};
use crate::world::{Test, accounts};

/// Bytes of a single line: about a billion.
const LONG_LINE: usize = 1 << 30;

const LISTS: &[Row] = &[
    ctl("{submit} /nowhere/list", 1, &["/nowhere/list", "No such file"]),
    ctl("{submit} .", 1, &["Is a directory"]),
    ctl("{submit} empty", 1, &["names no account", "nothing was submitted"]),
    ctl("{submit} comments", 1, &["names no account (0 bad lines)", "nothing was submitted"]),
    ctl("{submit} noise", 1, &["noise:", "bad lines", "nothing was submitted"]),
    ctl("{submit} utf-16", 1, &["utf-16:1: binary or UTF-16", "iconv -f utf-16", "nothing was submitted"]),
    ctl("{submit} long-line.gz", 0, &["long-line.gz:2: the line is longer", "2 accounts accepted"]),
    ctl(
        "{submit} latin-1",
        0,
        &["latin-1:2: no UTF-8", "iconv -f latin1", "2 accounts accepted", "1 bad lines"],
    ),
    ctl("{submit} crlf", 0, &["3 accounts accepted", "0 named again", "0 bad lines"]),
    ctl("{submit} mark", 0, &["2 accounts accepted", "0 bad lines"]),
    ctl("{submit} twice", 0, &["2 accounts accepted", "3 named again", "0 bad lines"]),
    ctl("{submit} ranges", 0, &["ranges:1: \"-5\" is negative", "ranges:2: \"0\"", "1 accounts accepted"]),
    ctl("{submit} ranges", 0, &["ranges:3: \"18446744073709551616\"", "between 1 and 18446744073709551615"]),
    ctl(
        "{submit} words",
        0,
        &["words:1: \"user_id\"", "words:3: \"1e3\"", "1 accounts accepted", "4 bad lines"],
    ),
    ctl("{submit} mixed", 0, &["mixed:2: ", "2 accounts accepted"]),
    ctl("{submit} many-bad", 0, &["many-bad:1: ", "more bad lines", "1 accounts accepted"]),
    ctl("{submit} torn.gz", 1, &["torn.gz cannot be read beyond line", "was cancelled", "submit again"]),
    ctl("{submit} tail.gz", 1, &["tail.gz cannot be read beyond line 2", "was cancelled", "submit again"]),
    ctl("{submit} blanks.gz", 1, &["names no account", "nothing was submitted"]),
    ctl("{submit} crlf --seeds=/nowhere/list", 1, &["/nowhere/list", "No such file"]),
    ctl("{submit} crlf --seeds=torn.gz", 1, &["torn.gz cannot be read beyond line", "was cancelled"]),
    ctl("{submit} crlf --priority=0", 2, &["1..=100"]),
    ctl("{submit} crlf --depth=-1", 2, &["-1"]),
    ctl("{submit} crlf --traverse=sideways", 2, &["sideways", "bfs"]),
    ctl("{submit} - --seeds=-", 2, &["standard input"]),
];

fn write_lists(folder: &Path) -> Test {
    let entropy = SeededEntropy::new(3);
    let noise: Vec<u8> = (0..100_000).map(|_| entropy.next_u64() as u8 | 0x80).collect();
    let utf_16: Vec<u8> = "\u{feff}1\n2\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let many: String = (0..100_000).map(|n| format!("-{n}\n")).collect();
    let whole = gzip(&many.replace('-', "1"))?;
    for (name, content) in [
        ("empty", Vec::new()),
        ("comments", b"# nothing\n\n  \n#\n".to_vec()),
        ("noise", noise.clone()),
        ("utf-16", utf_16),
        ("latin-1", b"1\nAndr\xe9\n2\n".to_vec()),
        ("crlf", b"1\r\n2\r\n\r\n3\r\n".to_vec()),
        ("mark", b"\xef\xbb\xbf1\n2".to_vec()),
        ("twice", b"1\n2\n1\n1\n2\n".to_vec()),
        ("ranges", b"-5\n0\n18446744073709551616\n99999999999999999999999\n18446744073709551615\n".to_vec()),
        ("words", b"user_id\n1;2\n1e3\n\"5\"\n 7 \n".to_vec()),
        ("mixed", [b"1\n", &noise[..], b"\n2\n"].concat()),
        ("many-bad", (many + "7\n").into_bytes()),
        ("torn.gz", whole[..whole.len() / 2].to_vec()),
        ("tail.gz", [&gzip("1\n2\n")?[..], b"garbage"].concat()),
        ("blanks.gz", gzip(&" \n".repeat(10_000_000))?),
    ] {
        fs::write(folder.join(name), content)?;
    }
    let mut line = GzEncoder::new(File::create(folder.join("long-line.gz"))?, Compression::fast());
    line.write_all(b"1\n")?;
    let part = vec![b'9'; 1 << 20];
    for _ in 0..LONG_LINE / part.len() {
        line.write_all(&part)?;
    }
    line.write_all(b"\n2\n")?;
    line.finish()?.sync_all()?;
    Ok(())
}

fn gzip(text: &str) -> anyhow::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes())?;
    Ok(encoder.finish()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_lists_of_all_kinds_are_taken_as_far_as_they_are_good() -> Test {
    let emulator = accounts(1).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    write_lists(cluster.folder())?;
    let places = Places::default().with("submit", format!("--endpoints={} submit", cluster.address(1)?));
    holds(LISTS, &places, cluster.folder()).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_a_gigabyte_takes_no_more_memory_than_a_short_one() -> Test {
    let emulator = accounts(1).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let limited = format!(
        "ulimit -v 300000; head -c {LONG_LINE} /dev/zero | tr '\\0' 9 | exec {} --endpoints {} submit -",
        twm_tests::cluster::Program::Ctl.path()?.display(),
        cluster.address(1)?
    );
    let output = twm_tests::cluster::ended(tokio::process::Command::new("sh").args(["-c", &limited])).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("standard input:1: the line is longer than 4096 bytes"), "{said}");
    cluster.finish().await
}
