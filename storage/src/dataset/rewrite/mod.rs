//! Files made anew from existing ones: conversion, merging and recovery.
//!
//! All of it streams: files are read twice, first to see what is in them, then to write. A new file comes
//! into being beside its final name, is synced, and takes its place in one step; until then nothing that was
//! there is touched. What is written is always sound: newest first, each item once.
//!
//! A node may publish a file while one of its name is made anew. What was published is then left as it is, and
//! [`DatasetError::Changed`] says so.

mod contents;
mod convert;
mod followers;
mod form;
mod lenient;
mod loss;
mod merge;
mod new_file;
mod recover;
mod salvage;
mod sorter;
mod source;
mod timelines;
mod tweets;

use std::path::PathBuf;

pub use convert::{Converted, convert};
pub use form::{Form, Gzip};
pub use loss::Loss;
pub use merge::merge;
pub use new_file::remove_leftovers;
pub use recover::{Recovered, Recovery, recover};

#[cfg(doc)]
use super::DatasetError;
use super::FileKey;

/// Where a file goes.
#[derive(Debug, Clone)]
pub struct Target {
    /// What it holds.
    pub key: FileKey,
    /// Its name.
    pub path: PathBuf,
    /// Whether it may take the place of a file that was not read.
    pub force: bool,
}

/// A new file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// Items in it.
    pub items: u64,
    /// Its length.
    pub bytes: u64,
    /// Items that were read and are in it already.
    pub duplicates: u64,
    /// The new name of the file whose place it took, if that was kept.
    pub aside: Option<PathBuf>,
}

#[cfg(test)]
mod tests;
