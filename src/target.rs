//! The words by which a command line names a node. Pure.

use crate::error::{Failure, Kind, Problem};
use crate::topology::{self, BOUNCER_SERVICE, MASTER_SERVICE, Node, POOL_SERVICE, Topology};

/// What a word on the command line stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The PostgreSQL server with this id.
    Node(u32),
    Pool,
    /// PgBouncer, in the connection modes that have it.
    Bouncer,
    /// Whichever replica serves.
    AnyReplica,
}

impl Target {
    /// What users see.
    pub fn title(&self) -> String {
        match self {
            Target::Node(id) => topology::title(*id),
            Target::Pool => "pool".to_owned(),
            Target::Bouncer => BOUNCER_SERVICE.to_owned(),
            Target::AnyReplica => "any-replica".to_owned(),
        }
    }

    /// Its ports on this machine: all replicas' where any will do.
    pub fn ports(&self, topology: &Topology) -> Vec<u16> {
        match self {
            Target::Node(id) => {
                let node = topology.nodes.iter().find(|node| node.id == *id);
                node.map(|node| node.port).into_iter().collect()
            }
            Target::Pool | Target::Bouncer => vec![topology.pool_port],
            Target::AnyReplica => topology.replicas().iter().map(|node| node.port).collect(),
        }
    }

    /// Its Compose service, if it is one.
    pub fn service(&self) -> Option<String> {
        match self {
            Target::Node(id) => Some(topology::service(*id)),
            Target::Pool => Some(POOL_SERVICE.to_owned()),
            Target::Bouncer => Some(BOUNCER_SERVICE.to_owned()),
            Target::AnyReplica => None,
        }
    }
}

/// Reads titles, service names and node names: `slave-2`, `postgres-slave2`, `slave2`.
pub fn parse(word: &str) -> Option<Target> {
    match word {
        "master" | "primary" | MASTER_SERVICE => Some(Target::Node(0)),
        "pool" | POOL_SERVICE => Some(Target::Pool),
        BOUNCER_SERVICE => Some(Target::Bouncer),
        "any-replica" => Some(Target::AnyReplica),
        _ => topology::replica_of_folder(word)
            .or_else(|| topology::replica_of_name(word))
            .or_else(|| topology::replica_of_service(word))
            .map(Target::Node),
    }
}

/// The targets that `words` name, each once, in the order given.
///
/// # Errors
/// Every word that names nothing of this cluster, with those that do. [`Target::AnyReplica`] is one of them where
/// `any` is set.
pub fn resolve(topology: &Topology, words: &[String], any: bool) -> Result<Vec<Target>, Failure> {
    let mut targets = Vec::new();
    let mut problems = Vec::new();
    for word in words {
        let known = |target: &Target| match target {
            Target::Node(id) => topology.has(*id),
            Target::Pool => true,
            Target::Bouncer => topology.mode.has_bouncer(),
            Target::AnyReplica => any && !topology.replicas().is_empty(),
        };
        match parse(word).filter(known) {
            Some(target) if targets.contains(&target) => {}
            Some(target) => targets.push(target),
            None => problems.push(
                Problem::new(format!("there is no node `{word}`"))
                    .fix(format!("name one of {}", titles(topology, any).join(", "))),
            ),
        }
    }
    Failure::unless_empty(Kind::Input, problems)?;
    Ok(targets)
}

fn titles(topology: &Topology, any: bool) -> Vec<String> {
    let any = any && !topology.replicas().is_empty();
    topology
        .nodes
        .iter()
        .map(Node::title)
        .chain(["pool".to_owned()])
        .chain(topology.mode.has_bouncer().then(|| BOUNCER_SERVICE.to_owned()))
        .chain(any.then(|| "any-replica".to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::samples;

    #[test]
    fn a_node_has_several_names() {
        fn check(words: &[&str], expected: Option<Target>) {
            for word in words {
                assert_eq!(parse(word), expected, "{word}");
            }
        }
        check(&["master", "primary", "postgres-master"], Some(Target::Node(0)));
        check(
            &["slave-12", "slave12", "postgres-slave12"],
            Some(Target::Node(12)),
        );
        check(&["pool", "pgpool-loadbalancer"], Some(Target::Pool));
        check(&["any-replica"], Some(Target::AnyReplica));
        check(
            &[
                "", "slave", "slave-0", "slave-01", "slave--1", "Master", "slave-1x", "2",
            ],
            None,
        );
    }

    #[test]
    fn every_unknown_word_is_told_with_those_that_are_known() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let resolve = |replicas, list: &[&str], any| {
            super::resolve(&samples::topology(replicas), &words(list), any)
                .map_err(|failure| failure.to_string())
        };
        assert_eq!(
            resolve(2, &["slave2", "pool", "slave-2"], false),
            Ok(vec![Target::Node(2), Target::Pool])
        );
        assert_eq!(
            resolve(1, &["slave-2", "nonsense"], true).unwrap_err(),
            "there is no node `slave-2`\n    fix: name one of master, slave-1, pool, any-replica\n\
             there is no node `nonsense`\n    fix: name one of master, slave-1, pool, any-replica"
        );
        assert!(resolve(1, &["any-replica"], false).is_err());
        assert!(resolve(0, &["any-replica"], true).is_err());
    }
}
