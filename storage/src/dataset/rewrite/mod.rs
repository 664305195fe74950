//! Rewrites files: conversion, merging and recovery.
//!
//! Everything is streamed: files are read twice, first to examine them, then to write. A new file is created
//! next to its final name, synced, and renamed in one step; until then nothing existing is touched. The
//! result is always sound: newest first, each item once.
//!
//! A node may publish a file while one with its name is rewritten. The published file is then left as it is,
//! and [`DatasetError::Changed`] is returned.

mod contents;
mod convert;
mod followers;
mod form;
mod lenient;
mod loss;
mod merge;
mod new_file;
mod profiles;
mod recover;
mod salvage;
mod sorter;
mod source;
mod timelines;
mod tweets;

use std::path::PathBuf;

pub use convert::{Converted, convert};
pub use form::Form;
pub use loss::Loss;
pub use merge::merge;
pub use new_file::remove_leftovers;
pub use recover::{Recovered, Recovery, recover};

#[cfg(doc)]
use super::DatasetError;
use super::FileKey;

/// The target of a rewrite.
#[derive(Debug, Clone)]
pub struct Target {
    /// What it holds.
    pub key: FileKey,
    /// Its name.
    pub path: PathBuf,
    /// Whether it may replace a file that was not read.
    pub force: bool,
}

/// A new file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// Items in it.
    pub items: u64,
    /// Its length.
    pub bytes: u64,
    /// Duplicate items that were dropped.
    pub duplicates: u64,
    /// The new name of the replaced file, if that was kept.
    pub aside: Option<PathBuf>,
}

#[cfg(test)]
mod tests;
