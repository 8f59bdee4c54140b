//! The program: parses the command line and runs the command. Everything else is in the library.

use std::process::ExitCode;

use berth::cli::Cli;
use clap::Parser;

#[actix_web::main]
async fn main() -> ExitCode {
    berth::cli::run(Cli::parse()).await
}
