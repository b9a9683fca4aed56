//! Do the configuration files of all nodes and of the pool fit together? What does not would show as a refused client
//! under load, or as a replica that does not start. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::configured::{self, Assigned, OfNode};
use crate::assets::LOCAL_CONF;
use crate::error::Problem;
use crate::settings::{Profile, RESERVE};
use crate::topology::{self, Node, Topology};

/// What a standby must have at least as high as its primary, with PostgreSQL's own default
/// ("Hot Standby", Administrator Overview).
pub const HOT_STANDBY: &[(&str, i64)] = &[
    ("max_connections", 100),
    ("max_worker_processes", 8),
    ("max_wal_senders", 10),
    ("max_prepared_transactions", 0),
    ("max_locks_per_transaction", 64),
];

/// Every contradiction between what the nodes and the pool are configured with.
///
/// A value that its server will refuse contradicts nothing: the server names it, and keeps what it has.
pub fn problems(
    topology: &Topology,
    profile: Profile,
    nodes: &BTreeMap<u32, OfNode>,
    pool: &OfNode,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    problems.extend(room_for_the_pool(topology, profile, nodes, pool));
    let primary = &nodes[&topology.master().id];
    // Where one replica fits, so do all that have the same.
    let mut fine = BTreeSet::new();
    for node in topology.replicas() {
        let standby = &nodes[&node.id];
        if fine.contains(&standby.group()) {
            continue;
        }
        let before = problems.len();
        for (name, default) in HOT_STANDBY {
            let (Some(theirs), Some(least)) =
                (number(standby, name, *default), number(primary, name, *default))
            else {
                continue;
            };
            if theirs < least {
                problems.push(
                    Problem::new(format!(
                        "{name}: {} has {theirs}{}, and the master has {least}{}: a replica does not start with less",
                        node.title(),
                        origin(node.id, standby.get(name)),
                        origin(0, primary.get(name)),
                    ))
                    .fix(format!(
                        "set {name} = {least} or more in {} too",
                        home(node.id, standby.get(name))
                    )),
                );
            }
        }
        if problems.len() == before {
            fine.insert(standby.group());
        }
    }
    same_once(problems)
}

/// Each of the pool's processes may hold `max_pool` connections to every node.
fn room_for_the_pool(
    topology: &Topology,
    profile: Profile,
    nodes: &BTreeMap<u32, OfNode>,
    pool: &OfNode,
) -> Vec<Problem> {
    let pool_value = |name: &str, default: i64| u64::try_from(number(pool, name, default)?).ok();
    let (Some(children), Some(each)) = (pool_value("num_init_children", 32), pool_value("max_pool", 4))
    else {
        return Vec::new();
    };
    let needed = children.saturating_mul(each).saturating_add(RESERVE);
    let too_small = |node: &Node| {
        let assigned = nodes[&node.id].get("max_connections");
        let limit = number(&nodes[&node.id], "max_connections", 100)?;
        (u64::try_from(limit).ok()? < needed).then(|| {
            Problem::new(format!(
                "max_connections: {} has {limit}{}, and the pool may open {} connections (num_init_children {children} \
                 × max_pool {each}, PROFILE={profile}), to which {RESERVE} more for others come",
                node.title(),
                origin(node.id, assigned),
                children.saturating_mul(each),
            ))
            .fix(format!(
                "set max_connections = {needed} or more in {}, or choose a smaller PROFILE in .env",
                home(node.id, assigned)
            ))
        })
    };
    topology.nodes.iter().filter_map(too_small).collect()
}

/// All replicas have the template's files: what is wrong in one of those is told once.
fn same_once(problems: Vec<Problem>) -> Vec<Problem> {
    let mut kept: Vec<Problem> = Vec::new();
    for problem in problems {
        let without_node = |text: &str| text.split_once(" has ").map(|(_, rest)| rest.to_owned());
        let seen = |other: &Problem| {
            other.fix == problem.fix && without_node(&other.what) == without_node(&problem.what)
        };
        if !kept.iter().any(seen) {
            kept.push(problem);
        }
    }
    kept
}

/// The number that `name` has; nothing where its value is none.
fn number(configured: &OfNode, name: &str, default: i64) -> Option<i64> {
    match configured.get(name) {
        Some(assigned) => configured::integer(&assigned.value),
        None => Some(default),
    }
}

/// ` (master/config/postgresql.conf line 7)`
fn origin(node: u32, assigned: Option<&Assigned>) -> String {
    match assigned {
        None => " (PostgreSQL's default)".to_owned(),
        Some(assigned) if is_tools(assigned) => String::new(),
        Some(assigned) => format!(" ({} line {})", path(node, &assigned.file), assigned.line),
    }
}

