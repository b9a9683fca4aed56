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
    // Its threads end with the process: one may wait for an answer on the terminal for ever, and on Windows one that ends
    // of itself at that moment may put its own exit code in the place of this one.
    std::mem::forget(runtime);
    code
}
