//! Indexes the crawled tweets in a search engine.

use std::process::ExitCode;

fn main() -> ExitCode {
    ops::indexer::main()
}
