//! The decision: what is wanted and what is there → what to do. Pure: no clock, no network, no process.

mod fixed;
mod roll;
mod synchronous;

pub use fixed::changes;

use std::collections::{BTreeMap, BTreeSet};

use crate::health::{self, State};
use crate::observed::{self, Container, Containers, Fixed, Observed};
use crate::plan::{Planned, Step};
use crate::project::{FileCause, FileChange};
use crate::render::Rendering;
use crate::topology::{self, BOUNCER_SERVICE, Node, POOL_SERVICE, Topology};

/// The files to write.
pub fn files(changes: &[FileChange]) -> Vec<Planned> {
    changes
        .iter()
        .map(|change| {
            let cause = match &change.cause {
                FileCause::FirstUse => "first use; it is yours from then on".to_owned(),
                FileCause::MissingKeys(keys) => format!("append {}", keys.join(", ")),
                FileCause::ChangedKeys(keys) => format!("set {}", keys.join(", ")),
                FileCause::New => "new".to_owned(),
                FileCause::Changed => "changed".to_owned(),
            };
            Step::Write {
                path: change.file.path.clone(),
            }
            .because(cause)
        })
        .collect()
}

/// The images to build: those whose content has no image yet.
pub fn images(rendering: &Rendering, missing: &[String]) -> Vec<Planned> {
    let images: Vec<String> = [&rendering.images.node, &rendering.images.pool]
        .into_iter()
        .filter(|image| missing.contains(image))
        .cloned()
        .collect();
    if images.is_empty() {
        return Vec::new();
    }
    vec![Step::Build { images }.because("no image of this content yet")]
}

/// The containers to start, recreate and remove, all at once.
///
/// One that serves is left out: [`corrections`] replace it when its turn comes.
pub fn containers(topology: &Topology, rendering: &Rendering, observed: &Observed) -> Vec<Planned> {
    let mut steps = leaving(rendering, observed);
    for service in observed
        .containers
        .keys()
        .filter(|service| !rendering.specs.contains_key(*service))
    {
        let shorter = synchronous::before_removal(topology, observed, service);
        steps.extend(shorter.filter(|planned| !steps.contains(planned)));
        steps.push(
            Step::Remove {
                service: service.clone(),
            }
            .because(match service.as_str() {
                BOUNCER_SERVICE => "the connection mode has none",
                _ => "not among the wanted nodes; its data directory stays",
            }),
        );
    }
    for service in topology.services() {
        let wanted = rendering.specs.get(&service);
        let cause = match observed.containers.get(&service) {
            None => "no container",
            Some(_) if roll::waits(topology, rendering, observed, &service) => continue,
            Some(container) if Some(&container.spec) != wanted => "its definition changed",
            Some(container) if container.state == "paused" => {
                steps.push(Step::Unpause { service }.because("paused"));
                continue;
            }
            Some(container) if container.state == "restarting" => {
                steps.push(Step::Revive { service }.because("it kept failing"));
                continue;
            }
            Some(container) if container.has_stopped() => "stopped",
            Some(_) => continue,
        };
        steps.push(Step::Start { service }.because(cause));
    }
    steps
}

/// Takes the replicas that are removed out of the pool, so that as few clients as can be notice.
///
/// A session that reads from a node ends when that is detached, and all that are connected to a node end when it stops
/// before it is detached; those that read elsewhere survive both, in this order.
fn leaving(rendering: &Rendering, observed: &Observed) -> Vec<Planned> {
    let gone = observed.containers.keys();
    let gone = gone.filter(|service| !rendering.specs.contains_key(*service));
    let mut ids: Vec<u32> = gone
        .filter_map(|service| topology::replica_of_service(service))
        .filter(|id| observed.may_be_in_pool(*id))
        .collect();
    ids.sort_unstable();
    if ids.is_empty() {
        return Vec::new();
    }
    let removed = match ids.len() {
        1 => "the replica is removed",
        _ => "the replicas are removed",
    };
    let mut steps = vec![Step::Drain { ids: ids.clone() }.because(removed)];
    // While its lines are in force, the watcher attaches a replica again that still streams.
    steps.push(Step::ReloadPool.because("it has fewer nodes"));
    steps.extend(
        ids.iter()
            .map(|id| Step::Detach { id: *id }.because("the replica is removed")),
    );
    steps
}

/// Whether these steps end or make anew what clients are connected to, and their sessions with it.
pub fn restarts_pool(steps: &[Planned], containers: &Containers) -> bool {
    let serves_clients = |service: &str| {
        [POOL_SERVICE, BOUNCER_SERVICE].contains(&service) && observed::runs(containers, service)
    };
    steps.iter().any(|planned| match &planned.step {
        Step::Start { service } | Step::Remove { service } => serves_clients(service),
        _ => false,
    })
}

