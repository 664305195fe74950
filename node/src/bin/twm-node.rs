//! A node of a twm cluster.

use std::process::ExitCode;

use node::address::AddressList;
use node::settings::{LoadError, Loaded};

/// Bad settings.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let loaded = match Loaded::from_process() {
        Ok(loaded) => loaded,
        Err(LoadError::Command(error)) => error.exit(),
        Err(LoadError::Problems(problems)) => {
            eprintln!("twm-node: bad settings\n{problems}");
            return ExitCode::from(USAGE);
        }
    };
    if loaded.check_config {
        print!("{loaded}");
        return ExitCode::SUCCESS;
    }
    if loaded.print_ips {
        return print_ips(&loaded.settings.ips);
    }
    match node::run::run(&loaded.settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("twm-node: {}", node::run::describe_error(&error));
            ExitCode::FAILURE
        }
    }
}

fn print_ips(ips: &AddressList) -> ExitCode {
    match ips.addresses() {
        Ok(addresses) => {
            addresses.iter().for_each(|address| println!("{address}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("twm-node: {error}");
            ExitCode::FAILURE
        }
    }
}
