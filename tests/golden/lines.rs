// Shared by the tests of the crates that encode: lines of `name hex`, one encoded value each.

use std::fs;
use std::path::PathBuf;

/// The values of one version.
pub(crate) struct Golden {
    path: PathBuf,
    lines: Vec<(String, Vec<u8>)>,
}

impl Golden {
    /// The file `name` of `tests/golden`. With `TWM_WRITE_GOLDEN` in the environment it is rewritten from what is
    /// encoded today, if it is not there yet: a file that is there is what an older build wrote, and stays.
    pub(crate) fn open(name: &str, today: &[(String, Vec<u8>)]) -> Self {
        let path = folder().join(name);
        if std::env::var_os("TWM_WRITE_GOLDEN").is_some() && !path.exists() {
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let text: String = today.iter().map(|(name, bytes)| format!("{name} {}\n", hex(bytes))).collect();
            fs::write(&path, text).unwrap();
        }
        let text = fs::read_to_string(&path);
        let text = text
            .unwrap_or_else(|error| panic!("{}: {error}; run ops/golden for a new version", path.display()));
        let lines = text.lines().map(|line| {
            let (name, hex) = line.split_once(' ').unwrap();
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            (name.to_owned(), (0..hex.len()).step_by(2).map(byte).collect())
        });
        Self { path, lines: lines.collect() }
    }

    /// What is encoded today must be what the file has: what has another form needs a new version.
    pub(crate) fn is(&self, today: &[(String, Vec<u8>)]) {
        for (name, bytes) in today {
            let (_, recorded) =
                self.lines.iter().find(|(recorded, _)| recorded == name).unwrap_or_else(|| {
                    panic!("{} has no {name}: a new version is needed", self.path.display())
                });
            assert_eq!(bytes, recorded, "{name} is encoded otherwise than in {}", self.path.display());
        }
        assert_eq!(self.lines.len(), today.len(), "{} has values that are gone", self.path.display());
    }
}

#[allow(dead_code, reason = "not all crates have values of several versions")]
impl Golden {
    /// What an older version has must be encoded as it was, but for these.
    pub(crate) fn is_part_of(&self, today: &[(String, Vec<u8>)], but: impl Fn(&str) -> bool) {
        for (name, recorded) in self.lines.iter().filter(|(name, _)| !but(name)) {
            let now = today.iter().find(|(now, _)| now == name).map(|(_, bytes)| bytes);
            assert_eq!(now, Some(recorded), "{name} is encoded otherwise than in {}", self.path.display());
        }
    }
}

/// Where the files are.
pub(crate) fn folder() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let found = root.ancestors().map(|above| above.join("tests/golden")).find(|golden| golden.is_dir());
    found.unwrap()
}
