//! Which connection mode fits what the clients do: evidence in, advice out. Pure.

use serde::{Deserialize, Serialize};

use crate::render::bouncer::BOUNCER_CLIENTS;
use crate::settings::{Choice, ConnectionMode, ReadConsistency};

/// What one server shows of the sessions that came through the pool.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Sessions {
    /// All of them, of whoever.
    pub connections: u32,
    pub max_connections: u32,
    /// Straight from this machine to the node's own port.
    pub direct: u32,
    /// Through the pool.
    pub pooled: u32,
    /// Of these, those that do nothing.
    pub idle: u32,
    pub applications: Vec<Application>,
    pub databases: Vec<String>,
    /// Idle sessions that hold an advisory lock: one of a transaction would be gone.
    pub advisory_locks: u32,
    /// Sessions whose last statement was of this kind.
    pub listens: u32,
    pub settings: u32,
    pub sql_prepared: u32,
    pub held_cursors: u32,
    /// Sessions in a transaction of more than one statement.
    pub transactions: u32,
    /// Transactions between PREPARE TRANSACTION and their end.
    pub prepared_transactions: u32,
}

/// The sessions of one program.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Application {
    /// `application_name`, which may be empty.
    pub name: String,
    pub role: Option<String>,
    pub sessions: u32,
    pub idle: u32,
    pub in_transaction: u32,
    /// Seconds.
    pub longest_idle: u32,
}

/// The clients at the pool's port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Clients {
    pub connected: u32,
    /// Of these, those that wait for a server connection; only PgBouncer lets them.
    pub waiting: u32,
    /// So many it takes.
    pub limit: u32,
    /// Server connections that Pgpool-II has for all.
    pub pool_limit: u32,
}

/// Everything seen, each count the highest of several looks.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Evidence {
    pub clients: Clients,
    pub nodes: Vec<NodeSessions>,
    pub temporary_tables: u32,
}

/// The sessions of one node; the master's stand first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NodeSessions {
    /// `master`, `slave-1`.
    pub node: String,
    #[serde(flatten)]
    pub sessions: Sessions,
}

/// What to do, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    pub recommended: &'static str,
    pub reasons: Vec<String>,
}

/// What no look from outside can show.
pub const UNSEEN: &[&str] = &[
    "settings (SET), LISTEN, WITH HOLD cursors and PREPARE of a session, unless they were its last statement when looked at",
    "what clients do that were not connected during the look",
    "TimeZone, DateStyle, client_encoding and search_path that clients ask for at login: behind PgBouncer several at once \
     do not reach the replicas",
    "whether a program reads what it has just written: behind PgBouncer only a transaction is sure to see it",
];

impl Sessions {
    /// Keeps the higher of each count.
    pub fn merge(&mut self, other: Sessions) {
        let later = other.applications;
        for (mine, its) in [
            (&mut self.connections, other.connections),
            (&mut self.max_connections, other.max_connections),
            (&mut self.direct, other.direct),
            (&mut self.pooled, other.pooled),
            (&mut self.idle, other.idle),
            (&mut self.advisory_locks, other.advisory_locks),
            (&mut self.listens, other.listens),
            (&mut self.settings, other.settings),
            (&mut self.sql_prepared, other.sql_prepared),
            (&mut self.held_cursors, other.held_cursors),
            (&mut self.transactions, other.transactions),
            (&mut self.prepared_transactions, other.prepared_transactions),
        ] {
            *mine = (*mine).max(its);
        }
        for application in later {
            let same = |known: &&mut Application| {
                (&known.name, &known.role) == (&application.name, &application.role)
            };
            match self.applications.iter_mut().find(same) {
                Some(known) if known.sessions < application.sessions => *known = application,
                Some(_) => {}
                None => self.applications.push(application),
            }
        }
        for database in other.databases {
            if !self.databases.contains(&database) {
                self.databases.push(database);
            }
        }
    }
}

