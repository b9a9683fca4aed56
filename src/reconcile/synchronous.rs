//! For which replicas commits wait, where every read is to show them (READ_CONSISTENCY=strict).
//!
//! The order keeps the promise: a replica is waited for before it gets reads, and gets none before it is no longer
//! waited for. So a replica that clones holds up no commit, and neither does one that is removed.

use crate::health;
use crate::observed::{NodeFacts, Observed};
use crate::plan::{Planned, Step};
use crate::topology::{self, Node, Topology};

/// Brings the master's list to the replicas that stream.
pub fn steps(topology: &Topology, observed: &Observed) -> Vec<Planned> {
    let Some(master) = master(topology, observed) else {
        return Vec::new();
    };
    let listed = master.synchronous_names();
    if !topology.strict {
        return match listed.is_empty() {
            true => Vec::new(),
            false => vec![set(Vec::new()).because("READ_CONSISTENCY is not strict")],
        };
    }
    let mut steps = Vec::new();
    let mut wanted = Vec::new();
    for replica in topology.replicas() {
        let name = replica.name();
        if !observed.nodes.contains_key(&replica.id) {
            // Nothing was heard of it yet, which is no reason to change anything.
            wanted.extend(listed.contains(&name).then_some(name));
        } else if health::node_state(topology, observed, replica).is_serving() {
            wanted.push(name);
        } else if listed.contains(&name)
            && observed
                .backend(replica.id)
                .is_some_and(|backend| backend.is_up())
        {
            // As long as it may get reads, commits wait for it.
            steps.push(Step::Detach { id: replica.id }.because("it does not show what is committed"));
            wanted.push(name);
        }
    }
    if wanted != listed {
        let cause = match wanted.iter().find(|name| !listed.contains(name)) {
            Some(name) => format!("{name} streams"),
            None => "the others do not stream, or are no longer wanted".to_owned(),
        };
        steps.push(set(wanted).because(cause));
    }
    steps
}

/// The list without the replica whose container is about to go.
pub fn before_removal(topology: &Topology, observed: &Observed, service: &str) -> Option<Planned> {
    let listed = master(topology, observed)?.synchronous_names();
    let gone = topology::name(topology::replica_of_service(service)?);
    if !listed.contains(&gone) {
        return None;
    }
    let stay = |name: &String| topology::replica_of_name(name).is_some_and(|id| topology.has(id));
    Some(set(listed.into_iter().filter(stay).collect()).because("the replica is removed"))
}

/// Whether a read there shows every commit, as far as that is asked for.
pub fn may_read(topology: &Topology, observed: &Observed, node: &Node) -> bool {
    let waited_for = || {
        let master = master(topology, observed)?;
        Some(master.synchronous_names().contains(&node.name()))
    };
    !topology.strict || node.is_master() || waited_for().unwrap_or(false)
}

fn master<'a>(topology: &Topology, observed: &'a Observed) -> Option<&'a NodeFacts> {
    let master = observed.facts(topology.master().id)?;
    (!master.in_recovery).then_some(master)
}

fn set(names: Vec<String>) -> Step {
    Step::SetSynchronous { names }
}
