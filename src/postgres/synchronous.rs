//! For which replicas commits wait.

use anyhow::Result;

use super::Session;
use crate::observed::Silence;

impl Session {
    /// Whom commits wait for by the configuration files, or by an ALTER SYSTEM that is not of the form in which the tool
    /// sets it: nothing where the list is the tool's own.
    pub async fn own_synchronous_names(&mut self) -> Result<String, Silence> {
        if !self.facts().await?.synchronous_names().is_empty() {
            return Ok(String::new());
        }
        let names = self.value("SHOW synchronous_standby_names").await?;
        Ok(names.unwrap_or_default())
    }

    /// Lets commits wait until each of `names` (node names) shows them, or for nobody. Only on the primary.
    ///
    /// It goes into `postgresql.auto.conf`, without a commit that would wait itself.
    pub async fn set_synchronous(&mut self, names: &[String]) -> Result<()> {
        let change = match names.len() {
            0 => "RESET synchronous_standby_names".to_owned(),
            count => format!(
                "SET synchronous_standby_names = 'FIRST {count} ({})'",
                names.join(", ")
            ),
        };
        self.command(&format!("ALTER SYSTEM {change}")).await?;
        self.reload().await
    }
}
