//! Simulates clusters, each from a seed, and reports the seeds that failed.

use std::process::ExitCode;

#[cfg(debug_assertions)]
fn main() -> ExitCode {
    use clap::Parser;

    match twm_tests::simulation::run(&twm_tests::simulation::Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("twm-simulate: {error:#}");
            ExitCode::from(2)
        }
    }
}

#[cfg(not(debug_assertions))]
fn main() -> ExitCode {
    eprintln!("twm-simulate: only a build with debug assertions has the simulation; build without --release");
    ExitCode::from(2)
}
