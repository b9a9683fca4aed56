//! What restarts or recreates servers that serve: one at a time, so that the others take its place meanwhile.

use std::collections::BTreeMap;

use super::fixed;
use crate::health;
use crate::observed::{Container, Fixed, NodeFacts, Observed};
use crate::plan::{Planned, Step};
use crate::render::Rendering;
use crate::topology::{BOUNCER_SERVICE, Node, POOL_SERVICE, Topology};

/// The container of `service` serves with a definition that is not the wanted one: it goes on until its turn comes.
///
/// One that does not serve has nothing to lose and is recreated at once.
pub fn waits(topology: &Topology, rendering: &Rendering, observed: &Observed, service: &str) -> bool {
    let serves = || match topology.nodes.iter().find(|node| node.service() == service) {
        Some(node) => health::node_state(topology, observed, node).is_serving(),
        None => health::pool_state(topology, observed).is_serving(),
    };
    // The published port goes from one to the other, which is not done one at a time.
    let changes_mode = observed.containers.contains_key(BOUNCER_SERVICE) != topology.mode.has_bouncer();
    if changes_mode && [POOL_SERVICE, BOUNCER_SERVICE].contains(&service) {
        return false;
    }
    let outdated = |container: &Container| {
        container.is_running() && Some(&container.spec) != rendering.specs.get(service)
    };
    observed.containers.get(service).is_some_and(outdated) && serves()
}

/// The files that servers have not read yet, and the next restart or replacement.
///
/// One at a time, and only while every node and the pool serve: a value, an image or a definition with which a server cannot
/// start stops one of them. And when every server has read its files, as only then the order is known.
pub fn next(topology: &Topology, rendering: &Rendering, observed: &Observed) -> Vec<Planned> {
    if let Some(planned) = learning_tls(topology, rendering, observed) {
        return vec![planned];
    }
    let mut steps = reloads(topology, rendering, observed);
    let serves = |node: &Node| health::node_state(topology, observed, node).is_serving();
    // The pool too: it must have taken back the replica that was restarted before.
    let steady = steps.is_empty()
        && topology.nodes.iter().all(serves)
        && health::pool_state(topology, observed).is_serving();
    let mut waiting = nodes(topology, rendering, observed, &BTreeMap::new()).into_iter();
    match waiting.next() {
        Some((node, planned)) if steady => steps.extend(aside(observed, node, planned)),
        // Not before the servers: it may open more connections than they had room for.
        None if steady => steps.extend(pool(topology, rendering, observed).next()),
        _ => {}
    }
    steps
}

/// Everything that will be reloaded, restarted or replaced, in order, as far as it can be known now. `fixed` holds
/// what the servers say of settings that need a restart; those that have read their files may be left out.
pub fn ahead(
    topology: &Topology,
    rendering: &Rendering,
    observed: &Observed,
    fixed: &BTreeMap<u32, Vec<Fixed>>,
) -> Vec<Planned> {
    let first = learning_tls(topology, rendering, observed);
    let last = pool(topology, rendering, observed).filter(|planned| Some(planned) != first.as_ref());
    let mut steps: Vec<Planned> = first.iter().cloned().collect();
    steps.extend(reloads(topology, rendering, observed));
    for (node, planned) in nodes(topology, rendering, observed, fixed) {
        steps.extend(aside(observed, node, planned));
    }
    steps.extend(last);
    steps
}

/// A server that has its certificate refuses who speaks in the clear; Pgpool-II speaks TLS with those that do. So where
/// servers are about to get theirs, the pool is replaced first.
fn learning_tls(topology: &Topology, rendering: &Rendering, observed: &Observed) -> Option<Planned> {
    let learns = |node: &Node| {
        let facts = observed.facts(node.id);
        rendering.certificates.contains_key(&node.id)
            && facts.is_some_and(|facts| facts.certificate.is_none())
    };
    let mut waiting = pool(topology, rendering, observed);
    waiting.find(|planned| {
        let is_pool = matches!(&planned.step, Step::Replace { service } if service == POOL_SERVICE);
        is_pool && topology.nodes.iter().any(learns)
    })
}

