//! Statistics of the crawl, for Graphite and for a file.

use std::process::ExitCode;

fn main() -> ExitCode {
    ops::stats::main()
}
