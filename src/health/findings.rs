//! What is wrong with a cluster, and the remedy.

use super::{State, node_state, parts};
use crate::observed::Observed;
use crate::topology::{self, BOUNCER_SERVICE, Topology};

/// Slots on the master that were a removed replica's: they would keep WAL for ever.
pub fn stray_slots<'a>(topology: &'a Topology, observed: &'a Observed) -> impl Iterator<Item = &'a str> {
    let slots = observed
        .facts(topology.master().id)
        .map(|master| master.slots.as_slice());
    slots
        .unwrap_or_default()
        .iter()
        .map(|slot| slot.name.as_str())
        .filter(|name| topology::replica_of_name(name).is_some_and(|id| !topology.has(id)))
}

/// Something wrong with the cluster, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// Title of the node, or `pool`.
    pub node: String,
    pub problem: String,
    pub remedy: String,
}

/// Everything that is wrong; an empty list is a healthy cluster.
pub fn findings(topology: &Topology, observed: &Observed) -> Vec<Finding> {
    let mut findings: Vec<Finding> = parts(topology, observed)
        .into_iter()
        .filter(|part| !part.state.is_serving())
        .map(|part| Finding {
            remedy: remedy(&part.state, &part.service),
            problem: part.state.to_string(),
            node: part.title,
        })
        .collect();
    for node in &topology.nodes {
        for error in observed
            .facts(node.id)
            .into_iter()
            .flat_map(|facts| &facts.config_errors)
        {
            findings.push(Finding {
                node: node.title(),
                problem: format!("its configuration has an error: {error}"),
                remedy: "correct the file, then run `pgcluster up`".to_owned(),
            });
        }
    }
    for slot in stray_slots(topology, observed) {
        findings.push(Finding {
            node: topology.master().title(),
            problem: format!("slot {slot} belongs to a replica that is gone, and keeps WAL"),
            remedy: "run `pgcluster up`, which drops it".to_owned(),
        });
    }
    let wanted: Vec<String> = topology.services().collect();
    findings.extend(held_up(topology, observed));
    for (service, container) in &observed.containers {
        let (node, whose) = match topology::replica_of_service(service) {
            _ if wanted.contains(service) => continue,
            Some(id) => (topology::title(id), "a removed replica"),
            None if service == BOUNCER_SERVICE => (service.clone(), "another connection mode"),
            None => continue,
        };
        findings.push(Finding {
            node,
            problem: format!("a container of {whose}: {}", container.status),
            remedy: "run `pgcluster up`, which removes it".to_owned(),
        });
    }
    findings
}

/// Where commits wait for every replica, those that hold them up.
fn held_up(topology: &Topology, observed: &Observed) -> Option<Finding> {
    let master = observed.facts(topology.master().id)?;
    let away: Vec<String> = master
        .synchronous_names()
        .iter()
        .filter(|name| {
            let node = topology.nodes.iter().find(|node| node.name() == **name);
            !node.is_some_and(|node| node_state(topology, observed, node).is_serving())
        })
        .map(|name| topology::replica_of_name(name).map_or(name.clone(), topology::title))
        .collect();
    if away.is_empty() {
        return None;
    }
    let now = match master.waiting_commits {
        0 => String::new(),
        count => format!(" ({count} now)"),
    };
    Some(Finding {
        node: topology.master().title(),
        problem: format!("commits wait for {}{now}", away.join(", ")),
        remedy: "run `pgcluster up`: it starts what is stopped, and until then lets commits go on without it"
            .to_owned(),
    })
}

