//! What `doctor` asks each server for. Data only.

use serde::Deserialize;

/// Answers of one server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeFacts {
    /// Seconds since 1970.
    pub clock: f64,
    /// Seconds that the clock is ahead of this machine's at least; filled in by who asked.
    pub skew: f64,
    pub in_recovery: bool,
    /// A sentence each.
    pub collations: Vec<String>,
    /// Extensions that pg_dump takes for PostgreSQL's own.
    pub undumped: Vec<String>,
    /// Nothing where checksums are off.
    pub checksum_failures: Option<i64>,
    /// Those of a few settings that are off.
    pub off: Vec<String>,
    pub pending_restart: Vec<String>,
    pub slots: Vec<Slot>,
    /// Bytes; nothing: without limit.
    pub slot_limit: Option<i64>,
    /// Bytes of WAL between two checkpoints.
    pub wal_limit: i64,
    /// Bytes of WAL there are.
    pub wal: i64,
    pub shared_buffers: i64,
    pub transactions: Vec<Transaction>,
    pub prepared: Vec<Prepared>,
    pub xid_age: i64,
    pub xid_limit: i64,
    pub multixact_age: i64,
    pub multixact_limit: i64,
    pub connections: u32,
    pub max_connections: u32,
    /// Nothing where archiving works, or there is none.
    pub archive_failures: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Slot {
    pub name: String,
    pub active: bool,
    pub wal_status: Option<String>,
    pub retained: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Transaction {
    pub pid: i64,
    pub role: Option<String>,
    pub state: Option<String>,
    pub seconds: f64,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Prepared {
    pub gid: String,
    pub database: String,
    pub seconds: f64,
}
