//! What a PostgreSQL server says of itself.

use super::Session;
use crate::observed::{NodeFacts, Silence};

/// Everything about one server in one round trip. It is asked over and over and by new sessions, for which planning
/// is most of the work: so the functions are read, once each, and not the views over them with their joins.
const FACTS: &str = "
WITH
  activity AS MATERIALIZED (
    SELECT pid, usesysid, application_name, query, query_start, wait_event, backend_type FROM pg_stat_get_activity(NULL)),
  settings AS MATERIALIZED (SELECT name, setting, sourcefile, pending_restart FROM pg_show_all_settings()),
  files AS MATERIALIZED (SELECT sourcefile, sourceline, seqno, name, setting, error FROM pg_show_all_file_settings()),
  receiver AS MATERIALIZED (
    SELECT status, slot_name, received_tli FROM pg_stat_get_wal_receiver() WHERE pid IS NOT NULL),
  here AS MATERIALIZED (
    SELECT recovery, CASE WHEN recovery THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END AS lsn
    FROM pg_is_in_recovery() AS recovery)
SELECT json_build_object(
  'in_recovery', recovery,
  'system_id', (SELECT system_identifier::text FROM pg_control_system()),
  'timeline', CASE WHEN recovery
      THEN coalesce((SELECT received_tli FROM receiver), (SELECT timeline_id FROM pg_control_checkpoint()))
      ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END,
  'replayed', coalesce(pg_last_wal_replay_lsn() - '0/0'::pg_lsn, 0),
  'oldest_wal', CASE WHEN recovery THEN 0 ELSE (
      SELECT coalesce(min(('x' || substr(name, 9, 8))::bit(32)::bigint * 4294967296
             + ('x' || substr(name, 17, 8))::bit(32)::bigint
               * pg_size_bytes(current_setting('wal_segment_size'))), 0)
      FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$') END,
  'marked', to_regclass('pgcluster.marker') IS NOT NULL,
  'started_at', extract(epoch FROM pg_postmaster_start_time()),
  'connections', (SELECT count(*) FROM activity WHERE backend_type = 'client backend'),
  'max_connections', current_setting('max_connections')::int,
  'config_hash', current_setting('pgcluster.config_hash', true),
  'certificate', nullif(current_setting('pgcluster.certificate', true), ''),
  'config_errors', (SELECT coalesce(json_agg(format('%s line %s: %s: %s', regexp_replace(sourcefile, '^/node/', ''),
        sourceline, coalesce(name, 'syntax'), error)), '[]')
      FROM files f WHERE error IS NOT NULL
        -- What a restart applies is no error, and which that is shows once the files have been read.
        AND (error <> 'setting could not be applied'
          OR NOT EXISTS (SELECT FROM settings s WHERE s.name = f.name AND s.pending_restart)
          AND current_setting('pgcluster.config_hash', true)
            = (SELECT setting FROM files WHERE name = 'pgcluster.config_hash'))),
  'pending_restart', (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM settings WHERE pending_restart),
  'lowers_hot_standby', EXISTS (
      SELECT FROM settings s WHERE s.pending_restart AND s.name IN ('max_connections', 'max_worker_processes',
        'max_wal_senders', 'max_prepared_transactions', 'max_locks_per_transaction')
      AND (SELECT f.setting::bigint FROM files f WHERE f.name = s.name
           ORDER BY f.seqno DESC LIMIT 1) < s.setting::bigint),
  'receiver', (SELECT json_build_object('status', status, 'slot', slot_name) FROM receiver),
  -- A value from elsewhere than ALTER SYSTEM is the user's own.
  'synchronous', (SELECT setting FROM settings
      WHERE name = 'synchronous_standby_names' AND sourcefile LIKE '%postgresql.auto.conf'),
  'waiting_commits', (SELECT count(*) FROM activity WHERE wait_event = 'SyncRep'),
  'senders', (SELECT coalesce(json_agg(json_build_object(
        'name', application_name, 'state', w.state,
        'behind', greatest(0, pg_wal_lsn_diff(lsn, replay_lsn)),
        'lag_ms', extract(epoch FROM replay_lag) * 1000)), '[]')
      FROM pg_stat_get_wal_senders() w JOIN activity USING (pid)),
  'slots', (SELECT coalesce(json_agg(json_build_object(
        'name', slot_name, 'active', active, 'wal_status', wal_status,
        'retained', pg_wal_lsn_diff(lsn, restart_lsn)::bigint)), '[]')
      FROM pg_get_replication_slots() WHERE slot_type = 'physical' AND NOT temporary),
  'base_backups', (SELECT coalesce(json_agg(json_build_object(
        'name', replace(application_name, 'clone:', ''), 'phase', phase,
        'done', backup_streamed, 'total', backup_total)), '[]')
      FROM pg_stat_progress_basebackup JOIN activity USING (pid)),
  -- What the watcher beside the pool wrote into the query that it asks again and again; one that is connecting has asked nothing.
  'watcher', (SELECT json_build_object('age', extract(epoch FROM clock_timestamp() - query_start),
        'role', pg_get_userbyid(usesysid), 'query', query)
      FROM activity WHERE application_name = 'pool-watch' AND query_start IS NOT NULL ORDER BY query_start DESC LIMIT 1))::text
FROM here";

impl Session {
    /// What a PostgreSQL server says of itself.
    ///
    /// # Errors
    /// Why it did not answer within its patience.
    pub async fn facts(&mut self) -> Result<NodeFacts, Silence> {
        let rows = self.query(FACTS).await?;
        let text = rows.first().and_then(|row| row.get(0)).unwrap_or_default();
        serde_json::from_str(text).map_err(|error| Silence {
            reason: format!("an answer that makes no sense: {error}"),
            refused: false,
        })
    }
}
