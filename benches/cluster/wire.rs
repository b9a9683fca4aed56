//! Asking servers: kept connections, simple queries, every answer bounded.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// How long an answer may take before the connection is given up.
const PATIENCE: Duration = Duration::from_secs(5);

pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().expect("a runtime"))
}

/// A connection that is made when it is needed, and again after a failure.
pub struct Session {
    config: Config,
    client: Option<Client>,
}

impl Session {
    /// As the superuser of every contestant, in its database.
    pub fn new(port: u16) -> Session {
        Session::to(port, "postgresdb")
    }

    pub fn to(port: u16, database: &str) -> Session {
        let mut config = Config::new();
        config.host("127.0.0.1").port(port).dbname(database);
        config.user("postgresadmin").password("admin123");
        config.connect_timeout(PATIENCE);
        Session { config, client: None }
    }

    /// The rows of the answer, each value as text.
    pub fn ask(&mut self, sql: &str) -> Result<Vec<Vec<String>>> {
        let answer = runtime().block_on(async { tokio::time::timeout(PATIENCE, self.rows(sql)).await });
        let answer = answer.context("no answer").flatten();
        if answer.is_err() {
            self.client = None;
        }
        answer
    }

    pub fn value(&mut self, sql: &str) -> Result<String> {
        let rows = self.ask(sql)?;
        rows.into_iter().flatten().next().context("no row")
    }

    async fn rows(&mut self, sql: &str) -> Result<Vec<Vec<String>>> {
        let client = match self.client.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                tokio::spawn(connection);
                client
            }
        };
        let messages = self.client.insert(client).simple_query(sql).await?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                let value = |i| row.get(i).unwrap_or_default().to_owned();
                Some((0..row.len()).map(value).collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }

    /// The application names of the replicas that replay. A base backup in progress `streams` too, but replays nothing.
    pub fn replaying(&mut self) -> Vec<String> {
        let rows = self.ask(
            "SELECT application_name FROM pg_stat_replication \
             WHERE state = 'streaming' AND replay_lsn IS NOT NULL",
        );
        rows.unwrap_or_default().into_iter().flatten().collect()
    }

    /// How many nodes the pool has up; only for a session with Pgpool-II.
    pub fn pool_nodes_up(&mut self) -> usize {
        let rows = self.ask("SHOW POOL_NODES").unwrap_or_default();
        // `waiting`: the pool has it, and no session has come to it yet.
        let is_up = |row: &&Vec<String>| {
            row.get(3)
                .is_some_and(|status| ["up", "waiting"].contains(&status.as_str()))
        };
        rows.iter().filter(is_up).count()
    }
}
