//! Judgement: from what was observed to the state of each node, what is wrong, and what to do. Pure.

mod findings;
#[cfg(test)]
pub mod samples;
mod watcher;

use std::fmt;

use bytesize::ByteSize;

pub use findings::{Finding, findings, remedy, stray_slots};
pub use watcher::Watcher;

use crate::observed::{self, Answer, NodeFacts, Observed, Silence};
use crate::settings::ConnectionMode;
use crate::topology::{BOUNCER_SERVICE, Node, POOL_SERVICE, Topology};

/// A server that is about to be asked.
const NOT_ASKED: &str = "not asked yet";

/// Where a node is on its way to serving.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// It has no container.
    Absent,
    /// Its container does not run: its status.
    Stopped(String),
    /// Its entrypoint refused to start, for a reason that stays.
    Refused,
    /// Its container runs and the server does not answer yet: why.
    Starting(String),
    /// A base backup runs: bytes done, bytes in all.
    Cloning(u64, Option<u64>),
    /// It streams what it missed: bytes to go.
    CatchingUp(u64),
    /// It answers, and something is wrong that may pass.
    Broken(String),
    /// Neither its slot nor `wal_keep_size` kept the WAL that it needs: it has to be cloned again.
    Outrun,
    /// It answers, and its data cannot serve as this node's.
    Unfit(&'static str),
    /// The password or user in `.env` is not the cluster's.
    LoginRefused(String),
    /// The master accepts connections.
    Accepting,
    /// The replica streams through its slot: bytes behind.
    Streaming(u64),
    /// The pool sends traffic to this many nodes.
    Balancing(usize),
    /// PgBouncer hands its clients on to the pool.
    Sharing(ConnectionMode),
}

impl State {
    pub fn is_serving(&self) -> bool {
        matches!(
            self,
            State::Accepting | State::Streaming(_) | State::Balancing(_) | State::Sharing(_)
        )
    }

    /// Nothing was heard of it since it was made, or since it was told something.
    pub fn is_unknown(&self) -> bool {
        matches!(self, State::Starting(reason) if reason == NOT_ASKED)
    }

    /// No waiting can help.
    pub fn is_final(&self) -> bool {
        matches!(self, State::Refused | State::LoginRefused(_) | State::Unfit(_))
    }

    /// A measure of how far it has come, which only grows while there is progress.
    pub fn progress(&self) -> (u8, u64) {
        match self {
            State::Absent
            | State::Stopped(_)
            | State::Refused
            | State::LoginRefused(_)
            | State::Unfit(_)
            | State::Outrun => (0, 0),
            State::Starting(_) => (1, 0),
            State::Cloning(done, _) => (2, *done),
            State::Broken(_) => (3, 0),
            State::CatchingUp(behind) => (4, u64::MAX - behind),
            State::Accepting | State::Streaming(_) | State::Balancing(_) | State::Sharing(_) => (5, 0),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Absent => write!(f, "no container"),
            State::Stopped(status) => write!(f, "container stopped: {status}"),
            State::Refused => write!(f, "refuses to start"),
            State::Starting(reason) => write!(f, "starting: {reason}"),
            State::Cloning(done, Some(total)) => {
                write!(f, "cloning {} / {}", ByteSize(*done), ByteSize(*total))
            }
            State::Cloning(done, None) => write!(f, "cloning {}", ByteSize(*done)),
            State::CatchingUp(behind) => write!(f, "catching up, {} behind", ByteSize(*behind)),
            State::Broken(reason) => write!(f, "{reason}"),
            State::Outrun => write!(f, "was away too long; the WAL it needs is gone from the master"),
            State::Unfit(reason) => write!(f, "{reason}"),
            State::LoginRefused(reason) => write!(f, "login refused: {reason}"),
            State::Accepting => write!(f, "accepting connections"),
            State::Streaming(behind) => write!(f, "streaming, {} behind", ByteSize(*behind)),
            State::Balancing(1) => write!(f, "serving from 1 node"),
            State::Sharing(mode) => write!(f, "sharing the pool, {mode} by {mode}"),
            State::Balancing(nodes) => write!(f, "balancing over {nodes} nodes"),
        }
    }
}

