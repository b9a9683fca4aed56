//! Waiting until the cluster is as wanted: observe, decide, correct, until nothing is left or nothing moves.

mod progress;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::docker;
use crate::error::{Failure, Kind, Problem};
use crate::execute;
use crate::health::{self, Part, State};
use crate::logins;
use crate::observe::{self, DOCKER_LIMIT, Watch};
use crate::observed::{self, Container, Observed};
use crate::plan::Step;
use crate::process;
use crate::project::{FileCause, Project};
use crate::reconcile;
use crate::render;
use crate::topology::{self, BOUNCER_SERVICE};
use crate::ui::{Board, Mark, Ui};

pub use progress::Progress;

/// A step that did not help at once is not repeated before this has passed: Pgpool's control process restarts for
/// about a second after each change.
pub const STEP_PAUSE: Duration = Duration::from_secs(2);

/// Where every node serves, what is left to correct takes effect in seconds or never.
const CORRECTION_LIMIT: Duration = Duration::from_secs(15);

/// Log lines shown for a node that did not become ready.
const LOG_LINES: usize = 12;

/// Waits while `starting` runs and after, correcting what can be corrected, until everything serves.
/// `starting` tells whether it changed any container.
///
/// `limit` is the longest time without any progress, not the whole time.
///
/// # Errors
/// [`Kind::NotReady`] with every node that does not serve, the reason and the end of its log.
pub async fn settle(
    project: &Project,
    ui: Ui,
    board: &mut Board,
    first: Observed,
    limit: Duration,
    starting: impl Future<Output = Result<bool>>,
) -> Result<Observed> {
    let someone_joins = project
        .topology
        .replicas()
        .iter()
        .any(|node| !observed::runs(&first.containers, &node.service()));
    let runs_before = observed::runs(&first.containers, BOUNCER_SERVICE);
    // Their ports were free, or theirs.
    let watch = Watch::start(project, first, |_, _| true);
    tokio::pin!(starting);
    let (mut started, mut changed) = (false, false);
    let mut progress = Progress::new();
    let mut attempts: Vec<(Step, Instant)> = Vec::new();
    let mut logins_checked = false;
    let mut ran: BTreeSet<String> = BTreeSet::new();
    // Pgpool-II remembers a node that it had before, with its old weight, and the watcher would attach it.
    let mut reload_pool = project
        .changes
        .iter()
        .any(|change| change.file.path == render::POOL_BACKENDS && change.cause == FileCause::Changed);
    loop {
        let observed = tokio::select! {
            result = &mut starting, if !started => {
                started = true;
                changed = result?;
                progress.is_made();
                if changed {
                    let topology = &project.topology;
                    let containers = observe::containers(&topology.folder, &topology.project).await?;
                    // Compose has started them all, and one may have ended before anybody looked.
                    ran.extend(containers.keys().cloned());
                    watch.forget(containers);
                    continue;
                }
                watch.now()
            }
            observed = watch.next() => observed,
        };
        let states = health::parts(&project.topology, &observed);
        progress.note(&states);
        show(board, &states, started, &progress);
        let running = observed
            .containers
            .iter()
            .filter(|(_, container)| container.is_running());
        ran.extend(running.map(|(service, _)| service.clone()));
        if !started {
            if progress.stalled_for() > limit {
                return Err(compose_hangs(limit).into());
            }
            continue;
        }
        if changed && !logins_checked && observed.facts(0).is_some() {
            // What does not fit would only show as a replica or a pool that never comes.
            logins::check(project).await?;
            logins_checked = true;
        }
        if reload_pool && observed.pool.got().is_some() {
            let step = Step::ReloadPool.because("its list of nodes changed");
            ui.detail(&step.to_string());
            execute::correct(project, &observed.containers, &step.step).await?;
            reload_pool = false;
            continue;
        }
        if reconcile::is_settled(&project.topology, &project.rendering, &observed) {
            if someone_joins && runs_before && project.topology.mode.has_bouncer() {
                // The connections that it has lead to the nodes of before.
                let step = Step::Reconnect.because("a replica has joined");
                ui.detail(&step.to_string());
                execute::correct(project, &observed.containers, &step.step).await?;
            }
            return Ok(observed);
        }
        let all_serve = states.iter().all(|part| part.state.is_serving());
        let limit = if all_serve {
            limit.min(CORRECTION_LIMIT)
        } else {
            limit
        };
        let hopeless = states.iter().any(|part| part.state.is_final())
            || reconcile::has_config_errors(&project.topology, &observed);
        if hopeless || progress.stalled_for() > limit {
            return Err(not_ready(project, &observed, &states, progress.stalled_for())
                .await
                .into());
        }
        attempts.retain(|(_, at)| at.elapsed() < STEP_PAUSE);
        let (topology, rendering) = (&project.topology, &project.rendering);
        let mut steps = reconcile::ended(topology, rendering, &observed, &ran);
        steps.extend(reconcile::corrections(topology, rendering, &observed));
        for planned in steps {
            if attempts.iter().any(|(step, _)| *step == planned.step) {
                continue;
            }
            ui.detail(&planned.to_string());
            let result = execute::correct(project, &observed.containers, &planned.step).await;
            let interrupted = interrupted(&planned.step);
            // One that ends again and again comes no further, however often it is started.
            let counts = !matches!(planned.step, Step::Start { .. });
            if counts && result.is_ok() {
                progress.corrected(&planned.step);
            }
            attempts.push((planned.step, Instant::now()));
            if let Err(error) = result {
                if matches!(
                    attempts.last(),
                    Some((Step::Replace { .. } | Step::Rebuild { .. }, _))
                ) {
                    return Err(error);
                }
                ui.detail(&format!("{error:#}"));
            }
            if let Some(service) = interrupted {
                // What comes next is decided by what is seen of the new server.
                if counts {
                    progress.begin_again(&states, &service);
                }
                let containers = observe::containers(&topology.folder, &topology.project).await?;
                watch.forget_one(&service, containers);
                break;
            }
        }
    }
}

