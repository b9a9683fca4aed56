//! A session with a server inside its container, which may tell by the way what it does.

use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::remarks::Attentive;
use super::{Client, Config, NoTls, SimpleQueryMessage};
use crate::process::Tunnel;
use crate::route::Remark;
use crate::settings::Login;

/// Rows as text; `None` is NULL.
pub type Rows = Vec<Vec<Option<String>>>;

/// A session through a tunnel, so that it is with Pgpool-II also where its clients meet another program first.
pub struct InnerSession {
    client: Client,
    remarks: UnboundedReceiver<Remark>,
    patience: Duration,
}

/// Why a statement was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// SQLSTATE; empty where no server said it.
    pub code: String,
    pub message: String,
}

impl InnerSession {
    /// Logs in. No statement takes longer than `patience`.
    ///
    /// # Errors
    /// What the server says, or that it says nothing.
    pub async fn open(
        tunnel: Tunnel,
        login: &Login,
        database: &str,
        patience: Duration,
    ) -> Result<Self, Refusal> {
        let mut config = Config::new();
        config
            .user(&login.user)
            .password(login.password.expose_secret())
            .dbname(database)
            .application_name("pgcluster");
        let Tunnel { process, stream } = tunnel;
        let (sender, remarks) = unbounded_channel();
        let stream = Attentive::new(stream, sender);
        let (client, connection) = bounded(patience, config.connect_raw(stream, NoTls)).await?;
        tokio::spawn(async move {
            // Its end is the tunnel's.
            let _process = process;
            let _ = connection.await;
        });
        Ok(InnerSession {
            client,
            remarks,
            patience,
        })
    }

    /// Makes Pgpool-II tell this session what it does, and nobody else: neither its log nor another session.
    pub async fn listen(&mut self, level: &str) -> Result<(), Refusal> {
        // The log would show every statement, and the passwords in them. All of it ends with the session.
        self.rows("PGPOOL SET log_min_messages = 'fatal'").await?;
        self.rows("PGPOOL SET log_per_node_statement = on").await?;
        self.rows(&format!("PGPOOL SET client_min_messages = '{level}'"))
            .await?;
        self.remarks().await.map(drop)
    }

    /// What Pgpool-II has told since the last call.
    pub async fn remarks(&mut self) -> Result<Vec<Remark>, Refusal> {
        // Some of it follows the result. Pgpool-II answers this one itself.
        self.rows("PGPOOL SHOW client_min_messages").await?;
        Ok(std::iter::from_fn(|| self.remarks.try_recv().ok()).collect())
    }

    /// Runs a statement, or several, by the simple protocol.
    pub async fn rows(&mut self, sql: &str) -> Result<Rows, Refusal> {
        let messages = bounded(self.patience, self.client.simple_query(sql)).await?;
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => {
                let cells = (0..row.len()).map(|i| row.get(i).map(str::to_owned));
                Some(cells.collect())
            }
            _ => None,
        };
        Ok(messages.into_iter().filter_map(row).collect())
    }

    /// Has a statement parsed, and not executed. Several in one are refused.
    pub async fn prepare(&mut self, sql: &str) -> Result<(), Refusal> {
        bounded(self.patience, self.client.prepare(sql)).await.map(drop)
    }

    /// Executes one statement; several in one are refused.
    pub async fn execute(&mut self, sql: &str) -> Result<(), Refusal> {
        bounded(self.patience, self.client.execute(sql, &[]))
            .await
            .map(drop)
    }
}

async fn bounded<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, super::Error>>,
) -> Result<T, Refusal> {
    match tokio::time::timeout(patience, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Refusal {
            code: error.code().map_or("", |state| state.code()).to_owned(),
            message: super::silence(&error).reason,
        }),
        Err(_) => Err(Refusal {
            code: String::new(),
            message: format!("no answer within {} s", patience.as_secs()),
        }),
    }
}
