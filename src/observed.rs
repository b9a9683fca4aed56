//! What a running cluster looks like: data only. [`crate::observe`] gathers it, [`crate::health`] judges it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::topology::POOL_SERVICE;

/// Exit status with which an entrypoint says that trying again cannot help.
const REFUSAL: &str = "(78)";

/// Compose service → its container.
pub type Containers = BTreeMap<String, Container>;

/// Whether this service has a container, and that runs.
pub fn runs(containers: &Containers, service: &str) -> bool {
    containers.get(service).is_some_and(Container::is_running)
}

/// Whether a server of ours may be asked on this port, by [`Container::answers`] of this service.
pub fn answers(containers: &Containers, service: &str, port: u16) -> bool {
    containers
        .get(service)
        .is_some_and(|container| container.answers(port))
}

/// The id of the container of this service.
///
/// # Errors
/// It has none.
pub fn container_id<'a>(containers: &'a Containers, service: &str) -> Result<&'a str> {
    let container = containers.get(service);
    let container = container.with_context(|| format!("{service} has no container"))?;
    Ok(&container.id)
}

/// A container as `docker ps` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Container {
    pub id: String,
    /// `running`, `exited`, `restarting`, `paused`, `created`, `dead`.
    pub state: String,
    /// For people: `Up 3 seconds (healthy)`, `Restarting (78) 1 second ago`.
    pub status: String,
    /// The fingerprint it was made from.
    pub spec: String,
    /// What it publishes, as `docker ps` writes it: `127.0.0.1:5000->5432/tcp`.
    #[serde(default)]
    pub ports: String,
    /// The image it was made from, as `docker ps` writes it.
    #[serde(default)]
    pub image: String,
}

impl Container {
    pub fn is_running(&self) -> bool {
        self.state == "running"
    }

    /// Its own health check has failed several times.
    pub fn is_unhealthy(&self) -> bool {
        self.status.contains("(unhealthy)")
    }

    /// It does not run, and nobody but an order starts it.
    pub fn has_stopped(&self) -> bool {
        ["exited", "created", "dead"].contains(&self.state.as_str())
    }

    /// It was made and not started yet, or starts over and over.
    pub fn is_in_between(&self) -> bool {
        self.state == "created" || self.state == "restarting"
    }

    /// Whoever answers on this port of the machine is this container.
    pub fn publishes(&self, port: u16) -> bool {
        self.ports.contains(&format!(":{port}->"))
    }

    /// A server of ours may be asked on this port. Another program may listen on one that was changed in `.env`
    /// since the container was made: it must not get a password.
    pub fn answers(&self, port: u16) -> bool {
        self.is_running() && self.publishes(port)
    }

    /// The port inside that it publishes as `port` of the machine.
    pub fn inner_port(&self, port: u16) -> Option<u16> {
        let (_, inner) = self.ports.split_once(&format!(":{port}->"))?;
        inner.split('/').next()?.parse().ok()
    }

    /// The port of the machine by which it publishes `inner`, while it runs.
    pub fn outer_port(&self, inner: u16) -> Option<u16> {
        let (before, _) = self.ports.split_once(&format!("->{inner}/tcp"))?;
        let port = before.rsplit(':').next()?.parse().ok()?;
        self.is_running().then_some(port)
    }

    /// Its entrypoint refused to start, for a reason that stays.
    pub fn has_refused(&self) -> bool {
        !self.is_running() && self.status.contains(REFUSAL)
    }
}

/// What came back from a server that was asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<T> {
    Got(T),
    /// Its container does not run, so nobody asked: another program may listen on the port.
    NotAsked,
    Silent(Silence),
}

impl<T> Answer<T> {
    pub fn got(&self) -> Option<&T> {
        match self {
            Answer::Got(facts) => Some(facts),
            _ => None,
        }
    }
}

/// Why a server gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    pub reason: String,
    /// The login was refused: asking again cannot help.
    pub refused: bool,
}

/// What one PostgreSQL server says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFacts {
    pub in_recovery: bool,
    pub system_id: String,
    pub timeline: u32,
    /// Position in the WAL that a standby has replayed to.
    pub replayed: u64,
    /// Where the oldest WAL that a primary still has begins.
    pub oldest_wal: u64,
    /// There is a place for the marker: it was proved before.
    pub marked: bool,
    /// Seconds since 1970.
    pub started_at: f64,
    pub connections: u32,
    pub max_connections: u32,
    /// Fingerprint of the configuration files it last read.
    pub config_hash: Option<String>,
    /// Fingerprint of the certificate it last read; none where TLS is off.
    pub certificate: Option<String>,
    /// What is wrong with the configuration files as they are now, a line each.
    pub config_errors: Vec<String>,
    /// Settings whose new value waits for a restart.
    pub pending_restart: Vec<String>,
    /// Among them is one that a standby must not have lower than its primary, and it is being lowered.
    pub lowers_hot_standby: bool,
    pub receiver: Option<Receiver>,
    /// The replicas that a commit waits for, where [`crate::reconcile`] set them: `synchronous_standby_names`.
    pub synchronous: Option<String>,
    /// Commits that wait for a replica at this moment.
    pub waiting_commits: u32,
    pub senders: Vec<Sender>,
    pub slots: Vec<Slot>,
    pub base_backups: Vec<BaseBackup>,
    pub watcher: Option<WatcherQuery>,
}

