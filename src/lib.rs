//! `pgcluster`: a real PostgreSQL cluster on one machine, under Docker Compose. See ARCHITECTURE.md for the map.

mod advice;
pub mod assets;
pub mod certificates;
mod checks;
pub mod cli;
mod commands;
mod copying;
mod data;
mod deletion;
mod docker;
mod doctor;
mod drain;
mod engine;
pub mod env_file;
pub mod error;
mod examine;
mod execute;
mod extend;
mod extensions;
#[doc(hidden)]
pub mod fuzzed;
mod handover;
mod hazards;
mod health;
mod inside;
mod logins;
mod nodes;
mod observe;
mod observed;
mod passwords;
mod plan;
mod points;
mod postgres;
mod process;
mod project;
mod prove;
mod quorum;
mod rebuild;
mod reconcile;
mod release;
pub mod render;
mod roster;
mod rotation;
mod route;
pub mod settings;
mod settle;
mod target;
pub mod topology;
mod turnover;
mod ui;
mod url;
mod users;
mod workdir;

use std::process::ExitCode;

use cli::{Cli, Color, OnInterrupt};
use error::{Failure, Kind, PassedOn, Problem};
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
    let on_interrupt = cli.command.on_interrupt();
    let result = tokio::select! {
        result = commands::dispatch(&cli, ui) => result,
        () = asked_to_stop(on_interrupt) => Err(match on_interrupt {
            OnInterrupt::Explain => interrupted(cli.command.name()).into(),
            OnInterrupt::End | OnInterrupt::GoOn => PassedOn(Kind::Interrupted.exit_code()).into(),
        }),
    };
    postgres::hang_up().await;
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui.errors(&error::render(&error));
            ExitCode::from(error::exit_code(&error))
        }
    }
}

/// Ctrl-C, and where there is such a thing the signal by which a service manager or CI stops a process.
async fn asked_to_stop(on_interrupt: OnInterrupt) {
    #[cfg(unix)]
    {
        use tokio::signal::unix::SignalKind;
        tokio::select! {
            () = interrupt(on_interrupt) => {}
            () = received(SignalKind::terminate()) => {}
            // With the terminal goes the program that has it, and then there is a password file to delete. Other
            // commands leave this to the system, as `nohup` counts on that.
            () = received(SignalKind::hangup()), if on_interrupt == OnInterrupt::GoOn => {}
        }
    }
    #[cfg(not(unix))]
    interrupt(on_interrupt).await;
}

#[cfg(unix)]
async fn received(kind: tokio::signal::unix::SignalKind) {
    // An error means that nobody can ask.
    if let Ok(mut signal) = tokio::signal::unix::signal(kind) {
        signal.recv().await;
    } else {
        std::future::pending::<()>().await;
    }
}

/// Ctrl-C, unless it is meant for another: then it is caught and nothing happens.
async fn interrupt(on_interrupt: OnInterrupt) {
    // An error means that nobody can ask.
    while tokio::signal::ctrl_c().await.is_ok() {
        if on_interrupt != OnInterrupt::GoOn {
            return;
        }
    }
    std::future::pending::<()>().await;
}

fn interrupted(command: &str) -> Failure {
    Failure::new(
        Kind::Interrupted,
        match command {
            "down" => Problem::new("interrupted; what was stopped or deleted so far stays so")
                .fix("`pgcluster down` with the same options finishes, `pgcluster up` starts again"),
            "restart" | "start" | "stop" => {
                Problem::new("interrupted; a node may be stopped, or left out by the pool").fix(format!(
                    "`pgcluster {command}` with the same words goes on, `pgcluster up` puts everything right"
                ))
            }
            "rebuild" => Problem::new("interrupted; what a replica had may be set aside, or deleted where that was confirmed")
                .fix("`pgcluster up` clones what has no data, and puts everything right"),
            "user" | "rotate" => Problem::new("interrupted; a password may be changed in one place and not yet in another")
                .fix("run the same command again, which repairs that; `pgcluster user passwd` for a role of your own"),
            _ => Problem::new("interrupted; containers that were started go on, and no data was touched")
                .fix(format!("`pgcluster {command}` continues, `pgcluster down` stops")),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_interrupts_a_command_is_told_what_it_leaves_and_how_it_goes_on() {
        fn check(command: &str, leaves: &str, next: &str) {
            let failure = interrupted(command);
            assert_eq!(failure.kind.exit_code(), 130);
            let problem = &failure.problems[0];
            assert_eq!(problem.what, format!("interrupted; {leaves}"));
            assert!(
                problem.fix.as_ref().is_some_and(|fix| fix.contains(next)),
                "{problem:?}"
            );
        }
        check(
            "up",
            "containers that were started go on, and no data was touched",
            "`pgcluster up`",
        );
        check(
            "scale",
            "containers that were started go on, and no data was touched",
            "`pgcluster scale`",
        );
        check(
            "down",
            "what was stopped or deleted so far stays so",
            "`pgcluster down`",
        );
        check(
            "restart",
            "a node may be stopped, or left out by the pool",
            "`pgcluster restart`",
        );
        check(
            "rebuild",
            "what a replica had may be set aside, or deleted where that was confirmed",
            "`pgcluster up`",
        );
        check(
            "rotate",
            "a password may be changed in one place and not yet in another",
            "run the same command again",
        );
    }
}
