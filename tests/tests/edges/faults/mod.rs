//! The faults of the original program that occurred in crawls, by their numbers in the list of formats and faults:
//! none may recur. Those of the dataset's tools are in `ops/tests/dataset/faults.rs`; the exact moment between
//! writing and reporting (2) is tested in `node/tests/crawl/faults.rs`.

mod losses;
mod trouble;
