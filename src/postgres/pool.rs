//! What Pgpool-II says of its nodes and of the sessions that it has sent to them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Session, SimpleQueryRow};
use crate::observed::{Backend, Silence};

const TERMINATE_POLL: Duration = Duration::from_millis(2);
const TERMINATE_LOOKS: u32 = 100;

/// Pgpool-II's processes, and of each the nodes to which it has a connection, with the server's process there.
pub type Holders = BTreeMap<u32, BTreeMap<u32, u32>>;

impl Session {
    /// The nodes as Pgpool has them; only for a session with Pgpool.
    ///
    /// From its memory: for `SHOW POOL_NODES` it logs in to every node, one after the other.
    ///
    /// # Errors
    /// As [`Session::facts`].
    pub async fn backends(&mut self) -> Result<BTreeMap<u32, Backend>, Silence> {
        let rows = self.query("SHOW POOL_BACKEND_STATS").await?;
        Ok(rows.iter().filter_map(backend).collect())
    }

    /// Bytes that each standby in the pool is behind the primary, as Pgpool last measured; only for a session with it.
    ///
    /// # Errors
    /// As [`Session::facts`].
    pub async fn pool_delays(&mut self) -> Result<Vec<u64>, Silence> {
        let rows = self.query("SHOW POOL_NODES").await?;
        let delay = |row: &SimpleQueryRow| {
            let used = backend(row)?.1;
            let counts = used.role == "standby" && used.is_up();
            counts
                .then(|| row.get("replication_delay")?.parse().ok())
                .flatten()
        };
        Ok(rows.iter().filter_map(delay).collect())
    }

    /// Whether any of these nodes may be given a new session to read for.
    pub async fn weighs(&mut self, ids: &[u32]) -> Result<bool, Silence> {
        // The same numbers as in `SHOW POOL_NODES`, for which it logs in to every node.
        let rows = self.query("PGPOOL SHOW backend").await?;
        let weighs = |row: &SimpleQueryRow| {
            let id = row.get(0)?.strip_prefix("backend_weight")?.parse().ok()?;
            let weight: f64 = row.get(1)?.parse().ok()?;
            Some(ids.contains(&id) && weight > 0.0)
        };
        Ok(rows.iter().filter_map(weighs).any(|weighs| weighs))
    }

    /// The processes that serve a client and have connections to these nodes, and of each the nodes, with the server's
    /// process there.
    pub async fn holders(&mut self, ids: &[u32]) -> Result<Holders, Silence> {
        let mut holders = Holders::new();
        for one in self.connected().await? {
            if ids.contains(&one.backend) && one.server > 0 {
                holders
                    .entry(one.process)
                    .or_default()
                    .insert(one.backend, one.server);
            }
        }
        Ok(holders)
    }

    /// Whether a session of this server has answered (since that time, seconds, UNIX epoch; with
    /// `track_activities = off` it does not know when) and waits for more, which has not come: it sleeps, and what
    /// comes would wake it up. So is one that is gone.
    pub async fn is_quiet(&mut self, pid: u32, since: f64) -> Result<bool, Silence> {
        let busy = self
            .query(&format!(
                "SELECT 1 FROM pg_stat_get_activity({pid})
                 WHERE (wait_event = 'ClientRead' AND (state = 'disabled' OR extract(epoch FROM state_change) >= {since})
                   AND pg_read_file('/proc/{pid}/stat', true) ~ '\\) S ') IS NOT TRUE"
            ))
            .await?;
        Ok(busy.is_empty())
    }

    /// Ends a session of this server, and waits until it has said so to its client, a fifth of a second at most. Tells
    /// whether it is gone.
    pub async fn terminate(&mut self, pid: u32) -> Result<bool, Silence> {
        self.query(&format!("SELECT pg_terminate_backend({pid})")).await?;
        // The server's own wait looks each 100 ms.
        for _ in 0..TERMINATE_LOOKS {
            let there = format!("SELECT 1 FROM pg_stat_get_activity({pid})");
            if self.query(&there).await?.is_empty() {
                return Ok(true);
            }
            tokio::time::sleep(TERMINATE_POLL).await;
        }
        Ok(false)
    }

    /// How many sessions of clients that are connected read from these nodes: detaching one ends them.
    pub async fn assigned(&mut self, ids: &[u32]) -> Result<usize, Silence> {
        let connected = self.connected().await?;
        let is_one = |one: &&Connected| one.is_read && ids.contains(&one.backend);
        Ok(connected.iter().filter(is_one).count())
    }

    async fn connected(&mut self) -> Result<Vec<Connected>, Silence> {
        let rows = self.query("SHOW POOL_POOLS").await?;
        let connected = |row: &SimpleQueryRow| {
            let number = |column: &str| row.try_get(column).ok()??.parse::<u32>().ok();
            (number("pool_connected")? == 1).then_some(Connected {
                process: number("pool_pid")?,
                backend: number("backend_id")?,
                server: number("pool_backendpid")?,
                is_read: number("load_balance_node")? == 1,
            })
        };
        Ok(rows.iter().filter_map(connected).collect())
    }
}

/// What one of Pgpool-II's processes that serves a client has with a node.
struct Connected {
    process: u32,
    backend: u32,
    /// The server's process; 0 where there is no connection.
    server: u32,
    /// The client reads from there.
    is_read: bool,
}

fn backend(row: &SimpleQueryRow) -> Option<(u32, Backend)> {
    let id = row.get("node_id")?.parse().ok()?;
    let text = |column: &str| row.try_get(column).ok().flatten().unwrap_or_default().to_owned();
    Some((
        id,
        Backend {
            id,
            status: text("status"),
            role: text("role"),
            selects: text("select_cnt").parse().ok(),
        },
    ))
}
