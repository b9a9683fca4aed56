//! Stopping, starting and restarting single servers: the pool lets a replica go before it stops, and has it again
//! before the next one is touched.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::error::{Failure, Kind, Problem};
use crate::execute;
use crate::health;
use crate::observe::{self, Watch};
use crate::observed::{self, Container, Containers, Observed};
use crate::plan::Step;
use crate::project::Project;
use crate::reconcile;
use crate::settle::{self, Progress, STEP_PAUSE};
use crate::target::Target;
use crate::topology::{self, BOUNCER_SERVICE, Node, POOL_SERVICE};
use crate::turnover;
use crate::ui::{Board, Mark, Ui};

/// The container of `target`.
///
/// # Errors
/// [`Kind::NotReady`]: it has none.
pub fn container_of<'a>(containers: &'a Containers, target: &Target) -> Result<&'a Container, Failure> {
    let container = target.service().and_then(|service| containers.get(&service));
    container.ok_or_else(|| {
        Failure::new(
            Kind::NotReady,
            Problem::new(format!("{} has no container", target.title())).fix("`pgcluster up` makes one"),
        )
    })
}

/// Whether that runs.
///
/// # Errors
/// As [`container_of`].
pub fn runs(containers: &Containers, target: &Target) -> Result<bool, Failure> {
    Ok(container_of(containers, target)?.is_running())
}

/// A container is started as it was made: what was edited since then would not be in effect.
///
/// # Errors
/// [`Kind::Input`] where files would be written, or a container of `targets` made anew, by `up`.
pub fn refuse_edits(project: &Project, containers: &Containers, targets: &[Target]) -> Result<(), Failure> {
    let specs = &project.rendering.specs;
    let outdated = targets.iter().filter_map(Target::service).any(|service| {
        let container = containers.get(&service);
        container.is_some_and(|container| Some(&container.spec) != specs.get(&service))
    });
    if !outdated && project.changes.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Kind::Input,
        Problem::new("settings or files were edited and are not in effect yet").fix(
            "run `pgcluster up`, which brings them into effect and restarts what needs it; `pgcluster up --dry-run` \
             shows what that is",
        ),
    ))
}

/// A replica that follows nobody does not come, however long one waits.
///
/// # Errors
/// [`Kind::NotReady`] where the master does not run and is not among `targets`.
pub fn refuse_without_master(
    project: &Project,
    containers: &Containers,
    targets: &[Target],
) -> Result<(), Failure> {
    let master = Target::Node(project.topology.master().id);
    let replica = targets.iter().find(|target| matches!(target, Target::Node(_)));
    match replica {
        Some(replica) if !targets.contains(&master) && !runs(containers, &master)? => Err(Failure::new(
            Kind::NotReady,
            Problem::new(format!(
                "{} follows the master, which does not run",
                replica.title()
            ))
            .fix("`pgcluster start master` first, or `pgcluster up` for everything"),
        )),
        _ => Ok(()),
    }
}

/// What is done to `target`, in order; `word` is `stop`, `start` or `restart`.
pub fn steps(target: &Target, word: &str) -> Vec<String> {
    let replica = match target {
        Target::Node(id) if *id != 0 => Some(*id),
        _ => None,
    };
    let leaves = replica.filter(|_| word != "start");
    let drain = leaves.map(|id| Step::Drain { ids: vec![id] });
    let detach = leaves.map(|id| Step::Detach { id });
    let attach = replica.filter(|_| word != "stop").map(|id| Step::Attach { id });
    drain
        .into_iter()
        .chain(detach)
        .map(|step| step.to_string())
        .chain([format!("{word} {}", target.title())])
        .chain(attach.map(|step| step.to_string()))
        .collect()
}

/// How long sessions have to leave a replica: not at all where the master or the pool goes too, which ends them all.
pub fn patience(targets: &[Target], drain_timeout: u64) -> Duration {
    let all_end = targets
        .iter()
        .any(|target| !matches!(target, Target::Node(id) if *id != 0));
    Duration::from_secs(if all_end { 0 } else { drain_timeout })
}

/// Says how many sessions were ended.
pub fn tell_cut(ui: Ui, cut: usize) {
    if cut > 0 {
        ui.note(&format!("{cut} sessions were cut"));
    }
}

/// Stops a server by its fast shutdown; gives back how many sessions still read from it when `drain` was over.
///
/// # Errors
/// The pool or the engine did not do it.
pub async fn stop(project: &Project, ui: Ui, target: &Target, drain: Duration) -> Result<usize> {
    let observed = look(project).await?;
    let mut board = Board::new(ui, width(project));
    let cut = leave(project, ui, &mut board, &observed, "stop", target, drain).await;
    board.finish();
    cut
}

/// Starts (`word` is `start`) or restarts servers, one after the other: each serves, and the pool uses it, before the
/// next is touched. Gives back how many sessions still read from one of them when its `drain` was over.
///
/// `limit` is the longest time without any progress.
///
/// # Errors
/// As [`stop`]; [`Kind::NotReady`] with the reason and the end of the log of what does not come.
pub async fn start(
    project: &Project,
    ui: Ui,
    word: &str,
    targets: &[Target],
    limit: Duration,
    drain: Duration,
) -> Result<usize> {
    let mut cut = 0;
    for target in targets {
        let observed = look(project).await?;
        let mut board = Board::new(ui, width(project));
        let result = async {
            cut += match word {
                "restart" => leave(project, ui, &mut board, &observed, word, target, drain).await?,
                _ => {
                    board.show(&target.title(), Mark::Working, 0, &format!("{word}ing"));
                    container(project, ui, &observed.containers, word, target).await?;
                    0
                }
            };
            wait(project, ui, &mut board, target, limit).await?;
            share(project, ui, target).await
        };
        let result = result.await;
        board.finish();
        result?;
    }
    Ok(cut)
}