/// One line of the answer to "how is the cluster".
#[derive(Clone, Debug)]
pub struct Part {
    /// What users see: `master`, `slave-1`, `pool`, `pgbouncer`.
    pub title: String,
    pub service: String,
    pub state: State,
}

/// The state of every node, of the pool, and of PgBouncer where the mode has it.
pub fn parts(topology: &Topology, observed: &Observed) -> Vec<Part> {
    let part = |title: String, service: String, state: State| Part {
        title,
        service,
        state,
    };
    let nodes = topology
        .nodes
        .iter()
        .map(|node| part(node.title(), node.service(), node_state(topology, observed, node)));
    let pool = part(
        "pool".to_owned(),
        POOL_SERVICE.to_owned(),
        pool_state(topology, observed),
    );
    let bouncer = bouncer_state(topology, observed)
        .map(|state| part(BOUNCER_SERVICE.to_owned(), BOUNCER_SERVICE.to_owned(), state));
    nodes.chain([pool]).chain(bouncer).collect()
}

/// The state of a PostgreSQL node.
pub fn node_state(topology: &Topology, observed: &Observed, node: &Node) -> State {
    let facts = match answer(
        observed,
        &node.service(),
        (&node.service(), node.port),
        observed.nodes.get(&node.id),
    ) {
        Ok(facts) => facts,
        Err(State::Starting(reason)) if !node.is_master() => {
            return starting_replica(topology, observed, node, reason);
        }
        Err(state) => return state,
    };
    if node.is_master() {
        if facts.in_recovery {
            State::Unfit("is a standby, not a primary")
        } else {
            State::Accepting
        }
    } else {
        replica_state(topology, observed, node, facts)
    }
}

/// What was heard from the server behind `service`, or why there is nothing; it is asked in the container of `asked`,
/// which must publish this port.
fn answer<'a, T>(
    observed: &Observed,
    service: &str,
    asked: (&str, u16),
    answer: Option<&'a Answer<T>>,
) -> Result<&'a T, State> {
    let publishes = || {
        let container = observed.containers.get(asked.0);
        container.is_some_and(|container| container.publishes(asked.1))
    };
    let container = observed.containers.get(service);
    match answer {
        Some(Answer::Got(facts)) => Ok(facts),
        Some(Answer::Silent(Silence {
            reason,
            refused: true,
        })) => Err(State::LoginRefused(reason.clone())),
        other => Err(match container {
            None => State::Absent,
            Some(container) if container.has_refused() => State::Refused,
            Some(container) if !container.is_running() => State::Stopped(container.status.clone()),
            Some(_) => State::Starting(match other {
                Some(Answer::Silent(silence)) => silence.reason.clone(),
                Some(Answer::NotAsked) if !publishes() => {
                    "its container has another port than .env; `pgcluster up` changes that".to_owned()
                }
                _ => NOT_ASKED.to_owned(),
            }),
        }),
    }
}

fn starting_replica(topology: &Topology, observed: &Observed, node: &Node, reason: String) -> State {
    let Some(master) = observed.facts(topology.master().id) else {
        // Before anybody was asked, the master is not what it waits for.
        let unknown = reason == NOT_ASKED;
        return State::Starting(if unknown {
            reason
        } else {
            "waiting for the master".to_owned()
        });
    };
    match master.base_backup(&node.name()) {
        Some(backup) => State::Cloning(backup.done, backup.total),
        None => State::Starting(reason),
    }
}

