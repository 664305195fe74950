//! The operator's command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ops::ctl::main()
}
