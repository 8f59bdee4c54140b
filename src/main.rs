use std::process::ExitCode;

use berth::cli::Cli;
use clap::Parser;

#[actix_web::main]
async fn main() -> ExitCode {
    berth::cli::run(Cli::parse()).await
}