/// PgBouncer's connections lead to the nodes that were there when they were made.
async fn share(project: &Project, ui: Ui, target: &Target) -> Result<()> {
    if !project.topology.mode.has_bouncer() || !matches!(target, Target::Node(id) if *id != 0) {
        return Ok(());
    }
    let there = observe::containers(&project.topology.folder, &project.topology.project).await?;
    if observed::runs(&there, BOUNCER_SERVICE) {
        ui.detail(&Step::Reconnect.to_string());
        execute::correct(project, &there, &Step::Reconnect).await?;
    }
    Ok(())
}

async fn look(project: &Project) -> Result<Observed> {
    let containers = observe::containers(&project.topology.folder, &project.topology.project).await?;
    Ok(observe::servers_patiently(project, containers).await)
}

fn width(project: &Project) -> usize {
    let nodes = project.topology.nodes.iter();
    nodes.map(|node| node.title().len()).max().unwrap_or(0)
}

/// `word` stops the server, for a while or for good: a replica is let go by the pool first, its sessions in time.
async fn leave(
    project: &Project,
    ui: Ui,
    board: &mut Board,
    observed: &Observed,
    word: &str,
    target: &Target,
    drain: Duration,
) -> Result<usize> {
    let ids: Vec<u32> = match *target {
        Target::Node(id) if id != 0 && observed.may_be_in_pool(id) => vec![id],
        _ => Vec::new(),
    };
    for id in &ids {
        ui.detail(&Step::Drain { ids: vec![*id] }.to_string());
        ui.detail(&Step::Detach { id: *id }.to_string());
    }
    // One that is full tells nobody who is still there.
    let drain = match observed.pool.got() {
        Some(_) => drain,
        None => Duration::ZERO,
    };
    board.show(
        &target.title(),
        Mark::Working,
        0,
        &format!("{word} is on its way"),
    );
    let there = &observed.containers;
    let stops = container(project, ui, there, word, target);
    turnover::take_out(project, there, &ids, board, drain, stops).await
}

async fn container(
    project: &Project,
    ui: Ui,
    containers: &Containers,
    word: &str,
    target: &Target,
) -> Result<()> {
    let Some(service) = target.service() else {
        return Ok(());
    };
    ui.detail(&format!("{word} {service}"));
    execute::on_container(project, containers, word, &service).await
}

/// Waits until `target` serves and, as far as it depends on it, so do the others.
async fn wait(project: &Project, ui: Ui, board: &mut Board, target: &Target, limit: Duration) -> Result<()> {
    let topology = &project.topology;
    let first = observe::once(project).await?;
    let running = |node: &&Node| {
        let container = first.containers.get(&node.service());
        container.is_some_and(|container| container.is_running())
    };
    let scope: Vec<u32> = match target {
        Target::Node(id) if *id != 0 => vec![*id],
        // Without the master no replica streams, and without the pool none is used.
        _ => topology
            .nodes
            .iter()
            .filter(running)
            .map(|node| node.id)
            .collect(),
    };
    let mut shown = vec![target.title()];
    if let Target::Node(_) = target {
        shown.extend(scope.iter().map(|id| topology::title(*id)));
    }
    let there = first.containers.clone();
    let watch = Watch::start(project, first, |service, port| {
        observed::answers(&there, service, port) || target.service().as_deref() == Some(service)
    });
    let mut progress = Progress::new();
    let mut attempts: Vec<(Step, Instant)> = Vec::new();
    loop {
        let observed = watch.next().await;
        let mut states = health::parts(topology, &observed);
        states.retain(|part| shown.contains(&part.title));
        progress.note(&states);
        let back = is_back(
            project,
            &observed,
            &scope,
            matches!(target, Target::Pool | Target::Bouncer),
        );
        if back {
            // The pool may have to do without others, which were stopped on purpose.
            states.retain(|part| part.state.is_serving());
        }
        settle::show(board, &states, true, &progress);
        if back {
            return Ok(());
        }
        if states.iter().any(|part| part.state.is_final()) || progress.stalled_for() > limit {
            let stalled = progress.stalled_for();
            return Err(settle::not_ready(project, &observed, &states, stalled)
                .await
                .into());
        }
        attempts.retain(|(_, at)| at.elapsed() < STEP_PAUSE);
        let corrections = reconcile::corrections(topology, &project.rendering, &observed);
        for planned in corrections.into_iter().filter(|planned| match planned.step {
            Step::Attach { id } => scope.contains(&id),
            _ => false,
        }) {
            if attempts.iter().any(|(step, _)| *step == planned.step) {
                continue;
            }
            ui.detail(&planned.to_string());
            if let Err(error) = execute::correct(project, &observed.containers, &planned.step).await {
                ui.detail(&format!("{error:#}"));
            }
            attempts.push((planned.step, Instant::now()));
        }
    }
}

/// The nodes of `scope` serve, and the pool, if it runs, uses them; it must run where it was started.
fn is_back(project: &Project, observed: &Observed, scope: &[u32], with_pool: bool) -> bool {
    let topology = &project.topology;
    let pool = observed.containers.get(POOL_SERVICE);
    let pool_runs = pool.is_some_and(|container| container.is_running());
    let used = |id: u32| observed.backend(id).is_some_and(|backend| backend.is_up());
    let mut nodes = topology.nodes.iter().filter(|node| scope.contains(&node.id));
    let pool_answers = !with_pool || observed.pool.got().is_some();
    pool_answers
        && nodes.all(|node| {
            let serves = health::node_state(topology, observed, node).is_serving();
            serves && (used(node.id) || !pool_runs)
        })
}
