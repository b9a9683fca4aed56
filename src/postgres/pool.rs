//! What Pgpool-II says of its nodes and of the sessions that it has sent to them.

use std::collections::BTreeMap;

use super::{Session, SimpleQueryRow};
use crate::observed::{Backend, Silence};

impl Session {
    /// The nodes as Pgpool sees them; only for a session with Pgpool.
    ///
    /// # Errors
    /// As [`Session::facts`].
    pub async fn backends(&mut self) -> Result<BTreeMap<u32, Backend>, Silence> {
        let rows = self.query("SHOW POOL_NODES").await?;
        Ok(rows.iter().filter_map(backend).collect())
    }

    /// Whether any of these nodes may be given a new session to read for.
    pub async fn weighs(&mut self, ids: &[u32]) -> Result<bool, Silence> {
        let backends = self.backends().await?;
        let weight = |id: &u32| {
            backends
                .get(id)
                .and_then(|backend| backend.weight.parse::<f64>().ok())
        };
        Ok(ids.iter().any(|id| weight(id).is_some_and(|weight| weight > 0.0)))
    }

    /// How many sessions of clients that are connected read from these nodes: detaching one ends them.
    pub async fn assigned(&mut self, ids: &[u32]) -> Result<usize, Silence> {
        let rows = self.query("SHOW POOL_POOLS").await?;
        let is_one = |row: &&SimpleQueryRow| {
            let is = |column: &str, value: &str| row.try_get(column).ok().flatten() == Some(value);
            let id = row.try_get("backend_id").ok().flatten();
            let id = id.and_then(|id| id.parse::<u32>().ok());
            is("pool_connected", "1")
                && is("load_balance_node", "1")
                && id.is_some_and(|id| ids.contains(&id))
        };
        Ok(rows.iter().filter(is_one).count())
    }
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
            weight: text("lb_weight"),
            selects: text("select_cnt").parse().unwrap_or(0),
            delay: text("replication_delay").parse().unwrap_or(0),
        },
    ))
}
