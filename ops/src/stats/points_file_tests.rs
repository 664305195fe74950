use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;

fn text(path: &Path) -> String {
    let mut text = String::new();
    MultiGzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_file_goes_on_where_it_ended_and_is_whole_after_every_append() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("stats.gz");
    for number in 0..5 {
        let mut points = PointsFile::open(&path).unwrap();
        points.append(format!("a {number} 1\n").as_bytes()).unwrap();
        points.append(b"").unwrap();
        assert_eq!(text(&path).lines().count(), number + 1);
    }
    assert_eq!(text(&path), "a 0 1\na 1 1\na 2 1\na 3 1\na 4 1\n");
}

/// A start before the first second, or while Redis was unreachable, used to leave an empty file, which gzip
/// readers reject.
#[test]
fn a_new_file_is_whole_from_its_first_moment() {
    let folder = TempDir::new().unwrap();
    let path = |number: u32| folder.path().join(format!("{number}.gz"));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            for number in 0..200 {
                while !path(number).exists() {
                    std::thread::yield_now();
                }
                assert_eq!(text(&path(number)), "");
            }
        });
        let opened: Vec<_> = (0..200).map(|number| PointsFile::open(&path(number)).unwrap()).collect();
        reader.join().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), opened.len(), "nothing else is left");
    });
}

#[test]
fn a_file_that_is_empty_or_torn_at_its_beginning_is_begun_anew() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("stats.gz");
    for left in [&b""[..], b"\x1f\x8b\x08\x00\x00"] {
        fs::write(&path, left).unwrap();
        let mut points = PointsFile::open(&path).unwrap();
        assert_eq!(text(&path), "");
        points.append(b"a 1 1\n").unwrap();
        assert_eq!(text(&path), "a 1 1\n");
    }
}

#[test]
fn wherever_the_end_was_torn_off_whole_lines_stay_and_new_ones_follow() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("stats.gz");
    let second: String = (0..200).map(|number| format!("b.{number} {number} 2\n")).collect();
    let mut points = PointsFile::open(&path).unwrap();
    points.append(b"a 1 1\n").unwrap();
    let first = points.end;
    points.append(second.as_bytes()).unwrap();
    drop(points);
    let whole = fs::read(&path).unwrap();
    let mut kept_most = 0;
    for cut in first as usize..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        PointsFile::open(&path).unwrap().append(b"c 3 3\n").unwrap();
        let text = text(&path);
        let kept = text.strip_prefix("a 1 1\n").and_then(|text| text.strip_suffix("c 3 3\n")).unwrap();
        assert!(second.starts_with(kept) && (kept.is_empty() || kept.ends_with('\n')), "{cut}: {kept}");
        kept_most = kept_most.max(kept.lines().count());
    }
    assert!(kept_most > 150, "{kept_most}");
}

#[test]
fn a_damaged_file_is_set_aside_and_never_overwritten() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("stats.gz");
    for foreign in [&b"plain text\n"[..], b"other text that is no gzip\n"] {
        fs::write(&path, foreign).unwrap();
        PointsFile::open(&path).unwrap().append(b"a 1 1\n").unwrap();
        assert_eq!(text(&path), "a 1 1\n");
    }
    assert_eq!(fs::read(folder.path().join("stats.gz.damaged-1")).unwrap(), b"plain text\n");
    assert_eq!(fs::read(folder.path().join("stats.gz.damaged-2")).unwrap(), b"other text that is no gzip\n");
}

/// Repairing it would take as much memory as a foreign file says.
#[test]
fn a_torn_member_that_is_larger_than_any_of_ours_is_set_aside_whole() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("stats.gz");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..=LARGEST_MEMBER / 4096 {
        encoder.write_all(&[b'\n'; 4096]).unwrap();
    }
    let mut torn = encoder.finish().unwrap();
    torn.truncate(torn.len() - 8);
    fs::write(&path, &torn).unwrap();
    PointsFile::open(&path).unwrap().append(b"a 1 1\n").unwrap();
    assert_eq!(text(&path), "a 1 1\n");
    assert!(fs::read(folder.path().join("stats.gz.damaged-1")).unwrap() == torn);
}

#[test]
fn a_foreign_file_without_a_last_line_end_gets_one() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("stats.gz");
    let mut encoder = GzEncoder::new(File::create(&path).unwrap(), Compression::default());
    encoder.write_all(b"a 1 1").unwrap();
    encoder.finish().unwrap();
    let mut points = PointsFile::open(&path).unwrap();
    points.append(b"b 1 1\n").unwrap();
    points.append(b"c 1 1\n").unwrap();
    assert_eq!(text(&path), "a 1 1\nb 1 1\nc 1 1\n");
}

#[test]
fn two_cannot_write_one_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("stats.gz");
    let _first = PointsFile::open(&path).unwrap();
    let second = PointsFile::open(&path).unwrap_err();
    assert!(matches!(second, PointsFileError::InUse(_)), "{second}");
}

#[test]
fn what_a_full_disk_took_of_a_member_is_cut_off_again() {
    let full = Path::new("/dev/full");
    let file = File::options().read(true).write(true).open(full).unwrap();
    let mut points = PointsFile { path: full.to_owned(), file, end: 0, unfinished_line: false };
    let refused = points.append(b"a 1 1\n").unwrap_err().to_string();
    assert!(refused.starts_with("cannot write /dev/full"), "{refused}");
    assert_eq!(points.end, 0);
}

#[test]
fn up_to_the_end_of_any_page_the_file_is_whole() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("stats.gz");
    let mut points = PointsFile::open(&path).unwrap();
    let (mut value, mut all) = (1_u64, String::new());
    // Appends of many lengths, of lines that compress badly.
    for lines in (1..60).chain([500, 3_000, 1, 0, 20_000]) {
        let mut second = String::new();
        for _ in 0..lines {
            value = value.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            second.push_str(&format!("c.{value} {value} 1\n"));
        }
        points.append(second.as_bytes()).unwrap();
        all.push_str(&second);
        assert_eq!(text(&path), all);
    }
    let whole = fs::read(&path).unwrap();
    assert!(whole.len() > 100 * PAGE);
    for cut in (PAGE..whole.len()).step_by(PAGE) {
        let mut read = String::new();
        MultiGzDecoder::new(&whole[..cut]).read_to_string(&mut read).unwrap();
        assert!(all.starts_with(&read) && read.ends_with('\n'), "{cut}");
    }
}

#[test]
fn a_line_that_fits_into_no_page_is_kept() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("stats.gz");
    let mut points = PointsFile::open(&path).unwrap();
    let long: String = (0..20_000_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string()).collect();
    let lines = format!("a 1 1\n{long} 2 1\nb 3 1\n");
    points.append(lines.as_bytes()).unwrap();
    points.append(b"c 4 2\n").unwrap();
    assert_eq!(text(&path), format!("{lines}c 4 2\n"));
}
