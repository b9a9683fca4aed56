use anyhow::Result;

use crate::cli::{Global, NodeWord};
use crate::error::{Failure, Kind, Problem};
use crate::nodes;
use crate::observe;
use crate::project::Project;
use crate::settings::ReadConsistency;
use crate::target::{self, Target};
use crate::ui::Ui;

/// Stop nodes, and leave the others as they are
///
/// A replica is taken out of the pool first: it gets no new sessions, and those that read from it have some time to end
/// by themselves; in the PgBouncer modes nobody is cut. It stays stopped until `pgcluster start NODE` or `pgcluster up`.
/// What ends writes or cuts clients is done only when confirmed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// master, slave-1, slave-2 …, pool
    #[arg(value_name = "NODE", value_parser = NodeWord, hide_possible_values = true)]
    nodes: Vec<String>,
    /// Seconds that sessions which read from a replica have to end, and others to let go of it
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain_timeout: u64,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(args: &Args, global: &Global, ui: Ui) -> Result<()> {
    if args.nodes.is_empty() {
        return Err(Failure::new(
            Kind::Input,
            Problem::new("stop which node?")
                .fix("`pgcluster stop slave-1` stops one, `pgcluster down` the whole cluster"),
        )
        .into());
    }
    let (project, _lock) = Project::load_existing_for(global, "stop", args.dry_run)?;
    let topology = &project.topology;
    let mut targets = target::resolve(topology, &args.nodes, false)?;
    // The pool first, the master last.
    targets.sort();
    targets.reverse();
    let containers = observe::containers(&topology.folder, &topology.project).await?;
    let mut running = Vec::new();
    for target in targets {
        match nodes::container_of(&containers, &target)?.has_stopped() {
            // One that is paused, or starts over and over, goes on otherwise.
            false => running.push(target),
            true => ui.note(&format!("{} is stopped already", target.title())),
        }
    }
    if args.dry_run {
        for step in running.iter().flat_map(|target| nodes::steps(target, "stop")) {
            ui.result(&step);
        }
        return Ok(());
    }
    confirm(args, &running, project.settings.consistency, ui).await?;
    let drain = nodes::patience(&running, args.drain_timeout);
    let mut cut = 0;
    for target in &running {
        cut += nodes::stop(&project, ui, target, drain).await?;
        let title = target.title();
        ui.note(&format!(
            "{title} stopped; `pgcluster start {title}` or `pgcluster up` starts it again"
        ));
        if matches!(target, Target::Node(id) if *id != 0) {
            ui.note("until then the master keeps the WAL it misses, up to max_slot_wal_keep_size");
        }
    }
    nodes::tell_cut(ui, cut);
    Ok(())
}

/// What clients lose when `target` stops; nothing where others serve in its place.
fn loss(target: &Target, consistency: ReadConsistency) -> Option<String> {
    match target {
        Target::Node(0) => Some("without the master nothing can be written".to_owned()),
        Target::Node(id) if consistency == ReadConsistency::Strict => Some(format!(
            "READ_CONSISTENCY=strict: commits wait for slave-{id} until it is back"
        )),
        Target::Pool | Target::Bouncer => Some("without the pool its clients are cut".to_owned()),
        Target::Node(_) | Target::AnyReplica => None,
    }
}

async fn confirm(args: &Args, targets: &[Target], consistency: ReadConsistency, ui: Ui) -> Result<()> {
    let losses: Vec<String> = targets
        .iter()
        .filter_map(|target| loss(target, consistency))
        .collect();
    if losses.is_empty() || args.yes {
        return Ok(());
    }
    for loss in &losses {
        ui.note(loss);
    }
    // In a thread of its own, so that Ctrl-C ends the waiting for an answer.
    let answer = tokio::task::spawn_blocking(move || ui.ask("Type yes to go on:")).await?;
    let problem = match answer {
        Some(answer) if answer == "yes" => return Ok(()),
        Some(_) => Problem::new("nothing was stopped").fix("type yes, or pass --yes"),
        None => Problem::new(format!(
            "{}, and there is no terminal to confirm it on",
            losses.join("; ")
        ))
        .fix("pass --yes if you are sure"),
    };
    Err(Failure::new(Kind::Input, problem).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_replica_that_nobody_waits_for_stops_without_a_word() {
        fn check(target: Target, consistency: ReadConsistency, expected: bool) {
            assert_eq!(loss(&target, consistency).is_some(), expected, "{target:?}");
        }
        check(Target::Node(1), ReadConsistency::Eventual, false);
        check(Target::Node(1), ReadConsistency::Session, false);
        check(Target::Node(1), ReadConsistency::Strict, true);
        check(Target::Node(0), ReadConsistency::Eventual, true);
        check(Target::Pool, ReadConsistency::Eventual, true);
    }
}
