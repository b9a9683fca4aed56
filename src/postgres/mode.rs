//! What the sessions of a server do that only some connection modes allow.

use super::Session;
use crate::advice::Sessions;
use crate::observed::Silence;

/// Of another session PostgreSQL shows its state, its locks and its last statement; the settings, channels, cursors
/// and prepared statements of a session are its own secret. So the last statement has to speak for them.
///
/// Sessions from the address of this one come straight from this machine: the connection mode is nothing to them.
/// One whose last statement is `DISCARD ALL`, or which never had one, the pool keeps for the next client.
const SESSIONS: &str = r"
WITH sessions AS MATERIALIZED (
  SELECT pid, usename, application_name, datname, state, xact_start, query_start, state_change,
    client_addr IS NOT DISTINCT FROM inet_client_addr() AS direct,
    regexp_replace(query, '^(\s|/\*.*?\*/|--[^\n]*\n)*', '') AS statement
  FROM pg_stat_activity
  WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> 'pgcluster'
    AND usename <> '{checks}'
), pooled AS MATERIALIZED (
  SELECT * FROM sessions WHERE NOT direct AND statement NOT IN ('DISCARD ALL', '')
)
SELECT json_build_object(
  'connections', (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
  'max_connections', current_setting('max_connections')::int,
  'direct', (SELECT count(*) FROM sessions WHERE direct),
  'pooled', (SELECT count(*) FROM pooled),
  'idle', (SELECT count(*) FROM pooled WHERE state = 'idle'),
  'applications', (SELECT coalesce(json_agg(application ORDER BY application.sessions DESC), '[]') FROM (
      SELECT application_name AS name, usename AS role, count(*) AS sessions,
        count(*) FILTER (WHERE state = 'idle') AS idle,
        count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS in_transaction,
        coalesce(max(extract(epoch FROM clock_timestamp() - state_change)) FILTER (WHERE state = 'idle'), 0)::int
          AS longest_idle
      FROM pooled GROUP BY 1, 2) AS application),
  'databases', (SELECT coalesce(json_agg(DISTINCT datname), '[]') FROM pooled),
  'advisory_locks', (SELECT count(DISTINCT pid) FROM pooled JOIN pg_locks l USING (pid)
      WHERE l.locktype = 'advisory' AND l.granted AND state = 'idle'),
  'listens', (SELECT count(*) FROM pooled WHERE statement ~* '^listen\s'),
  'settings', (SELECT count(*) FROM pooled WHERE
      statement ~* '^set\s+(session\s+)?(?!local\M|transaction\M|constraints\M|names\M|time\s+zone\M|application_name\M|client_encoding\M|datestyle\M|timezone\M|intervalstyle\M|standard_conforming_strings\M)\w'
      AND statement !~* '^set\s+\w+=''[^'']*'';'
      OR statement ~* '^select\s+(pg_catalog\.)?set_config\s*\([^)]*,\s*(false|''f'')\s*\)'),
  'sql_prepared', (SELECT count(*) FROM pooled WHERE statement ~* '^(prepare\s+(?!transaction\M)|execute\s|deallocate\s)'),
  'held_cursors', (SELECT count(*) FROM pooled WHERE statement ~* '^declare\s.*\mwith\s+hold\M'),
  'transactions', (SELECT count(*) FROM pooled
      WHERE state LIKE 'idle in transaction%' OR state = 'active' AND xact_start < query_start),
  'prepared_transactions', (SELECT count(*) FROM pg_prepared_xacts))::text";

/// Temporary tables of sessions that live, in the database of the question. One that crashed leaves its own behind.
const TEMPORARY: &str = "
SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relpersistence = 't' AND relkind IN ('r', 'S') AND nspname ~ '^pg_temp_[0-9]+$'
  AND pg_stat_get_backend_pid(substr(nspname, 9)::int) IN (SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND client_addr IS DISTINCT FROM inet_client_addr())";

impl Session {
    /// What the sessions of a PostgreSQL server do, but for those of the role `checks`.
    ///
    /// # Errors
    /// As [`Session::facts`].
    pub async fn sessions(&mut self, checks: &str) -> Result<Sessions, Silence> {
        let sql = SESSIONS.replace("{checks}", &checks.replace('\'', "''"));
        let text = self.value(&sql).await?.unwrap_or_default();
        serde_json::from_str(&text).map_err(|error| Silence {
            reason: format!("an answer that makes no sense: {error}"),
            refused: false,
        })
    }

    /// How many temporary tables sessions have in the database of this one, which came through the pool.
    ///
    /// # Errors
    /// As [`Session::facts`].
    pub async fn temporary_tables(&mut self) -> Result<u32, Silence> {
        let count = self.value(TEMPORARY).await?;
        Ok(count.and_then(|count| count.parse().ok()).unwrap_or(0))
    }

    /// Processes of Pgpool-II that serve a client, this one left out; and how many there are.
    ///
    /// # Errors
    /// As [`Session::facts`].
    pub async fn pool_processes(&mut self) -> Result<(u32, u32), Silence> {
        let rows = self.query("SHOW POOL_PROCESSES").await?;
        let serving = rows
            .iter()
            .filter(|row| !matches!(row.try_get("status"), Ok(Some("Wait for connection"))))
            .count();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Ok((count(serving.saturating_sub(1)), count(rows.len())))
    }
}
