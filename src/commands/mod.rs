//! One file a command: its `Args`, whose comment is its help text, and one `run`.

pub mod completions;
pub mod down;
pub mod generate;
pub mod man;
pub mod status;
pub mod up;

use anyhow::Result;

use crate::cli::{Cli, Command};
use crate::ui::Ui;

/// Runs the command that was asked for.
pub async fn dispatch(cli: &Cli, ui: Ui) -> Result<()> {
    match &cli.command {
        Command::Generate(args) => generate::run(args, &cli.global, ui),
        Command::Up(args) => up::run(args, &cli.global, ui).await,
        Command::Down(args) => down::run(args, &cli.global, ui).await,
        Command::Status(args) => status::run(args, &cli.global, ui).await,
        Command::Completions(args) => completions::run(args, ui),
        Command::Man(args) => man::run(args, ui),
    }
}
