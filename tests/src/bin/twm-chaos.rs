//! Injects faults into a cluster of real processes.

use std::process::ExitCode;

use clap::Parser;
use twm_tests::chaos::{Arguments, run};

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("twm-chaos: {error:#}");
            ExitCode::from(2)
        }
    }
}