impl Clients {
    pub fn merge(&mut self, other: Clients) {
        self.connected = self.connected.max(other.connected);
        self.waiting = self.waiting.max(other.waiting);
        self.limit = other.limit;
        self.pool_limit = other.pool_limit;
    }
}

/// The mode that fits, judged by what was seen.
///
/// What needs a session of its own decides for `session`, whatever the numbers are: in another mode it would go
/// wrong silently. `statement` is never recommended to who does not have it: it has no more room than `transaction`.
pub fn advise(mode: ConnectionMode, consistency: ReadConsistency, evidence: &Evidence) -> Advice {
    let clients = evidence.clients;
    let needs = needs(consistency, evidence);
    // Pgpool-II refuses the last one.
    let room = clients.pool_limit.saturating_sub(1);
    let crowded = clients.connected * 2 > room;
    let mut reasons = Vec::new();
    let recommended = if !needs.is_empty() {
        reasons.extend(needs);
        if crowded {
            reasons.push(format!(
                "but {} clients are connected, and session mode has room for {room}: let what is named above use the port \
                 of a node, and the others another mode",
                clients.connected
            ));
        }
        ConnectionMode::Session
    } else if crowded || clients.waiting > 0 {
        reasons.push(format!(
            "{} clients are connected; session mode has room for {room}, the others for {}",
            clients.connected, BOUNCER_CLIENTS
        ));
        reasons.extend(idle(evidence));
        reasons.push("nothing was seen that needs a session of its own".to_owned());
        match mode {
            ConnectionMode::Statement => ConnectionMode::Statement,
            _ => ConnectionMode::Transaction,
        }
    } else {
        reasons.push(format!(
            "{} connected at most, and session mode has room for {room}: each can have a connection of its own, and \
             everything works there",
            counted(clients.connected, "client")
        ));
        ConnectionMode::Session
    };
    let transactions = most(evidence, |node| node.transactions);
    let recommended = match recommended {
        ConnectionMode::Statement if transactions > 0 => {
            reasons.push(format!(
                "transactions of several statements: {transactions}; statement mode refuses them"
            ));
            ConnectionMode::Transaction
        }
        other => other,
    };
    Advice {
        recommended: recommended.word(),
        reasons,
    }
}

/// The highest of a count on any node.
fn most(evidence: &Evidence, count: fn(&Sessions) -> u32) -> u32 {
    evidence
        .nodes
        .iter()
        .map(|node| count(&node.sessions))
        .max()
        .unwrap_or(0)
}

/// What only session mode allows.
fn needs(consistency: ReadConsistency, evidence: &Evidence) -> Vec<String> {
    let most = |count| most(evidence, count);
    let mut needs = Vec::new();
    if consistency == ReadConsistency::Session {
        needs.push("READ_CONSISTENCY=session holds in session mode only".to_owned());
    }
    let kinds = [
        (
            evidence.temporary_tables,
            "temporary tables in use",
            "another connection does not have them",
        ),
        (
            most(|node| node.advisory_locks),
            "idle sessions with an advisory lock",
            "another client could release it",
        ),
        (
            most(|node| node.listens),
            "sessions that LISTEN",
            "another client would get what they wait for",
        ),
        (
            most(|node| node.settings),
            "sessions with a SET of their own",
            "another client would inherit it",
        ),
        (
            most(|node| node.sql_prepared),
            "sessions with PREPARE and EXECUTE in SQL",
            "their next EXECUTE may fail",
        ),
        (
            most(|node| node.held_cursors),
            "sessions with a cursor WITH HOLD",
            "their next FETCH may fail",
        ),
    ];
    for (count, what, why) in kinds {
        if count > 0 {
            needs.push(format!("{what}: {count}; in the other modes {why}"));
        }
    }
    needs
}

/// How much could be shared.
fn idle(evidence: &Evidence) -> Option<String> {
    let node = &evidence.nodes.first()?.sessions;
    (node.idle > 0).then(|| {
        format!(
            "{} of {} were idle when looked at: they could share connections",
            node.idle,
            counted(node.pooled, "session")
        )
    })
}

fn counted(count: u32, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests;
