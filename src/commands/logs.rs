use std::io;

use anyhow::Result;

use crate::cli::{Color, Global, NodeWord};
use crate::error::{Failure, Kind, PassedOn, Problem};
use crate::observe;
use crate::process;
use crate::project::Project;
use crate::target;
use crate::ui::Ui;
use crate::workdir;

/// Show what the servers log
///
/// NODE is master, slave-1, slave-2 …, pool, or the name of its Compose service. Ctrl-C ends it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whose log [default: all]
    #[arg(value_name = "NODE", value_parser = NodeWord, hide_possible_values = true)]
    nodes: Vec<String>,
    /// Go on with what is logged from now on
    #[arg(short, long)]
    follow: bool,
    /// Only what is younger: 10m, 2h, or a time such as 2026-01-02T13:23:37Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only the last N lines of each
    #[arg(short = 'n', long, value_name = "N")]
    tail: Option<u32>,
}

pub async fn run(args: &Args, global: &Global, ui: Ui) -> Result<()> {
    let project = Project::load_existing(global)?;
    let topology = &project.topology;
    let services: Vec<String> = target::resolve(topology, &args.nodes, false)?
        .iter()
        .filter_map(target::Target::service)
        .collect();

    let containers = observe::containers(&topology.folder, &topology.project).await?;
    let logs = |service: &String| containers.contains_key(service);
    if containers.is_empty() || (!services.is_empty() && !services.iter().any(logs)) {
        return Err(Failure::new(
            Kind::NotReady,
            Problem::new("there is no container whose log could be shown")
                .fix("`pgcluster up` starts the cluster"),
        )
        .into());
    }
    let options = options(args, services.len(), global.color);
    let argv = workdir::compose(&topology.folder, &topology.project).logs(&options, &services);
    ui.detail(&argv.pasteable());
    let code = process::interact(&argv, &topology.folder, &[]).await?;
    Ok(PassedOn::unless_success(code)?)
}

fn options(args: &Args, services: usize, color: Color) -> Vec<String> {
    let mut options = Vec::new();
    if args.follow {
        options.push("--follow".to_owned());
    }
    options.extend(args.since.iter().map(|since| format!("--since={since}")));
    options.extend(args.tail.iter().map(|lines| format!("--tail={lines}")));
    if services == 1 {
        // Whose line it is needs no telling.
        options.push("--no-log-prefix".to_owned());
    }
    if matches!(color, Color::Never) || !io::IsTerminal::is_terminal(&io::stdout()) {
        options.push("--no-color".to_owned());
    }
    options
}