/// The file in which the user changes it.
fn home(node: u32, assigned: Option<&Assigned>) -> String {
    match assigned {
        Some(assigned) if !is_tools(assigned) => path(node, &assigned.file),
        _ => path(node, "config/postgresql.conf"),
    }
}

fn is_tools(assigned: &Assigned) -> bool {
    *assigned.file == *"config/cluster.conf"
}

/// Where the user finds a node's `file`: those of a replica come from the template, except for its `local.conf`.
fn path(node: u32, file: &str) -> String {
    let is_local = file.rsplit('/').next() == Some(LOCAL_CONF);
    match node {
        0 => format!("master/{file}"),
        id if is_local => format!("{}/{file}", topology::title(id)),
        _ => format!("slave-template/{file}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::samples::topology;

    const POOL: &str = "num_init_children = 220\nmax_pool = 1\n";

    fn configured(texts: [(&str, &str); 2]) -> OfNode {
        let files = texts.map(|(name, text)| (format!("config/{name}"), text.as_bytes().to_vec()));
        let both = "include 'postgresql.conf'\ninclude 'local.conf'";
        let start = format!("max_connections = 250\n{both}").into_bytes();
        let files = files
            .into_iter()
            .chain([("config/cluster.conf".to_owned(), start)]);
        configured::read("config/cluster.conf", &files.collect::<BTreeMap<_, _>>()).into()
    }

    /// Two replicas with these files; each problem as one line.
    fn check(master: &str, replicas: &str, local_of_2: &str, pool: &str, expected: &[&str]) {
        let node = |id| match id {
            0 => configured([("postgresql.conf", master), ("local.conf", "")]),
            1 => configured([("postgresql.conf", replicas), ("local.conf", "")]),
            _ => configured([("postgresql.conf", replicas), ("local.conf", local_of_2)]),
        };
        let nodes = (0..=2).map(|id| (id, node(id))).collect();
        let files = BTreeMap::from([("pgpool.conf".to_owned(), pool.as_bytes().to_vec())]);
        let pool = configured::read("pgpool.conf", &files).into();
        let problems = problems(&topology(2), Profile::Medium, &nodes, &pool);
        let lines: Vec<String> = problems
            .into_iter()
            .map(|problem| format!("{} / {}", problem.what, problem.fix.unwrap_or_default()))
            .collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_fits_is_left_alone() {
        check("", "", "", POOL, &[]);
        check("max_connections = 240", "max_connections = 300", "", POOL, &[]);
        // The server refuses these itself.
        check("max_connections = many", "max_connections = ", "", POOL, &[]);
    }

    #[test]
    fn the_pool_must_fit_into_every_node() {
        check(
            "max_connections = 100\nmax_connections = 239",
            "",
            "max_connections = 0x64",
            POOL,
            &[
                "max_connections: master has 239 (master/config/postgresql.conf line 2), and the pool may open 220 \
                 connections (num_init_children 220 × max_pool 1, PROFILE=medium), to which 20 more for others come / \
                 set max_connections = 240 or more in master/config/postgresql.conf, or choose a smaller PROFILE in .env",
                "max_connections: slave-2 has 100 (slave-2/config/local.conf line 1), and the pool may open 220 \
                 connections (num_init_children 220 × max_pool 1, PROFILE=medium), to which 20 more for others come / \
                 set max_connections = 240 or more in slave-2/config/local.conf, or choose a smaller PROFILE in .env",
                "max_connections: slave-2 has 100 (slave-2/config/local.conf line 1), and the master has 239 \
                 (master/config/postgresql.conf line 2): a replica does not start with less / \
                 set max_connections = 239 or more in slave-2/config/local.conf too",
            ],
        );
        // A template of the user's own is counted as it is.
        check("", "", "", "num_init_children = 20\nmax_pool = 2\n", &[]);
    }

    #[test]
    fn a_replica_must_not_have_less_than_the_master() {
        check(
            "max_locks_per_transaction = 128",
            "",
            "",
            POOL,
            &[
                "max_locks_per_transaction: slave-1 has 64 (PostgreSQL's default), and the master has 128 \
               (master/config/postgresql.conf line 1): a replica does not start with less / \
               set max_locks_per_transaction = 128 or more in slave-template/config/postgresql.conf too",
            ],
        );
        check("", "max_locks_per_transaction = 128", "", POOL, &[]);
    }
}