/// What to do about a node in this state.
pub fn remedy(state: &State, service: &str) -> String {
    let logs = format!("see `docker compose logs {service}`");
    match state {
        State::Outrun => "run `pgcluster up`, which clones it again and keeps what it has".to_owned(),
        State::Unfit(_) => match topology::replica_of_service(service) {
            Some(id) => format!(
                "`pgcluster rebuild {}` clones it from the master and keeps what it has; {logs}",
                topology::title(id)
            ),
            None => logs,
        },
        State::Absent | State::Stopped(_) => format!("run `pgcluster up`; {logs}"),
        State::Refused => format!("its log says why; {logs}"),
        State::LoginRefused(_) => {
            "the user and password in .env are not those of the running cluster: put the old ones back, or run \
             `pgcluster rotate --from-env`"
                .to_owned()
        }
        State::Starting(_) | State::Cloning(..) | State::CatchingUp(_) => {
            format!("wait; if it lasts, {logs}")
        }
        _ => format!("run `pgcluster up`; if that does not help, {logs}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::samples::{facts, healthy, in_mode, topology};
    use crate::observed::Answer;
    use crate::settings::ConnectionMode;

    /// What `status` would say after `breakage`.
    fn check(breakage: impl FnOnce(&mut Observed), expected: &[&str]) {
        let topology = topology(2);
        let mut observed = healthy(&topology);
        breakage(&mut observed);
        let found: Vec<String> = findings(&topology, &observed)
            .into_iter()
            .map(|finding| format!("{}: {}", finding.node, finding.problem))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_healthy_cluster_has_no_findings() {
        check(|_| {}, &[]);
    }

    #[test]
    fn a_base_backup_is_not_replication() {
        // The stream of a base backup says `streaming` too, and replays nothing.
        check(
            |o| facts(o, 0).senders[0].behind = None,
            &["slave-1: connects to the master"],
        );
    }

    #[test]
    fn streaming_without_its_own_slot_is_not_enough() {
        check(
            |o| facts(o, 2).receiver.as_mut().unwrap().slot = None,
            &["slave-2: does not stream from the master"],
        );
        check(
            |o| facts(o, 0).slots[1].active = false,
            &["slave-2: does not stream from the master"],
        );
    }

    #[test]
    fn wrong_roles_and_foreign_data_are_named() {
        check(
            |o| facts(o, 1).in_recovery = false,
            &["slave-1: is a primary of its own, not a replica"],
        );
        check(
            |o| facts(o, 1).system_id = "8".into(),
            &["slave-1: holds the data of another cluster"],
        );
    }

    #[test]
    fn lost_wal_and_stray_slots_are_named() {
        check(
            |o| facts(o, 0).slots[0].wal_status = Some("lost".into()),
            &["slave-1: was away too long; the WAL it needs is gone from the master"],
        );
        check(
            |o| {
                let mut slot = facts(o, 0).slots[0].clone();
                slot.name = "slave7".into();
                facts(o, 0).slots.push(slot);
            },
            &["master: slot slave7 belongs to a replica that is gone, and keeps WAL"],
        );
    }

    #[test]
    fn a_replica_that_holds_up_commits_is_named() {
        check(
            |o| {
                facts(o, 0).synchronous = Some("FIRST 2 (slave1, slave2)".into());
                facts(o, 0).waiting_commits = 3;
                facts(o, 0).senders.pop();
            },
            &[
                "slave-2: does not stream from the master",
                "master: commits wait for slave-2 (3 now)",
            ],
        );
    }

    #[test]
    fn a_node_the_pool_left_out_is_named() {
        check(
            |o| {
                if let Answer::Got(backends) = &mut o.pool {
                    backends.get_mut(&2).unwrap().status = "down".into();
                }
            },
            &["pool: waiting for slave-2"],
        );
    }

    #[test]
    fn what_another_mode_left_and_what_this_one_lacks_is_named() {
        fn check(wanted: ConnectionMode, there: ConnectionMode, expected: &[&str]) {
            let observed = healthy(&in_mode(there, 1));
            let found: Vec<String> = findings(&in_mode(wanted, 1), &observed)
                .into_iter()
                .map(|finding| format!("{}: {}", finding.node, finding.problem))
                .collect();
            assert_eq!(found, expected);
        }
        use ConnectionMode::{Session, Transaction};
        check(Transaction, Transaction, &[]);
        check(
            Session,
            Transaction,
            &["pgbouncer: a container of another connection mode: Up 5 seconds"],
        );
        check(Transaction, Session, &["pgbouncer: no container"]);
    }
}
