//! The extensions of a database.

use std::time::Duration;

use super::Session;
use crate::extensions::{self, Installed};
use crate::observed::Silence;

/// PostGIS takes seconds on a busy machine.
const CREATION: Duration = Duration::from_secs(120);

impl Session {
    /// What the session's database has, and what the image has newer.
    ///
    /// # Errors
    /// As [`Session::facts`].
    pub async fn installed_extensions(&mut self) -> Result<Installed, Silence> {
        let rows = self
            .query(
                "SELECT name, installed_version, default_version FROM pg_available_extensions \
                 WHERE installed_version IS NOT NULL",
            )
            .await?;
        let mut installed = Installed::default();
        for row in rows {
            let (Some(name), Some(version)) = (row.get(0), row.get(1)) else {
                continue;
            };
            installed.versions.insert(name.to_owned(), version.to_owned());
            if let Some(newer) = row.get(2).filter(|newer| *newer != version) {
                installed.updates.insert(name.to_owned(), newer.to_owned());
            }
        }
        Ok(installed)
    }

    /// The names of all that the server could create.
    ///
    /// # Errors
    /// As [`Session::facts`].
    pub async fn available_extensions(&mut self) -> Result<Vec<String>, Silence> {
        let rows = self.query("SELECT name FROM pg_available_extensions").await?;
        Ok(rows
            .iter()
            .filter_map(|row| row.get(0).map(str::to_owned))
            .collect())
    }

    /// Creates an extension and what it needs, unless it is there.
    ///
    /// # Errors
    /// What the server said.
    pub async fn create_extension(&mut self, name: &str) -> Result<(), Silence> {
        self.marked = true;
        let sql = format!(
            "SET client_min_messages = warning; {}",
            extensions::statement(name)
        );
        self.query_within(&sql, CREATION).await.map(drop)
    }
}
