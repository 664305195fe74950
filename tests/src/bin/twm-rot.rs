//! Flips bits in the files of stopped nodes.

use std::process::ExitCode;

use clap::Parser;
use twm_tests::power::rot::{Arguments, run};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(seen) => {
            println!("{seen}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("twm-rot: {error:#}");
            ExitCode::FAILURE
        }
    }
}
