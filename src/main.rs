use std::process::ExitCode;

use clap::Parser;
use pgcluster::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    pgcluster::run(Cli::parse()).await
}
