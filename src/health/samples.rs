//! A healthy cluster to break in tests.

use std::collections::BTreeMap;
use std::path::Path;

use crate::env_file::EnvFile;
use crate::observed::{Answer, Backend, Container, NodeFacts, Observed, Receiver, Sender, Slot};
use crate::settings::{ConnectionMode, Settings};
use crate::topology::{Node, Topology};

pub fn topology(replicas: u32) -> Topology {
    in_mode(ConnectionMode::Session, replicas)
}

pub fn in_mode(mode: ConnectionMode, replicas: u32) -> Topology {
    let (mut settings, _) = Settings::resolve(&EnvFile::default(), |_| None, replicas).unwrap();
    settings.mode = mode;
    Topology::new(Path::new("/srv/db"), &settings)
}

/// Everything of `topology` up and streaming; fingerprints are `spec` and `conf`.
pub fn healthy(topology: &Topology) -> Observed {
    let running = Container {
        id: "c".into(),
        state: "running".into(),
        status: "Up 5 seconds".into(),
        spec: "spec".into(),
        ports: String::new(),
        image: "pgcluster-node:1".into(),
    };
    let names: Vec<String> = topology.replicas().iter().map(Node::name).collect();
    let facts = |node: &Node| NodeFacts {
        in_recovery: !node.is_master(),
        system_id: "7".into(),
        timeline: 1,
        config_hash: Some("conf".into()),
        receiver: (!node.is_master()).then(|| Receiver {
            status: "streaming".into(),
            slot: Some(node.name()),
        }),
        ..NodeFacts::default()
    };
    let mut nodes: BTreeMap<u32, Answer<NodeFacts>> = topology
        .nodes
        .iter()
        .map(|node| (node.id, Answer::Got(facts(node))))
        .collect();
    if let Some(Answer::Got(master)) = nodes.get_mut(&0) {
        master.senders = names
            .iter()
            .map(|name| Sender {
                name: name.clone(),
                state: "streaming".into(),
                behind: Some(0),
                lag_ms: None,
            })
            .collect();
        master.slots = names
            .iter()
            .map(|name| Slot {
                name: name.clone(),
                active: true,
                wal_status: Some("reserved".into()),
                retained: Some(0),
            })
            .collect();
    }
    let backend = |node: &Node| Backend {
        id: node.id,
        status: "up".into(),
        ..Backend::default()
    };
    Observed {
        containers: topology
            .services()
            .map(|service| (service, running.clone()))
            .collect(),
        nodes,
        pool: Answer::Got(
            topology
                .nodes
                .iter()
                .map(|node| (node.id, backend(node)))
                .collect(),
        ),
    }
}

pub fn facts(observed: &mut Observed, id: u32) -> &mut NodeFacts {
    match observed.nodes.get_mut(&id) {
        Some(Answer::Got(facts)) => facts,
        _ => panic!("node {id} does not answer"),
    }
}
