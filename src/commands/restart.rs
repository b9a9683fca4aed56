use std::time::Duration;

use anyhow::Result;

use crate::cli::{Global, NodeWord};
use crate::nodes;
use crate::observe;
use crate::project::Project;
use crate::target::{self, Target};
use crate::ui::Ui;

/// Restart nodes one at a time, or the whole cluster
///
/// Without NODE: the replicas one after the other, then the master, then the pool. A replica is taken out of the
/// pool before it restarts and is back in it before the next one is touched: sessions that read from it have some time
/// to end by themselves, and in the PgBouncer modes nobody is cut. A restart of the master or the pool ends all
/// sessions. Edited files need `up` instead.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// master, slave-1, slave-2 …, pool [default: all]
    #[arg(value_name = "NODE", value_parser = NodeWord, hide_possible_values = true)]
    nodes: Vec<String>,
    /// Seconds without any progress after which it gives up
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Seconds that sessions which read from a replica have to end, and others to let go of it
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain_timeout: u64,
    /// Print what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(args: &Args, global: &Global, ui: Ui) -> Result<()> {
    let (project, _lock) = Project::load_existing_for(global, "restart", args.dry_run)?;
    let topology = &project.topology;
    let mut targets = target::resolve(topology, &args.nodes, false)?;
    if targets.is_empty() {
        targets.extend(topology.nodes.iter().map(|node| Target::Node(node.id)));
        targets.push(Target::Pool);
        targets.extend(topology.mode.has_bouncer().then_some(Target::Bouncer));
    }
    let containers = observe::containers(&topology.folder, &topology.project).await?;
    let mut master_runs = true;
    for target in &targets {
        let runs = nodes::runs(&containers, target)?;
        master_runs &= runs || *target != Target::Node(0);
    }
    targets.sort_by_key(|target| rank(target, master_runs));
    nodes::refuse_without_master(&project, &containers, &targets)?;
    if args.dry_run {
        for step in targets.iter().flat_map(|target| nodes::steps(target, "restart")) {
            ui.result(&step);
        }
        return Ok(());
    }
    nodes::refuse_edits(&project, &containers, &targets)?;
    let (limit, drain) = (
        Duration::from_secs(args.timeout),
        nodes::patience(&targets, args.drain_timeout),
    );
    let cut = nodes::start(&project, ui, "restart", &targets, limit, drain).await?;
    nodes::tell_cut(ui, cut);
    Ok(())
}

/// Replicas, then the master, then the pool: while a replica restarts, everything else serves. A master that does
/// not run comes first, as no replica streams without it.
fn rank(target: &Target, master_runs: bool) -> (u8, u32) {
    match target {
        Target::Node(0) if !master_runs => (0, 0),
        Target::Node(0) => (2, 0),
        Target::Node(id) => (1, *id),
        Target::Pool | Target::AnyReplica => (3, 0),
        Target::Bouncer => (4, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_restart_while_the_master_serves() {
        fn check(master_runs: bool, expected: &[&str]) {
            let mut targets = [Target::Pool, Target::Node(0), Target::Node(2), Target::Node(1)];
            targets.sort_by_key(|target| rank(target, master_runs));
            assert_eq!(targets.map(|target| target.title()), expected);
        }
        check(true, &["slave-1", "slave-2", "master", "pool"]);
        check(false, &["master", "slave-1", "slave-2", "pool"]);
    }
}
