//! Cuts the power of nodes under load.

use std::process::ExitCode;

use clap::Parser;
use twm_tests::power::cuts::{Arguments, run};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(seen) => {
            println!("{seen}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("twm-power-cuts: {error:#}");
            ExitCode::FAILURE
        }
    }
}
