//! The settings that a running server cannot change.

use super::Session;
use crate::observed::{Fixed, Silence};

/// Those that come from the command line or from `ALTER SYSTEM` are left out: no configuration file changes them.
/// `wal_buffers` is, too, as the server replaces its -1 by what it chose.
const FIXED: &str = "
SELECT coalesce(json_agg(json_build_object('name', name, 'value', setting, 'unit', unit, 'kind', vartype,
         'default', boot_val, 'from_file', source = 'configuration file') ORDER BY name), '[]')::text
FROM pg_settings
WHERE context = 'postmaster' AND source IN ('default', 'configuration file') AND name <> 'wal_buffers'
  AND coalesce(sourcefile, '') NOT LIKE '%postgresql.auto.conf'";

impl Session {
    /// The settings that only a restart changes, as they are.
    ///
    /// # Errors
    /// As [`Session::facts`].
    pub async fn fixed_settings(&mut self) -> Result<Vec<Fixed>, Silence> {
        let text = self.value(FIXED).await?.unwrap_or_default();
        serde_json::from_str(&text).map_err(|error| Silence {
            reason: format!("an answer that makes no sense: {error}"),
            refused: false,
        })
    }
}
