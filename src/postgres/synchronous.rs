//! For which replicas commits wait.

use anyhow::Result;

use super::Session;

impl Session {
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
