use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cli::{Global, NodeWord};
use crate::commands::up;
use crate::deletion;
use crate::error::{Failure, Kind, Problem};
use crate::nodes;
use crate::observe;
use crate::plan::Step;
use crate::project::Project;
use crate::rebuild;
use crate::target::{self, Target};
use crate::topology;
use crate::turnover::{self, Manner};
use crate::ui::{Board, Ui, seconds};
use crate::workdir::OLD_DATA;

/// Clone a replica again from the master
///
/// For one that cannot catch up, or whose data is in doubt. It leaves the pool as one that is removed does, and is back
/// when the new clone streams. What it had is kept as pgdata.old in its folder unless --remove-volumes is given.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// slave-1, slave-2 …
    #[arg(value_name = "NODE", value_parser = NodeWord, hide_possible_values = true, required = true)]
    nodes: Vec<String>,
    #[command(flatten)]
    manner: Manner,
    /// Delete what it has when the new clone streams, and what was kept of it before at once
    #[arg(long)]
    remove_volumes: bool,
    /// Do not ask before deleting
    #[arg(long, requires = "remove_volumes")]
    yes: bool,
    /// Print what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(args: &Args, global: &Global, ui: Ui) -> Result<()> {
    let started = Instant::now();
    let (project, _lock) = Project::load_existing_for(global, "rebuild", args.dry_run)?;
    args.manner.refuse(&project.settings)?;
    let topology = &project.topology;
    let targets = target::resolve(topology, &args.nodes, false)?;
    let ids = replicas(&targets)?;
    let containers = observe::containers(&topology.folder, &topology.project).await?;
    nodes::refuse_without_master(&project, &containers, &targets)?;
    nodes::refuse_edits(&project, &containers, &targets)?;
    let cause = "asked for";
    if args.dry_run {
        for id in ids {
            ui.result(&Step::Rebuild { id }.because(cause).to_string());
        }
        return Ok(());
    }
    for id in ids.iter().filter(|_| !args.remove_volumes) {
        rebuild::refuse_kept(&project, *id).await?;
    }
    if args.remove_volumes && !args.yes {
        let titles: Vec<String> = ids.iter().map(|id| topology::title(*id)).collect();
        ui.note(&format!(
            "This deletes for ever what {} has now, when its new clone streams, and {OLD_DATA} of before at once.",
            titles.join(", ")
        ));
        deletion::ask(&topology.project, ui).await?;
    }

    let observed = observe::servers(&project, containers).await;
    let there = &observed.containers;
    let in_pool: Vec<u32> = ids
        .iter()
        .copied()
        .filter(|id| observed.may_be_in_pool(*id))
        .collect();
    let mut board = Board::new(ui, up::title_width(&project));
    let set_aside = async {
        for id in &ids {
            ui.detail(&Step::Rebuild { id: *id }.because(cause).to_string());
            if args.remove_volumes {
                rebuild::delete_old(&project, *id).await?;
            }
            rebuild::set_aside(&project, there, *id).await?;
        }
        Ok(())
    };
    let limit = Duration::from_secs(args.manner.drain_timeout);
    let cut = turnover::take_out(&project, there, &in_pool, &mut board, limit, set_aside).await;
    board.finish();
    let cut = cut?;
    let done = up::bring_up(&project, ui, &args.manner).await?;
    for id in &ids {
        match args.remove_volumes {
            true => rebuild::delete_old(&project, *id).await?,
            false => ui.note(&format!("kept: {}, what it had", rebuild::kept(&project, *id))),
        }
    }
    ui.note(&format!("\nready in {}", seconds(started.elapsed())));
    ui.note(&format!("proved: {}", done.proof));
    if cut > 0 {
        ui.note(&format!("{cut} sessions were cut"));
    }
    Ok(())
}

/// Only replicas can be cloned.
fn replicas(targets: &[Target]) -> Result<Vec<u32>, Failure> {
    let (mut ids, mut problems) = (Vec::new(), Vec::new());
    for target in targets {
        match target {
            Target::Node(id) if *id != 0 => ids.push(*id),
            other => problems.push(
                Problem::new(format!("{}: only a replica can be cloned again", other.title()))
                    .fix("name one: slave-1, slave-2 …"),
            ),
        }
    }
    Failure::unless_empty(Kind::Input, problems)?;
    Ok(ids)
}
