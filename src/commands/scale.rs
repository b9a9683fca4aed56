use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use crate::cli::{Global, NodeWord};
use crate::commands::up;
use crate::deletion::Doomed;
use crate::error::{Failure, Kind, Problem};
use crate::project::{Project, Wish};
use crate::target::{self, Target};
use crate::topology;
use crate::turnover::Manner;
use crate::ui::{Ui, seconds};
use crate::workdir;

/// Change the number of replicas while the cluster serves
///
/// New replicas clone at the same time and get reads when they have caught up. Of those that there are, the highest
/// numbers go first: they get no new sessions, then --drain-timeout passes or their last session ends, then they leave
/// the pool and stop. Their data stays unless --remove-volumes is given. Neither the master nor the pool restarts.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Number of replicas, 0 to 100
    #[arg(value_name = "N", required_unless_present = "remove")]
    replicas: Option<u32>,
    /// Remove this replica rather than the one with the highest number; can be given more than once
    #[arg(long, value_name = "NODE", value_parser = NodeWord)]
    remove: Vec<String>,
    #[command(flatten)]
    manner: Manner,
    /// Delete the data of the replicas that are removed as well
    #[arg(long)]
    remove_volumes: bool,
    /// Do not ask before deleting
    #[arg(long, requires = "remove_volumes")]
    yes: bool,
    /// Print what would be done, and why, and change nothing
    #[arg(long, conflicts_with = "json")]
    dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// The result; with --json its fields are what scripts rely on.
#[derive(Serialize)]
struct Report {
    replicas: Vec<String>,
    added: Vec<String>,
    removed: Vec<String>,
    /// Sessions that were ended because they still read from a removed replica, or could not let go of it.
    sessions_cut: usize,
    /// The pool was made anew, for what else had changed: that ended all sessions, which are not in that number.
    pool_restarted: bool,
    seconds: f64,
}

pub async fn run(args: &Args, global: &Global, ui: Ui) -> Result<()> {
    let started = Instant::now();
    let folder = workdir::locate(&global.folder)?;
    workdir::refuse_without_cluster(&folder)?;
    let env_file = global.env_file.as_deref();
    let before = workdir::existing_replicas(&folder)?.unwrap_or_default();
    let wish = Wish {
        replicas: args.replicas,
        removed: removed(&args.remove, &before)?,
        keys: Vec::new(),
    };
    if args.dry_run {
        let project = Project::load(&folder, env_file, &wish)?;
        args.manner.refuse(&project.settings)?;
        return up::dry_run(&project, ui).await;
    }
    let (project, _lock) = Project::load_locked(&folder, env_file, &wish, "scale")?;
    args.manner.refuse(&project.settings)?;
    let after: BTreeSet<u32> = project.topology.replicas().iter().map(|node| node.id).collect();
    let gone = |id: u32| before.contains(&id) && !after.contains(&id);
    let name = &project.topology.project;
    let doomed = match args.remove_volumes {
        true => Doomed::of(&folder, name, gone).await?,
        false => Doomed::none(),
    };
    doomed.confirm(&folder, name, args.yes, ui).await?;

    let done = up::bring_up(&project, ui, &args.manner).await?;
    doomed.delete(&folder, name).await?;

    let titles = |ids: &mut dyn Iterator<Item = u32>| ids.map(topology::title).collect::<Vec<_>>();
    let report = Report {
        replicas: titles(&mut after.iter().copied()),
        added: titles(&mut after.difference(&before).copied()),
        removed: titles(&mut before.difference(&after).copied()),
        sessions_cut: done.cut,
        pool_restarted: done.pool_restarted,
        seconds: started.elapsed().as_secs_f64(),
    };
    if args.json {
        ui.result(&serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    ui.note(&format!("\nready in {}", seconds(started.elapsed())));
    ui.note(&format!("proved: {}", done.proof));
    ui.note(&told(&report));
    if args.remove_volumes {
        ui.note(&doomed.deleted());
    }
    ui.note("");
    up::show_endpoints(&project, ui);
    super::generate::notes(&project, ui).await
}

/// "added: slave-2, slave-3; no session was cut".
fn told(report: &Report) -> String {
    let list = |word: &str, titles: &[String]| match titles.is_empty() {
        true => String::new(),
        false => format!("{word}: {}; ", titles.join(", ")),
    };
    let cut = match report.sessions_cut {
        _ if report.pool_restarted => {
            "the pool was made anew, for what else had changed, and that ended all sessions".to_owned()
        }
        0 => "no session was cut".to_owned(),
        1 => "1 session was cut".to_owned(),
        count => format!("{count} sessions were cut"),
    };
    format!(
        "{}{}{cut}",
        list("added", &report.added),
        list("removed", &report.removed)
    )
}

/// The numbers behind `words`, which must name replicas that there are.
fn removed(words: &[String], there: &BTreeSet<u32>) -> Result<BTreeSet<u32>, Failure> {
    let (mut ids, mut problems) = (BTreeSet::new(), Vec::new());
    for word in words {
        match target::parse(word) {
            Some(Target::Node(id)) if there.contains(&id) => {
                ids.insert(id);
            }
            _ => {
                let titles: Vec<String> = there.iter().map(|id| topology::title(*id)).collect();
                problems.push(
                    Problem::new(format!("--remove {word}: there is no such replica")).fix(
                        match titles.is_empty() {
                            true => "there are none".to_owned(),
                            false => format!("name one of {}", titles.join(", ")),
                        },
                    ),
                );
            }
        }
    }
    Failure::unless_empty(Kind::Input, problems)?;
    Ok(ids)
}