fn replica_state(topology: &Topology, observed: &Observed, node: &Node, facts: &NodeFacts) -> State {
    let broken = |reason: &str| State::Broken(reason.to_owned());
    if !facts.in_recovery {
        return State::Unfit("is a primary of its own, not a replica");
    }
    let master = topology.master().id;
    let Some(master) = observed.facts(master) else {
        // Before it was asked, the master is not silent.
        return match observed.nodes.contains_key(&master) {
            true => broken("cannot be judged while the master does not answer"),
            false => State::Starting(NOT_ASKED.to_owned()),
        };
    };
    if facts.system_id != master.system_id {
        return State::Unfit("holds the data of another cluster");
    }
    let name = node.name();
    if master
        .slot(&name)
        .is_some_and(|slot| slot.wal_status.as_deref() == Some("lost"))
    {
        return State::Outrun;
    }
    if facts.receiver.is_none() && facts.replayed > 0 && master.oldest_wal > facts.replayed {
        return State::Outrun;
    }
    let streams = facts
        .receiver
        .as_ref()
        .is_some_and(|receiver| receiver.slot.as_deref() == Some(name.as_str()));
    let slot = master.slot(&name).is_some_and(|slot| slot.active);
    match master.sender(&name) {
        Some(sender) if streams && slot => match (sender.state.as_str(), sender.behind) {
            // Pgpool-II looks each three seconds how far a node is behind; one that it has just got is none for it.
            ("streaming", Some(behind)) if behind > topology.max_lag && is_out(observed, node) => {
                State::CatchingUp(behind)
            }
            ("streaming", Some(behind)) => State::Streaming(behind),
            ("catchup", Some(behind)) => State::CatchingUp(behind),
            _ => broken("connects to the master"),
        },
        _ => broken("does not stream from the master"),
    }
}

fn is_out(observed: &Observed, node: &Node) -> bool {
    observed.backend(node.id).is_none_or(|backend| !backend.is_up())
}

/// The state of the pool: it serves when it sends traffic to every node of the topology.
pub fn pool_state(topology: &Topology, observed: &Observed) -> State {
    let backends = match answer(
        observed,
        POOL_SERVICE,
        (topology.entry_service(), topology.pool_port),
        Some(&observed.pool),
    ) {
        Ok(backends) => backends,
        // While it starts, Pgpool refuses logins that it will accept.
        Err(State::LoginRefused(reason)) => return State::Starting(reason),
        Err(State::Starting(_)) if topology.mode.has_bouncer() && observed.pool == Answer::NotAsked => {
            return State::Starting("cannot be asked before pgbouncer runs".to_owned());
        }
        Err(state) => return state,
    };
    let missing: Vec<String> = topology
        .nodes
        .iter()
        .filter(|node| !backends.get(&node.id).is_some_and(|backend| backend.is_up()))
        .map(Node::title)
        .collect();
    if missing.is_empty() {
        State::Balancing(topology.nodes.len())
    } else {
        State::Broken(format!("waiting for {}", missing.join(", ")))
    }
}

/// The state of PgBouncer, where the connection mode has it. It serves when the pool answers through it.
pub fn bouncer_state(topology: &Topology, observed: &Observed) -> Option<State> {
    // Until the mode has changed, Pgpool-II itself may answer on the port.
    let runs = observed::runs(&observed.containers, BOUNCER_SERVICE);
    let heard = if runs { &observed.pool } else { &Answer::NotAsked };
    let state = match answer(
        observed,
        BOUNCER_SERVICE,
        (BOUNCER_SERVICE, topology.pool_port),
        Some(heard),
    ) {
        Ok(_) => State::Sharing(topology.mode),
        Err(State::LoginRefused(reason)) => State::Starting(reason),
        Err(state) => state,
    };
    topology.mode.has_bouncer().then_some(state)
}

#[cfg(test)]
mod tests {
    use super::samples::{facts, healthy, topology};
    use super::*;
    use crate::observed::BaseBackup;

    #[test]
    fn a_silent_replica_that_clones_shows_how_far_it_is() {
        let topology = topology(1);
        let mut observed = healthy(&topology);
        observed.nodes.insert(
            1,
            Answer::Silent(Silence {
                reason: "connection refused".into(),
                refused: false,
            }),
        );
        facts(&mut observed, 0).base_backups.push(BaseBackup {
            name: "slave1".into(),
            done: 1024,
            total: Some(4096),
        });
        let state = node_state(&topology, &observed, &topology.nodes[1]);
        assert_eq!(state, State::Cloning(1024, Some(4096)));
        assert!(state.progress() > State::Starting(String::new()).progress());
    }
}
