use std::path::PathBuf;

use anyhow::Result;
use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::cli::Cli;
use crate::error::{Failure, Kind, Problem};
use crate::render::Rendered;
use crate::ui::Ui;
use crate::workdir;

/// Print a manual page, or write all of them into a folder
///
/// `pgcluster man up | man -l -` shows the page of `up`. With --out DIR the pages of pgcluster and of each command
/// are written there: pgcluster.1, pgcluster-up.1, …
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The command whose page is printed [default: pgcluster itself]
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    command: Option<String>,
    /// Write the pages of all commands into DIR, which is made if it is missing
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub fn run(args: &Args, ui: Ui) -> Result<()> {
    let pages = pages()?;
    if let Some(folder) = &args.out {
        let folder = std::path::absolute(folder)?;
        for page in &pages {
            workdir::write(&folder, page)?;
        }
        ui.note(&format!(
            "{} pages written into {}",
            pages.len(),
            folder.display()
        ));
        return Ok(());
    }
    let name = match &args.command {
        Some(command) => format!("pgcluster-{command}.1"),
        None => "pgcluster.1".to_owned(),
    };
    let Some(page) = pages.iter().find(|page| page.path == name) else {
        return Err(Failure::new(
            Kind::Input,
            Problem::new(format!("there is no page {name}")).fix("`pgcluster --help` lists the commands"),
        )
        .into());
    };
    ui.result(String::from_utf8_lossy(&page.content).trim_end());
    Ok(())
}

/// The page of pgcluster and that of each of its commands, as files.
fn pages() -> Result<Vec<Rendered>> {
    let mut root = Cli::command();
    root.build();
    std::iter::once(&root)
        .chain(
            root.get_subcommands()
                .filter(|command| command.get_name() != "help"),
        )
        .map(page)
        .collect()
}

fn page(command: &Command) -> Result<Rendered> {
    let name = command
        .get_display_name()
        .unwrap_or(command.get_name())
        .to_owned();
    let mut content = Vec::new();
    Man::new(command.clone())
        .source(concat!("pgcluster ", env!("CARGO_PKG_VERSION")))
        .manual("pgcluster")
        .render(&mut content)?;
    Ok(Rendered {
        path: format!("{name}.1"),
        content: content.into(),
        private: false,
    })
}
