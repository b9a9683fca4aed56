//! The decision: what is wanted and what is there → what to do. Pure: no clock, no network, no process.

use crate::health::{self, State};
use crate::observed::Observed;
use crate::plan::{Planned, Step};
use crate::project::{FileCause, FileChange};
use crate::render::Rendering;
use crate::topology::{self, Node, POOL_SERVICE, Topology};

/// The files to write.
pub fn files(changes: &[FileChange]) -> Vec<Planned> {
    changes
        .iter()
        .map(|change| {
            let cause = match &change.cause {
                FileCause::FirstUse => "first use; it is yours from then on".to_owned(),
                FileCause::MissingKeys(keys) => format!("append {}", keys.join(", ")),
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

/// The containers to start, recreate and remove.
pub fn containers(topology: &Topology, rendering: &Rendering, observed: &Observed) -> Vec<Planned> {
    let mut steps = Vec::new();
    for service in observed
        .containers
        .keys()
        .filter(|service| !rendering.specs.contains_key(*service))
    {
        if let Some(id) = topology::replica_of_service(service)
            && observed.backend(id).is_some_and(|backend| backend.is_up())
        {
            // While its lines are in force, Pgpool attaches a replica again that still streams.
            if steps.is_empty() {
                steps.push(Step::ReloadPool.because("it has fewer nodes"));
            }
            steps.push(Step::Detach { id }.because("the replica is removed"));
        }
        steps.push(
            Step::Remove {
                service: service.clone(),
            }
            .because("not among the wanted nodes; its data directory stays"),
        );
    }
    let services = topology.nodes.iter().map(Node::service);
    for service in services.chain([POOL_SERVICE.to_owned()]) {
        let wanted = rendering.specs.get(&service);
        let cause = match observed.containers.get(&service) {
            None => "no container",
            Some(container) if Some(&container.spec) != wanted => "its definition changed",
            Some(container) if container.state == "paused" => {
                steps.push(Step::Unpause { service }.because("paused"));
                continue;
            }
            Some(container) if container.state == "restarting" => {
                steps.push(Step::Revive { service }.because("it kept failing"));
                continue;
            }
            Some(container) if ["exited", "created", "dead"].contains(&container.state.as_str()) => "stopped",
            Some(_) => continue,
        };
        steps.push(Step::Start { service }.because(cause));
    }
    steps
}

/// What can be put right in servers that run: slots, configuration, the pool's view.
///
/// It is asked again after every observation until it has nothing more to do.
pub fn corrections(topology: &Topology, rendering: &Rendering, observed: &Observed) -> Vec<Planned> {
    let mut steps = slots(topology, observed);
    steps.extend(configuration(topology, rendering, observed));
    steps.extend(pool(topology, observed));
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

/// One restart at a time, and only while every node serves: a value with which a server cannot start stops one.
///
/// Replicas before the master, since hot-standby parameters must never be lower on a replica; where one is lowered,
/// the master before its replicas.
fn configuration(topology: &Topology, rendering: &Rendering, observed: &Observed) -> Vec<Planned> {
    let mut nodes: Vec<&Node> = topology.replicas().iter().collect();
    match observed.facts(topology.master().id) {
        Some(master) if master.lowers_hot_standby => nodes.insert(0, topology.master()),
        _ => nodes.push(topology.master()),
    }
    let all_serve = nodes
        .iter()
        .all(|node| health::node_state(topology, observed, node).is_serving());
    let mut steps: Vec<Planned> = Vec::new();
    let mut restarts = false;
    for node in nodes {
        let Some(facts) = observed.facts(node.id) else {
            continue;
        };
        if facts.config_hash.as_ref() != rendering.config_hashes.get(&node.id) {
            steps.push(Step::Reload { id: node.id }.because("its configuration files changed"));
        } else if !facts.pending_restart.is_empty() && all_serve && !restarts {
            restarts = true;
            let cause = format!(
                "a restart brings {} into effect",
                facts.pending_restart.join(", ")
            );
            steps.push(Step::Restart { id: node.id }.because(cause));
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
        if serving && !backends[&node.id].is_up() {
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

/// Everything is as wanted: all nodes serve, and nothing is left to do.
pub fn is_settled(topology: &Topology, rendering: &Rendering, observed: &Observed) -> bool {
    let serving = |state: State| state.is_serving();
    topology
        .nodes
        .iter()
        .all(|node| serving(health::node_state(topology, observed, node)))
        && serving(health::pool_state(topology, observed))
        && health::stray_slots(topology, observed).next().is_none()
        && containers(topology, rendering, observed).is_empty()
        && corrections(topology, rendering, observed).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::samples::{facts, healthy, topology};
    use crate::observed::Answer;
    use crate::render::Images;

    fn rendering(topology: &Topology) -> Rendering {
        let services = topology
            .nodes
            .iter()
            .map(Node::service)
            .chain([POOL_SERVICE.to_owned()]);
        Rendering {
            files: Vec::new(),
            images: Images {
                node: "pgcluster-node:1".into(),
                pool: "pgcluster-pool:1".into(),
            },
            specs: services.map(|service| (service, "spec".to_owned())).collect(),
            config_hashes: topology
                .nodes
                .iter()
                .map(|node| (node.id, "conf".to_owned()))
                .collect(),
        }
    }

    /// The plan for two replicas after `change` to a healthy cluster of `replicas`, as text.
    fn plan(replicas: u32, change: impl FnOnce(&mut Observed)) -> String {
        let wanted = topology(2);
        let rendering = rendering(&wanted);
        let mut observed = healthy(&topology(replicas));
        change(&mut observed);
        let mut steps = images(&rendering, &[]);
        steps.extend(containers(&wanted, &rendering, &observed));
        steps.extend(corrections(&wanted, &rendering, &observed));
        assert_eq!(
            is_settled(&wanted, &rendering, &observed),
            steps.is_empty(),
            "settled means that there is nothing to do"
        );
        steps.iter().map(|step| format!("{step}\n")).collect()
    }

    #[test]
    fn a_healthy_cluster_needs_nothing() {
        assert_eq!(plan(2, |_| {}), "");
    }

    #[test]
    fn an_empty_machine_needs_everything() {
        insta::assert_snapshot!(plan(2, |o| {
            o.containers.clear();
            o.nodes.clear();
            o.pool = Answer::NotAsked;
        }), @r"
        start postgres-master  (no container)
        start postgres-slave1  (no container)
        start postgres-slave2  (no container)
        start pgpool-loadbalancer  (no container)
        ");
    }

    #[test]
    fn one_more_replica_touches_nothing_else() {
        insta::assert_snapshot!(plan(1, |_| {}), @r"
        start postgres-slave2  (no container)
        reload the pool  (it does not know every node yet)
        ");
    }

    #[test]
    fn a_replica_leaves_the_pool_before_its_container_goes() {
        insta::assert_snapshot!(plan(3, |o| facts(o, 0).slots[2].active = false), @r"
        reload the pool  (it has fewer nodes)
        detach slave-3 from the pool  (the replica is removed)
        remove postgres-slave3  (not among the wanted nodes; its data directory stays)
        drop slot slave3  (its replica is removed)
        ");
    }

    #[test]
    fn stopped_paused_and_changed_containers_are_told_apart() {
        let change = |o: &mut Observed| {
            o.containers.get_mut("postgres-slave1").unwrap().state = "exited".into();
            o.containers.get_mut("postgres-slave2").unwrap().state = "paused".into();
            o.containers.get_mut("pgpool-loadbalancer").unwrap().spec = "old".into();
        };
        insta::assert_snapshot!(plan(2, change), @r"
        start postgres-slave1  (stopped)
        unpause postgres-slave2  (paused)
        start pgpool-loadbalancer  (its definition changed)
        ");
    }

    #[test]
    fn configuration_reaches_replicas_before_the_master() {
        let change = |o: &mut Observed| {
            for id in 0..=2 {
                facts(o, id).config_hash = Some("old".into());
            }
            facts(o, 2).config_hash = Some("conf".into());
            facts(o, 2).pending_restart = vec!["shared_buffers".into()];
        };
        insta::assert_snapshot!(plan(2, change), @r"
        reload slave-1  (its configuration files changed)
        restart slave-2  (a restart brings shared_buffers into effect)
        reload master  (its configuration files changed)
        ");
    }

    #[test]
    fn a_replica_that_came_back_gets_its_slot() {
        insta::assert_snapshot!(plan(2, |o| { facts(o, 0).slots.pop(); }), @"create slot slave2  (the master has no slot for it)");
    }

    #[test]
    fn a_detached_node_is_attached_only_when_it_serves() {
        fn detach(o: &mut Observed) {
            if let Answer::Got(backends) = &mut o.pool {
                backends.get_mut(&2).unwrap().status = "down".into();
            }
        }
        insta::assert_snapshot!(plan(2, detach), @"attach slave-2 to the pool  (the node serves, and the pool leaves it out)");
    }
}
