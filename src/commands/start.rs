use std::time::Duration;

use anyhow::Result;

use crate::cli::{Global, NodeWord};
use crate::error::{Failure, Kind, Problem};
use crate::nodes;
use crate::observe;
use crate::project::Project;
use crate::target;
use crate::ui::Ui;

/// Start nodes that were stopped
///
/// Waits until the node serves and the pool uses it. A node that runs is left as it is. `pgcluster up` starts all.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// master, slave-1, slave-2 …, pool
    #[arg(value_name = "NODE", value_parser = NodeWord, hide_possible_values = true)]
    nodes: Vec<String>,
    /// Seconds without any progress after which it gives up
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Print what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(args: &Args, global: &Global, ui: Ui) -> Result<()> {
    if args.nodes.is_empty() {
        return Err(Failure::new(
            Kind::Input,
            Problem::new("start which node?")
                .fix("`pgcluster start slave-1` starts one, `pgcluster up` the whole cluster"),
        )
        .into());
    }
    let (project, _lock) = Project::load_existing_for(global, "start", args.dry_run)?;
    let topology = &project.topology;
    let mut targets = target::resolve(topology, &args.nodes, false)?;
    // The master first, the pool last.
    targets.sort();
    let containers = observe::containers(&topology.folder, &topology.project).await?;
    let mut stopped = Vec::new();
    for target in targets {
        match nodes::runs(&containers, &target)? {
            true => ui.note(&format!("{} runs already", target.title())),
            false => stopped.push(target),
        }
    }
    nodes::refuse_without_master(&project, &containers, &stopped)?;
    if args.dry_run {
        for step in stopped.iter().flat_map(|target| nodes::steps(target, "start")) {
            ui.result(&step);
        }
        return Ok(());
    }
    if stopped.is_empty() {
        return Ok(());
    }
    nodes::refuse_edits(&project, &containers, &stopped)?;
    let limit = Duration::from_secs(args.timeout);
    nodes::start(&project, ui, "start", &stopped, limit, Duration::ZERO).await?;
    Ok(())
}
