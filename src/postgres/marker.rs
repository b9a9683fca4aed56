//! The row by which replication is proved.

use anyhow::{Context, Result};

use super::Session;
use crate::observed::Silence;

impl Session {
    /// Makes the place for the marker; only on the primary.
    pub async fn prepare_marker(&mut self) -> Result<(), Silence> {
        self.marked = true;
        self.query(
            "SET client_min_messages = warning; \
             CREATE SCHEMA IF NOT EXISTS pgcluster; \
             CREATE TABLE IF NOT EXISTS pgcluster.marker (\
               id boolean PRIMARY KEY DEFAULT true CHECK (id), value text NOT NULL, written_at timestamptz NOT NULL)",
        )
        .await
        .map(drop)
    }

    /// Writes the marker and says which node took it. `value` is letters and digits.
    pub async fn write_marker(&mut self, value: &str) -> Result<String, Silence> {
        self.marked = true;
        let sql = format!(
            "INSERT INTO pgcluster.marker (value, written_at) VALUES ('{value}', clock_timestamp()) \
             ON CONFLICT (id) DO UPDATE SET value = excluded.value, written_at = excluded.written_at \
             RETURNING current_setting('cluster_name')"
        );
        Ok(self.value(&sql).await?.unwrap_or_default())
    }

    /// Whether there is a place for the marker. To look for it there without one would leave an error in the server's log.
    pub async fn has_marker(&mut self) -> Result<bool, Silence> {
        let exists = "SELECT to_regclass('pgcluster.marker') IS NOT NULL";
        Ok(self.value(exists).await?.as_deref() == Some("t"))
    }

    /// The marker and when it was written, in seconds since 1970; `None` where nobody has written one yet.
    pub async fn read_marker(&mut self) -> Result<Option<(String, f64)>, Silence> {
        let sql = "SELECT value, extract(epoch FROM written_at) FROM pgcluster.marker";
        let rows = self.query(sql).await?;
        Ok(rows.first().and_then(|row| {
            let written_at = row.get(1)?.parse().ok()?;
            Some((row.get(0)?.to_owned(), written_at))
        }))
    }
}

/// A marker nobody has written before.
///
/// # Errors
/// The system gives no random numbers.
pub fn new_marker() -> Result<String> {
    use rand::TryRngCore;
    let mut bytes = [0; 8];
    rand::rngs::OsRng
        .try_fill_bytes(&mut bytes)
        .context("no random numbers")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
