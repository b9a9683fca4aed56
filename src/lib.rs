//! `pgcluster`: a real PostgreSQL cluster on one machine, under Docker Compose. See ARCHITECTURE.md for the map.

mod assets;
mod checks;
pub mod cli;
mod commands;
mod docker;
mod env_file;
pub mod error;
mod execute;
mod health;
mod logins;
mod observe;
mod observed;
mod plan;
mod postgres;
mod process;
mod project;
mod prove;
mod reconcile;
mod render;
mod settings;
mod settle;
mod topology;
mod ui;
mod workdir;

use std::process::ExitCode;

use cli::{Cli, Color};
use error::{Failure, Kind, Problem};
use ui::Ui;

/// Runs one command line to its end and reports how it went.
pub async fn run(cli: Cli) -> ExitCode {
    match cli.global.color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    }
    .write_global();
    let ui = Ui {
        quiet: cli.global.quiet,
        verbose: cli.global.verbose,
    };
    let result = tokio::select! {
        result = commands::dispatch(&cli, ui) => result,
        () = asked_to_stop() => Err(interrupted(cli.command.name()).into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui.errors(&error::render(&error));
            ExitCode::from(error::exit_code(&error))
        }
    }
}

/// Ctrl-C, and where there is such a thing the signal by which a service manager or CI stops a process.
async fn asked_to_stop() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return,
            _ = terminate.recv() => return,
        }
    }
    // An error means that nobody can ask.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn interrupted(command: &str) -> Failure {
    Failure::new(
        Kind::Interrupted,
        match command {
            "down" => Problem::new("interrupted; what was stopped or deleted so far stays so")
                .fix("`pgcluster down` with the same options finishes, `pgcluster up` starts again"),
            _ => Problem::new("interrupted; containers that were started go on, and no data was touched")
                .fix(format!("`pgcluster {command}` continues, `pgcluster down` stops")),
        },
    )
}