/// The query by which the watcher beside the pool asks the primary, which holds its report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WatcherQuery {
    /// Seconds since it began.
    pub age: f64,
    /// Who asked.
    pub role: String,
    /// As `pg_stat_activity` has it, so perhaps cut.
    pub query: String,
}

/// A setting that a server takes up when it starts, and not later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Fixed {
    pub name: String,
    /// As in `pg_settings`: in its unit, where it has one.
    pub value: String,
    pub unit: Option<String>,
    /// `bool`, `integer`, `real`, `enum`, `string`.
    pub kind: String,
    /// PostgreSQL's own.
    pub default: Option<String>,
    /// A configuration file sets it.
    pub from_file: bool,
}

/// The WAL receiver of a standby.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Receiver {
    pub status: String,
    pub slot: Option<String>,
}

/// A WAL sender of a primary.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sender {
    /// The standby's `application_name`.
    pub name: String,
    pub state: String,
    /// Bytes between what the primary wrote and what the standby replayed; a running base backup has none.
    pub behind: Option<u64>,
    pub lag_ms: Option<f64>,
}

/// A physical replication slot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slot {
    pub name: String,
    pub active: bool,
    /// `reserved`, `extended`, `unreserved`, `lost`.
    pub wal_status: Option<String>,
    /// Bytes of WAL kept for it.
    pub retained: Option<i64>,
}

/// A base backup that runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BaseBackup {
    /// The node name of the replica it is for.
    pub name: String,
    /// Bytes.
    pub done: u64,
    /// Bytes, once estimated.
    pub total: Option<u64>,
}

/// A node as the pool sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Backend {
    pub id: u32,
    /// `up`, `waiting`, `down`, `quarantine`, `unused`.
    pub status: String,
    pub role: String,
    /// Statements that read, sent to it; only the pool itself knows.
    pub selects: Option<u64>,
}

impl Backend {
    /// It gets traffic: `waiting` means that no client has come since it joined.
    pub fn is_up(&self) -> bool {
        self.status == "up" || self.status == "waiting"
    }
}

/// Pgpool-II's query cache since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CacheFacts {
    /// Queries answered from it.
    pub hits: u64,
    /// Queries that were not.
    pub selects: u64,
    /// Results in it, and what Pgpool-II remembers of the catalogs.
    pub entries: u64,
    pub used_bytes: u64,
    pub free_bytes: u64,
}

/// Everything seen at one moment.
#[derive(Clone, Debug)]
pub struct Observed {
    pub containers: Containers,
    pub nodes: BTreeMap<u32, Answer<NodeFacts>>,
    /// Pgpool's backends by id.
    pub pool: Answer<BTreeMap<u32, Backend>>,
}

impl Observed {
    pub fn facts(&self, id: u32) -> Option<&NodeFacts> {
        self.nodes.get(&id)?.got()
    }

    pub fn backend(&self, id: u32) -> Option<&Backend> {
        self.pool.got()?.get(&id)
    }

    /// Clients of the pool may read from it: a pool that runs and is too busy to say uses every node.
    pub fn may_be_in_pool(&self, id: u32) -> bool {
        match self.pool.got() {
            Some(_) => self.backend(id).is_some_and(Backend::is_up),
            None => runs(&self.containers, POOL_SERVICE),
        }
    }
}

impl NodeFacts {
    /// The replicas (node names) that a commit waits for, all of them, as the tool has set it; nothing for a list
    /// that somebody else wrote.
    pub fn synchronous_names(&self) -> Vec<String> {
        let parse = || {
            let (count, names) = self
                .synchronous
                .as_ref()?
                .strip_prefix("FIRST ")?
                .split_once(" (")?;
            let names: Vec<String> = names.strip_suffix(')')?.split(", ").map(str::to_owned).collect();
            (count.parse() == Ok(names.len())).then_some(names)
        };
        parse().unwrap_or_default()
    }

    pub fn sender(&self, name: &str) -> Option<&Sender> {
        // A standby that reconnects may have an old sender beside the new one.
        self.senders
            .iter()
            .filter(|sender| sender.name == name)
            .max_by_key(|sender| (sender.state == "streaming", sender.behind.is_some()))
    }

    pub fn slot(&self, name: &str) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.name == name)
    }

    pub fn base_backup(&self, name: &str) -> Option<&BaseBackup> {
        self.base_backups.iter().find(|backup| backup.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_port_leads_inside() {
        let container = Container {
            ports: "0.0.0.0:15000->5433/tcp, 127.0.0.1:5000->5432/tcp".into(),
            state: "running".into(),
            ..Container::default()
        };
        assert_eq!(container.outer_port(5432), Some(5000));
        assert_eq!(container.outer_port(5433), Some(15000));
        assert_eq!(container.outer_port(432), None);
        assert_eq!(container.inner_port(5000), Some(5432));
        assert_eq!(container.inner_port(15000), Some(5433));
        assert_eq!(container.inner_port(500), None);
    }
}
