//! Writes statistics of the crawl to Graphite and to a file.

use std::process::ExitCode;

fn main() -> ExitCode {
    ops::stats::main()
}
