//! Serves the crawled profiles by id and by name.

use std::process::ExitCode;

fn main() -> ExitCode {
    ops::lookup::main()
}
