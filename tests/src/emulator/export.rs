//! Writes accounts as a dataset in our layout.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::EmulatorError;
use super::world::{Accounts, Standing};

/// Followers read at a time.
const PIECE: usize = 10_000;

/// Writes `DD/ID.twt` and `DD/ID.fws`, `profiles.jsonl.gz`, `targets` and, if any account is gone, `gone`.
///
/// An account without tweets or followers has no file for them, as in a crawled dataset.
pub(super) fn export(accounts: &Accounts, folder: &Path) -> Result<(), EmulatorError> {
    fs::create_dir_all(folder).map_err(|error| EmulatorError::file(folder, error))?;
    let ids = || (0..accounts.count()).filter_map(|position| accounts.at(position));
    let mut profiles = Vec::new();
    let (mut targets, mut gone) = (String::new(), String::new());
    for id in ids() {
        targets.push_str(&format!("{id}\n"));
        if let Standing::Gone(status) = accounts.standing(id) {
            gone.push_str(&format!("{id} {status}\n"));
        }
        profiles.extend(accounts.profile(id));
        export_account(accounts, id, folder)?;
    }
    write_gzip(&folder.join("profiles.jsonl.gz"), profiles.iter().map(|profile| &profile[..]))?;
    write_plain(&folder.join("targets"), &targets)?;
    if !gone.is_empty() {
        write_plain(&folder.join("gone"), &gone)?;
    }
    Ok(())
}

fn export_account(accounts: &Accounts, id: u64, folder: &Path) -> Result<(), EmulatorError> {
    let name = id.to_string();
    let folder = folder.join(&name[..name.len().min(2)]);
    let tweets = accounts.tweets(id);
    let followers = accounts.follower_count(id);
    if tweets.is_empty() && followers == 0 {
        return Ok(());
    }
    fs::create_dir_all(&folder).map_err(|error| EmulatorError::file(&folder, error))?;
    if !tweets.is_empty() {
        write_gzip(&folder.join(format!("{name}.twt")), tweets.iter().map(|tweet| &tweet[..]))?;
    }
    if followers > 0 {
        let pieces = (0..followers).step_by(PIECE).map(|offset| {
            let mut ids = Vec::with_capacity(PIECE);
            accounts.followers(id, offset, PIECE, &mut ids);
            ids.iter().map(u64::to_string).collect::<Vec<_>>().join("\n")
        });
        write_gzip(&folder.join(format!("{name}.fws")), pieces)?;
    }
    Ok(())
}

fn write_gzip(path: &Path, lines: impl Iterator<Item = impl AsRef<[u8]>>) -> Result<(), EmulatorError> {
    let write = || {
        let mut encoder = GzEncoder::new(BufWriter::new(File::create(path)?), Compression::best());
        for line in lines {
            encoder.write_all(line.as_ref())?;
            encoder.write_all(b"\n")?;
        }
        encoder.finish()?.flush()
    };
    write().map_err(|error| EmulatorError::file(path, error))
}

fn write_plain(path: &Path, text: &str) -> Result<(), EmulatorError> {
    fs::write(path, text).map_err(|error| EmulatorError::file(path, error))
}