/// The server reads its files again: enough for most settings, and tells which need a restart.
fn reloads(topology: &Topology, rendering: &Rendering, observed: &Observed) -> Vec<Planned> {
    let mut nodes: Vec<&Node> = topology.replicas().iter().collect();
    nodes.push(topology.master());
    nodes
        .into_iter()
        .filter(|node| !is_current(rendering, observed, node))
        .map(|node| Step::Reload { id: node.id }.because("its configuration files changed"))
        .collect()
}

/// The server runs with the files of now, or does not run.
pub fn is_current(rendering: &Rendering, observed: &Observed, node: &Node) -> bool {
    let facts = observed.facts(node.id);
    facts.is_none_or(|facts| {
        facts.config_hash.as_ref() == rendering.config_hashes.get(&node.id)
            && facts.certificate.as_ref() == rendering.certificates.get(&node.id)
    })
}

/// The servers that wait for a restart or a new container, in the order in which they get it.
///
/// Replicas before the master, since hot-standby parameters must never be lower on a replica; where one is lowered,
/// the master before its replicas.
fn nodes<'a>(
    topology: &'a Topology,
    rendering: &Rendering,
    observed: &Observed,
    fixed: &BTreeMap<u32, Vec<Fixed>>,
) -> Vec<(&'a Node, Planned)> {
    let changes = |node: &Node| match (rendering.configured.get(&node.id), fixed.get(&node.id)) {
        (Some(configured), Some(fixed)) => fixed::changes(configured, fixed),
        _ => Vec::new(),
    };
    let master = topology.master();
    let lowers = |facts: &NodeFacts| {
        facts.lowers_hot_standby || changes(master).iter().any(|change| change.lowers_hot_standby)
    };
    let mut order: Vec<&Node> = topology.replicas().iter().collect();
    match observed.facts(master.id) {
        Some(facts) if lowers(facts) => order.insert(0, master),
        _ => order.push(master),
    }
    let planned = |node: &'a Node| {
        let service = node.service();
        if waits(topology, rendering, observed, &service) {
            let cause = cause(rendering, observed, &service);
            return Some((node, Step::Replace { service }.because(cause)));
        }
        let mut names = observed.facts(node.id)?.pending_restart.clone();
        names.extend(changes(node).into_iter().map(|change| change.name));
        names.sort();
        names.dedup();
        let cause = format!("a restart brings {} into effect", names.join(", "));
        (!names.is_empty()).then(|| (node, Step::Restart { id: node.id }.because(cause)))
    };
    order.into_iter().filter_map(planned).collect()
}

/// A replica leaves the pool before it stops: one that the pool finds gone cuts the clients of all nodes.
fn aside(observed: &Observed, node: &Node, planned: Planned) -> Vec<Planned> {
    let in_pool = observed.backend(node.id).is_some_and(|backend| backend.is_up());
    let detach = Step::Detach { id: node.id }.because("its server stops for a moment");
    let detach = (!node.is_master() && in_pool).then_some(detach);
    detach.into_iter().chain([planned]).collect()
}

/// PgBouncer without TLS speaks with a pool that has it, and not the other way round: so it is the last to learn TLS, and the
/// first to forget it.
fn pool(topology: &Topology, rendering: &Rendering, observed: &Observed) -> impl Iterator<Item = Planned> {
    let order = match rendering.certificates.is_empty() {
        true => [BOUNCER_SERVICE, POOL_SERVICE],
        false => [POOL_SERVICE, BOUNCER_SERVICE],
    };
    order
        .into_iter()
        .filter(|service| waits(topology, rendering, observed, service))
        .map(|service| {
            Step::Replace {
                service: service.to_owned(),
            }
            .because(cause(rendering, observed, service))
        })
}

fn cause(rendering: &Rendering, observed: &Observed, service: &str) -> &'static str {
    let image = observed.containers.get(service).map(|container| &container.image);
    match image {
        Some(image) if !image.is_empty() && !rendering.images.contains(image) => "its image changed",
        _ => "its definition changed",
    }
}
