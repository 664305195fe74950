//! Bit flips in a dataset: in published files, drafts and the marker.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};

use crate::cluster::{Cluster, FileName};

use super::rot::{Seen, damage, draw, start};

/// The file that identifies the owner of an output folder.
const MARKER: &str = ".twm-output";

/// Damages a file of the dataset; each kind is equally likely.
///
/// # Errors
/// Damage that changes the content of a file is not found, or crawling the account again does not repair it.
pub(super) async fn rot(
    cluster: &mut Cluster,
    below: &impl Fn(usize) -> usize,
    seen: &mut Seen,
) -> anyhow::Result<()> {
    let folder = cluster.output(1);
    let (kind, file) = draw(&folder, below, |inner| kind_of(inner).to_owned())?;
    let name = FileName::of(file.strip_prefix(&folder)?);
    let sound = fs::read(&file)?;
    let before = name.map(|name| cluster.lines(1, name)).transpose()?;
    let what = damage(&file, below)?;
    let context = || format!("{kind}: {what} of {}", file.display());
    let found = match (name, before) {
        (Some(name), Some(before)) => {
            let found = is_found(cluster, &folder, &file).await.with_context(context)?;
            match found {
                true => crawl_again(cluster, name, &before, &file).await.with_context(context)?,
                false => ensure!(
                    cluster.lines(1, name).is_ok_and(|lines| lines == before),
                    "{}: `twm-ctl check` finds nothing wrong with it, and it holds something else",
                    context()
                ),
            }
            found
        }
        _ if file.ends_with(MARKER) => {
            let id = 1 + below(3) as u64;
            cluster.node(id)?.kill().await?;
            let refused = start(cluster, id, MARKER).await.with_context(context)?;
            fs::write(&file, &sound)?;
            ensure!(refused.is_some(), "{}: node {id} starts", context());
            cluster.restart(id).await?;
            true
        }
        // The node that continues the job detects it; all files are compared at the end.
        _ => false,
    };
    seen.in_dataset(kind, found);
    Ok(())
}

fn kind_of(inner: &Path) -> &'static str {
    match FileName::of(inner) {
        Some(FileName::Timeline(_)) => "timeline",
        Some(FileName::Followers(_)) => "list of followers",
        Some(FileName::Profiles(_)) => "profiles",
        None if inner == Path::new(MARKER) => "marker",
        None => "draft",
    }
}

/// Whether `twm-ctl check` names the file.
async fn is_found(cluster: &Cluster, folder: &Path, file: &Path) -> anyhow::Result<bool> {
    let folder = folder.to_str().context("a path of UTF-8")?;
    let checked = cluster.twm_ctl(&["check", "--dataset", folder]).await?;
    let (said, complaint) =
        (String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    match checked.status.code() {
        Some(0) => Ok(false),
        Some(5) if said.contains(&file.display().to_string()) => Ok(true),
        _ => bail!("twm-ctl check ended with {}: {said}{complaint}", checked.status),
    }
}

/// Repairs a file by crawling its account again.
async fn crawl_again(
    cluster: &Cluster,
    name: FileName,
    before: &[String],
    file: &Path,
) -> anyhow::Result<()> {
    let damaged = fs::read(file)?;
    let (account, flag) = match name {
        FileName::Timeline(account) => (account, "-T"),
        FileName::Followers(account) => (account, "-F"),
        FileName::Profiles(account) => (account, "-A"),
    };
    let crawl = cluster.submit(&[account], &[flag]).await?;
    let users = cluster.finished(crawl).await?.counters.users;
    ensure!(users.completed == 1, "crawling it again ended with {users:?}");
    ensure!(cluster.lines(1, name)? == before, "crawled again it holds something else");
    // An unreadable file is set aside, not replaced.
    let above = file.parent().context("a file in no folder")?;
    let aside = format!("{name}.unreadable");
    for entry in fs::read_dir(above)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&aside)) {
            ensure!(fs::read(&path)? == damaged, "{} is not what was damaged", path.display());
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