/// Servers that ended while they were waited for, whoever ended them; `ran` are the services that were seen running.
///
/// The engine starts again what fails, but nothing that was stopped or killed by an order. One that runs with another
/// definition is none of these: it has its turn.
pub fn ended(
    topology: &Topology,
    rendering: &Rendering,
    observed: &Observed,
    ran: &BTreeSet<String>,
) -> Vec<Planned> {
    let steps = containers(topology, rendering, observed).into_iter();
    let has_ended = |service: &String| {
        let container = observed.containers.get(service);
        ran.contains(service) && container.is_none_or(Container::has_stopped)
    };
    steps
        .filter(|planned| matches!(&planned.step, Step::Start { service } if has_ended(service)))
        .collect()
}

/// What can be put right in servers that run: slots, configuration, the pool's view.
///
/// It is asked again after every observation until it has nothing more to do.
pub fn corrections(topology: &Topology, rendering: &Rendering, observed: &Observed) -> Vec<Planned> {
    let mut steps = outrun(topology, observed);
    steps.extend(slots(topology, observed));
    steps.extend(roll::next(topology, rendering, observed));
    steps.extend(synchronous::steps(topology, observed));
    steps.extend(pool(topology, observed));
    steps
}

/// Everything that [`corrections`] will come to, one after the other, as far as it can be known now; `fixed` as in
/// [`roll::ahead`].
pub fn forecast(
    topology: &Topology,
    rendering: &Rendering,
    observed: &Observed,
    fixed: &BTreeMap<u32, Vec<Fixed>>,
) -> Vec<Planned> {
    let mut steps = outrun(topology, observed);
    steps.extend(slots(topology, observed));
    steps.extend(roll::ahead(topology, rendering, observed, fixed));
    steps.extend(pool(topology, observed));
    steps
}

/// The nodes that have other files than the wanted ones: what they say of [`Fixed`] settings is news.
pub fn outdated<'a>(topology: &'a Topology, rendering: &Rendering, observed: &Observed) -> Vec<&'a Node> {
    let nodes = topology.nodes.iter();
    nodes
        .filter(|node| !roll::is_current(rendering, observed, node))
        .collect()
}

/// Replicas that can never catch up: their data is a part of what the master has.
fn outrun(topology: &Topology, observed: &Observed) -> Vec<Planned> {
    let mut steps = Vec::new();
    for replica in topology.replicas() {
        if health::node_state(topology, observed, replica) != State::Outrun {
            continue;
        }
        if observed
            .backend(replica.id)
            .is_some_and(|backend| backend.is_up())
        {
            steps.push(Step::Detach { id: replica.id }.because("it does not stream"));
        }
        let cause = "it was away too long: the WAL it needs is gone from the master";
        steps.push(Step::Rebuild { id: replica.id }.because(cause));
    }
    steps
}

fn slots(topology: &Topology, observed: &Observed) -> Vec<Planned> {
    let Some(master) = observed
        .facts(topology.master().id)
        .filter(|master| !master.in_recovery)
    else {
        return Vec::new();
    };
    let mut steps = Vec::new();
    for replica in topology.replicas() {
        // A replica without data makes its slot when it clones.
        let has_data = observed.facts(replica.id).is_some();
        if has_data && master.slot(&replica.name()).is_none() {
            steps.push(Step::CreateSlot { id: replica.id }.because("the master has no slot for it"));
        }
    }
    for name in health::stray_slots(topology, observed) {
        if master.slot(name).is_some_and(|slot| !slot.active) {
            steps.push(
                Step::DropSlot {
                    name: name.to_owned(),
                }
                .because("its replica is removed"),
            );
        }
    }
    steps
}

fn pool(topology: &Topology, observed: &Observed) -> Vec<Planned> {
    let Some(backends) = observed.pool.got() else {
        return Vec::new();
    };
    let mut steps = Vec::new();
    if topology.nodes.iter().any(|node| !backends.contains_key(&node.id)) {
        steps.push(Step::ReloadPool.because("it does not know every node yet"));
        return steps;
    }
    for node in &topology.nodes {
        let serving = health::node_state(topology, observed, node).is_serving();
        if serving && synchronous::may_read(topology, observed, node) && !backends[&node.id].is_up() {
            steps.push(Step::Attach { id: node.id }.because("the node serves, and the pool leaves it out"));
        }
    }
    for backend in backends.values() {
        // While it has a container, [`containers`] detaches it first.
        let gone = !observed.containers.contains_key(&topology::service(backend.id));
        if backend.is_up() && !topology.has(backend.id) && gone {
            steps.push(Step::Detach { id: backend.id }.because("the replica is removed"));
        }
    }
    steps
}

/// A server keeps running with the values it has when its files have an error, and tells only who asks.
pub fn has_config_errors(topology: &Topology, observed: &Observed) -> bool {
    let mut all = topology.nodes.iter().filter_map(|node| observed.facts(node.id));
    all.any(|facts| !facts.config_errors.is_empty())
}

/// Everything is as wanted: all nodes serve, and nothing is left to do.
pub fn is_settled(topology: &Topology, rendering: &Rendering, observed: &Observed) -> bool {
    let parts = health::parts(topology, observed);
    parts.iter().all(|part| part.state.is_serving())
        && health::stray_slots(topology, observed).next().is_none()
        && !has_config_errors(topology, observed)
        && containers(topology, rendering, observed).is_empty()
        && corrections(topology, rendering, observed).is_empty()
}

#[cfg(test)]
mod tests;
