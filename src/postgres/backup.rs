//! The low-level backup: a copy of the data directory that is made while the server writes.

use super::Session;
use crate::error::Problem;

impl Session {
    /// Begins it, with a checkpoint at once. It ends with this session, or by [`Session::stop_backup`].
    ///
    /// # Errors
    /// What the server says, or that it took longer than a minute.
    pub async fn start_backup(&mut self) -> Result<(), Problem> {
        self.order("SELECT pg_backup_start('pgcluster clone', fast => true)")
            .await
            .map(drop)
    }

    /// Ends it; gives back the text of the copy's `backup_label`.
    ///
    /// # Errors
    /// As [`Session::start_backup`]; the session was lost meanwhile, and the copy is of no use.
    pub async fn stop_backup(&mut self) -> Result<String, Problem> {
        let rows = self
            .order("SELECT labelfile FROM pg_backup_stop(wait_for_archive => false)")
            .await?;
        let label = rows.first().and_then(|row| row.get(0)).unwrap_or_default();
        Ok(label.trim_end().to_owned())
    }

    /// Whether it has data outside its data directory.
    ///
    /// # Errors
    /// As [`Session::start_backup`].
    pub async fn has_tablespaces(&mut self) -> Result<bool, Problem> {
        let rows = self
            .order("SELECT FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')")
            .await?;
        Ok(!rows.is_empty())
    }
}
