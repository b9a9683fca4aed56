//! What only a look for hidden trouble asks a server.

use super::Session;
use crate::doctor::NodeFacts;
use crate::observed::Silence;

/// Nothing that reads a table of the user's, or every file of a large database.
const QUESTIONS: &str = "
SELECT json_build_object(
  'clock', extract(epoch FROM clock_timestamp()),
  'in_recovery', pg_is_in_recovery(),
  'collations', (SELECT coalesce(json_agg(text ORDER BY text), '[]') FROM (
      SELECT format('database %s was made with version %s of its collation, the image has %s', datname, datcollversion,
          pg_database_collation_actual_version(oid))
      FROM pg_database WHERE datcollversion <> pg_database_collation_actual_version(oid)
      UNION ALL
      SELECT format('collation %s was made with version %s, the image has %s', collname, collversion,
          pg_collation_actual_version(oid))
      FROM pg_collation WHERE collversion <> pg_collation_actual_version(oid)) AS found (text)),
  'undumped', (SELECT coalesce(json_agg(extname ORDER BY extname), '[]') FROM pg_extension
      WHERE oid < 16384 AND extname <> 'plpgsql'),
  'checksum_failures', CASE WHEN current_setting('data_checksums')::bool
      THEN (SELECT coalesce(sum(checksum_failures), 0) FROM pg_stat_database) END,
  'off', (SELECT coalesce(json_agg(name), '[]') FROM pg_settings WHERE setting = 'off'
      AND name IN ('fsync', 'full_page_writes', 'autovacuum', 'track_counts', 'synchronous_commit')),
  'pending_restart', (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM pg_settings WHERE pending_restart),
  'slots', (SELECT coalesce(json_agg(json_build_object('name', slot_name, 'active', active, 'wal_status', wal_status,
        'retained', coalesce(pg_wal_lsn_diff(here.lsn, restart_lsn), 0)::bigint)), '[]')
      FROM pg_replication_slots WHERE NOT temporary),
  'slot_limit', (SELECT nullif(setting, '-1')::bigint << 20 FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
  'wal_limit', pg_size_bytes(current_setting('max_wal_size')),
  'wal', (SELECT coalesce(sum(size), 0) FROM pg_ls_waldir()),
  'shared_buffers', pg_size_bytes(current_setting('shared_buffers')),
  'transactions', (SELECT coalesce(json_agg(json_build_object('pid', pid, 'role', usename, 'state', state,
        'seconds', extract(epoch FROM now() - xact_start))), '[]')
      FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start IS NOT NULL),
  'prepared', (SELECT coalesce(json_agg(json_build_object('gid', gid, 'database', database,
        'seconds', extract(epoch FROM now() - prepared))), '[]') FROM pg_prepared_xacts),
  'xid_age', (SELECT max(age(datfrozenxid)) FROM pg_database),
  'xid_limit', current_setting('autovacuum_freeze_max_age')::bigint,
  'multixact_age', (SELECT max(mxid_age(datminmxid)) FROM pg_database),
  'multixact_limit', current_setting('autovacuum_multixact_freeze_max_age')::bigint,
  'connections', (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
  'max_connections', current_setting('max_connections')::int,
  'archive_failures', (SELECT failed_count FROM pg_stat_archiver
      WHERE last_failed_time > coalesce(last_archived_time, '-infinity')))::text
FROM (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END) AS here (lsn)";

impl Session {
    /// What may be wrong without anyone noticing.
    ///
    /// # Errors
    /// Why the server did not answer within its patience.
    pub async fn trouble(&mut self) -> Result<NodeFacts, Silence> {
        let text = self.value(QUESTIONS).await?.unwrap_or_default();
        serde_json::from_str(&text).map_err(|error| Silence {
            reason: format!("an answer that makes no sense: {error}"),
            refused: false,
        })
    }

    /// Bytes of all databases.
    ///
    /// # Errors
    /// As [`Session::trouble`]; with very many tables it takes longer.
    pub async fn data_size(&mut self) -> Result<u64, Silence> {
        let text = self
            .value("SELECT sum(pg_database_size(oid)) FROM pg_database")
            .await?;
        Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
    }
}
