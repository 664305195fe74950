//! The faults of the original program that a crawl showed, each by its number in the list of formats and faults: none may
//! come back. Those of the dataset's tools are in `ops/tests/dataset/faults.rs`; the moment between writing and reporting
//! (2) is met exactly in `node/tests/crawl/faults.rs`.

mod losses;
mod trouble;