/// The service whose server is another, or does otherwise, after a step.
fn interrupted(step: &Step) -> Option<String> {
    match step {
        Step::Replace { service } | Step::Start { service } => Some(service.clone()),
        Step::Restart { id } | Step::Rebuild { id } => Some(topology::service(*id)),
        // What the master said before would pass for what it does now.
        Step::SetSynchronous { .. } => Some(topology::service(0)),
        _ => None,
    }
}

/// Shows these states, and nothing of others.
pub fn show(board: &mut Board, states: &[Part], started: bool, progress: &Progress) {
    for Part { title, state, .. } in states {
        if started && state.is_unknown() {
            continue;
        }
        let mark = match state {
            _ if state.is_serving() => Mark::Done,
            State::Absent | State::Stopped(_) if !started => Mark::Waiting,
            _ => Mark::Working,
        };
        let text = match state {
            State::Absent | State::Stopped(_) if !started => "creating".to_owned(),
            State::Cloning(done, Some(total)) => match progress.left(title, *done, *total) {
                Some(left) => format!("{state} · {} s left", left.as_secs()),
                None => state.to_string(),
            },
            state => state.to_string(),
        };
        board.show(title, mark, state.progress().0, &text);
    }
}

fn compose_hangs(limit: Duration) -> Failure {
    let what = format!("`docker compose up` made no progress for {} s", limit.as_secs());
    Failure::new(
        Kind::Machine,
        Problem::new(what)
            .fix("see whether the Docker engine hangs (docker info), then run `pgcluster up` again"),
    )
}

/// The failure of waiting for these states: every one that does not serve, with its reason and the end of its log.
pub async fn not_ready(
    project: &Project,
    observed: &Observed,
    states: &[Part],
    stalled: Duration,
) -> Failure {
    let mut problems = Vec::new();
    for Part {
        title,
        service,
        state,
    } in states.iter().filter(|part| !part.state.is_serving())
    {
        let log = match observed.containers.get(service) {
            Some(container) => last_log_lines(project, container).await,
            None => Vec::new(),
        };
        let waited = match state.is_final() {
            true => String::new(),
            false => format!(" (no progress for {} s)", stalled.as_secs()),
        };
        problems.push(
            Problem::new(format!("{title}: {state}{waited}"))
                .evidence(log)
                .fix(health::remedy(state, service)),
        );
    }
    for node in &project.topology.nodes {
        let errors = observed.facts(node.id).map(|facts| facts.config_errors.clone());
        if let Some(errors) = errors.filter(|errors| !errors.is_empty()) {
            problems.push(
                Problem::new(format!(
                    "{}: its configuration has an error; it goes on with the values it had",
                    node.title()
                ))
                .evidence(
                    errors
                        .iter()
                        .map(|error| format!("{}/{error}", node.title()))
                        .collect(),
                )
                .fix("correct the file, then run `pgcluster up` again"),
            );
        }
    }
    let ahead = reconcile::forecast(&project.topology, &project.rendering, observed, &BTreeMap::new());
    let waiting: Vec<String> = ahead
        .iter()
        .filter_map(|planned| interrupted(&planned.step))
        .collect();
    if !problems.is_empty() && !waiting.is_empty() {
        problems.push(
            Problem::new(format!(
                "{}: left as they were, since not every node serves",
                waiting.join(", ")
            ))
            .fix("once that is cured, `pgcluster up` goes on with them"),
        );
    }
    if problems.is_empty() {
        problems = reconcile::corrections(&project.topology, &project.rendering, observed)
            .iter()
            .map(|planned| {
                Problem::new(format!("could not {planned}")).fix("run `pgcluster up -v` to see why")
            })
            .collect();
    }
    Failure {
        kind: Kind::NotReady,
        problems,
    }
}

async fn last_log_lines(project: &Project, container: &Container) -> Vec<String> {
    let argv = docker::logs(&container.id, LOG_LINES);
    match process::capture(&argv, &project.topology.folder, DOCKER_LIMIT).await {
        Ok(output) => format!("{}{}", output.stdout, output.stderr)
            .lines()
            .map(str::to_owned)
            .collect(),
        Err(error) => vec![format!("{error:#}")],
    }
}
