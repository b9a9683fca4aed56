//! One file a command: its `Args`, whose comment is its help text, and one `run`.

pub mod cache;
pub mod completions;
pub mod config;
pub mod doctor;
pub mod down;
pub mod generate;
pub mod logs;
pub mod man;
pub mod mode;
pub mod psql;
pub mod rebuild;
pub mod restart;
pub mod rotate;
pub mod route;
pub mod scale;
pub mod start;
pub mod status;
pub mod stop;
pub mod up;
pub mod url;
pub mod user;

use anyhow::Result;

use crate::cli::{Cli, Command};
use crate::ui::Ui;

/// Runs the command that was asked for.
pub async fn dispatch(cli: &Cli, ui: Ui) -> Result<()> {
    match &cli.command {
        Command::Generate(args) => generate::run(args, &cli.global, ui).await,
        Command::Up(args) => up::run(args, &cli.global, ui).await,
        Command::Rebuild(args) => rebuild::run(args, &cli.global, ui).await,
        Command::Scale(args) => scale::run(args, &cli.global, ui).await,
        Command::Down(args) => down::run(args, &cli.global, ui).await,
        Command::Mode(args) => mode::run(args, &cli.global, ui).await,
        Command::Status(args) => status::run(args, &cli.global, ui).await,
        Command::Logs(args) => logs::run(args, &cli.global, ui).await,
        Command::Psql(args) => psql::run(args, &cli.global, ui).await,
        Command::Url(args) => url::run(args, &cli.global, ui),
        Command::Restart(args) => restart::run(args, &cli.global, ui).await,
        Command::Stop(args) => stop::run(args, &cli.global, ui).await,
        Command::Start(args) => start::run(args, &cli.global, ui).await,
        Command::Config(args) => config::run(args, &cli.global, ui),
        Command::Doctor(args) => doctor::run(args, &cli.global, ui).await,
        Command::Completions(args) => completions::run(args, ui),
        Command::Man(args) => man::run(args, ui),
        Command::Route(args) => route::run(args, &cli.global, ui).await,
        Command::Cache(args) => cache::run(args, &cli.global, ui).await,
        Command::User(args) => user::run(args, &cli.global, ui).await,
        Command::Rotate(args) => rotate::run(args, &cli.global, ui).await,
    }
}
