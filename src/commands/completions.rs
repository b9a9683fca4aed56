use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::ui::Ui;

/// Print a script that makes a shell complete pgcluster's commands, options and node names
///
/// bash:        pgcluster completions bash > ~/.local/share/bash-completion/completions/pgcluster
/// zsh:         pgcluster completions zsh > DIR/_pgcluster, where DIR is in $fpath
/// fish:        pgcluster completions fish > ~/.config/fish/completions/pgcluster.fish
/// PowerShell:  pgcluster completions powershell | Out-String | Invoke-Expression
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub fn run(args: &Args, ui: Ui) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "pgcluster", &mut script);
    ui.result(String::from_utf8(script)?.trim_end());
    Ok(())
}
