use std::process::ExitCode;

use clap::Parser;
use pgcluster::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => panic!("no threads or no events from the system: {error}"),
    };
    let code = runtime.block_on(pgcluster::run(cli));
    // A thread that still waits for an answer on the terminal must not hold up the end.
    runtime.shutdown_background();
    code
}
