//! What a PostgreSQL server says of itself.

mod rows;

use super::{Session, SimpleQueryRow};
use crate::observed::{NodeFacts, Silence};

use rows::Line;
pub use rows::read as read_facts;

/// Asked of every server in one round trip, over and over and by new sessions, which look up each function, operator and
/// type anew: so it is plain statements over functions, whose rows are put together here, and not one statement for all.
/// What a row is about, its columns tell.
const OF_EVERY_SERVER: &str = "
SELECT pg_is_in_recovery() AS in_recovery, pg_last_wal_replay_lsn() AS replayed,
  to_regclass('pgcluster.marker') AS marker, extract(epoch FROM pg_postmaster_start_time()) AS started_at,
  current_setting('max_connections') AS max_connections, current_setting('pgcluster.config_hash', true) AS config_hash,
  current_setting('pgcluster.certificate', true) AS certificate;
SELECT system_identifier FROM pg_control_system();
SELECT timeline_id FROM pg_control_checkpoint();
SELECT count(*) AS connections FROM pg_stat_get_activity(NULL) WHERE backend_type = 'client backend';
SELECT status AS receiver, slot_name, received_tli FROM pg_stat_get_wal_receiver() WHERE pid IS NOT NULL;
-- The list of settings is long; before the first reload nothing waits.
SELECT name AS pending, setting FROM pg_show_all_settings()
  WHERE pending_restart AND pg_conf_load_time() > pg_postmaster_start_time();
SELECT sourcefile, sourceline, name AS in_file, setting, error FROM pg_show_all_file_settings()
  WHERE error IS NOT NULL OR name IN ('pgcluster.config_hash', 'max_connections', 'max_worker_processes',
    'max_wal_senders', 'max_prepared_transactions', 'max_locks_per_transaction')";

/// The same of a primary. What the watcher beside the pool thinks stands in the query that it asks again and again; one
/// that is connecting has asked nothing. A `synchronous_standby_names` from elsewhere than ALTER SYSTEM is the user's own.
const OF_A_PRIMARY: &str = "
SELECT pg_current_wal_lsn() AS written, left(pg_walfile_name(pg_current_wal_lsn()), 8) AS timeline,
  pg_size_bytes(current_setting('wal_segment_size')) AS segment_size;
SELECT min(substr(name, 9)) AS oldest_segment FROM pg_ls_waldir() WHERE length(name) = 24;
SELECT pid AS process, application_name, wait_event, pg_get_userbyid(usesysid) AS role,
  extract(epoch FROM clock_timestamp() - query_start) AS age,
  CASE WHEN application_name = 'pool-watch' THEN query END AS query
  FROM pg_stat_get_activity(NULL)
  WHERE backend_type = 'walsender' OR application_name = 'pool-watch' OR wait_event = 'SyncRep';
SELECT pid AS sender, state, replay_lsn, extract(epoch FROM replay_lag) * 1000 AS lag_ms FROM pg_stat_get_wal_senders();
SELECT slot_name AS slot, active, wal_status, restart_lsn FROM pg_get_replication_slots()
  WHERE slot_type = 'physical' AND NOT temporary;
SELECT pid AS backup, param2 AS total, param3 AS done FROM pg_stat_get_progress_info('BASEBACKUP');
SELECT setting AS synchronous FROM pg_show_all_settings()
  WHERE current_setting('synchronous_standby_names') <> ''
    AND name = 'synchronous_standby_names' AND sourcefile LIKE '%postgresql.auto.conf'";

impl Session {
    /// What a PostgreSQL server says of itself.
    ///
    /// # Errors
    /// Why it did not answer within its patience.
    pub async fn facts(&mut self) -> Result<NodeFacts, Silence> {
        let mut lines = self.lines_of(OF_EVERY_SERVER).await?;
        if !read_facts(&lines).in_recovery {
            lines.extend(self.lines_of(OF_A_PRIMARY).await?);
        }
        Ok(read_facts(&lines))
    }

    async fn lines_of(&mut self, sql: &str) -> Result<Vec<Line>, Silence> {
        let rows = self.query(sql).await?;
        let line = |row: &SimpleQueryRow| {
            let columns = row.columns().iter().enumerate();
            let cells =
                columns.filter_map(|(i, column)| Some((column.name().to_owned(), row.get(i)?.to_owned())));
            cells.collect()
        };
        Ok(rows.iter().map(line).collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::render::HOT_STANDBY;

    #[test]
    fn what_must_not_be_lower_on_a_standby_is_looked_up_in_the_files() {
        for (name, _) in HOT_STANDBY {
            assert!(super::OF_EVERY_SERVER.contains(&format!("'{name}'")), "{name}");
        }
    }
}
