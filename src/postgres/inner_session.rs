//! A session with a server inside its container, which may tell by the way what it does.

use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;

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
    /// Whether an error came, and not yet the end of the answer.
    erring: watch::Receiver<bool>,
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
        let Tunnel { process, stream } = tunnel;
        // Its end is the tunnel's.
        Self::over(stream, process, login, database, patience).await
    }

    /// Logs in over a stream, and keeps `holder` as long as the connection lasts.
    async fn over<S>(
        stream: S,
        holder: impl Send + 'static,
        login: &Login,
        database: &str,
        patience: Duration,
    ) -> Result<Self, Refusal>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut config = Config::new();
        config
            .user(&login.user)
            .password(login.password.expose_secret())
            .dbname(database)
            .application_name("pgcluster");
        let (sender, remarks) = unbounded_channel();
        let (errs, erring) = watch::channel(false);
        let stream = Attentive::new(stream, sender, errs);
        let (client, connection) = bounded(patience, config.connect_raw(stream, NoTls)).await?;
        tokio::spawn(async move {
            let _holder = holder;
            let _ = connection.await;
        });
        Ok(InnerSession {
            client,
            remarks,
            erring,
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
        let answer = bounded(self.patience, self.client.simple_query(sql)).await;
        let messages = self.ended(answer).await?;
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
        let answer = bounded(self.patience, self.client.prepare(sql)).await;
        self.ended(answer).await.map(drop)
    }

    /// Executes one statement; several in one are refused.
    pub async fn execute(&mut self, sql: &str) -> Result<(), Refusal> {
        let answer = bounded(self.patience, self.client.execute(sql, &[])).await;
        self.ended(answer).await.map(drop)
    }

    /// Waits for the end of an answer that is an error, which tokio-postgres does not.
    ///
    /// Pgpool-II 4.7 reads on as soon as it has passed on the error of a prepared statement, and ends the session if
    /// a simple query is there before the servers have answered the Sync (`SimpleQuery` of its
    /// pool_proto_modules.c, "arrived before ending an extended query message").
    async fn ended<T>(&mut self, answer: Result<T, Refusal>) -> Result<T, Refusal> {
        if answer.is_err() {
            let ended = self.erring.wait_for(|erring| !erring);
            // Without an end the next statement tells what is the matter.
            let _ = tokio::time::timeout(self.patience, ended).await;
        }
        answer
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::postgres::remarks::tests::message;

    #[tokio::test]
    async fn nothing_is_sent_before_the_answer_that_is_an_error_has_ended() {
        let (near, mut far) = tokio::io::duplex(4096);
        let pool = async {
            let mut heard = [0; 4096];
            assert!(far.read(&mut heard).await.expect("the start") > 0);
            let login = [message(b'R', &[0; 4]), message(b'Z', b"I")].concat();
            far.write_all(&login).await.expect("an answer");
            assert!(far.read(&mut heard).await.expect("the statement") > 0);
            let error = message(b'E', b"SERROR\0VERROR\0C42P01\0Mthere is none\0\0");
            far.write_all(&error).await.expect("an answer");
            // Long enough for whoever does not wait.
            for _ in 0..100 {
                tokio::task::yield_now().await;
                let more = futures_util::FutureExt::now_or_never(far.read(&mut heard));
                assert!(more.is_none(), "it went on");
            }
            far.write_all(&message(b'Z', b"I")).await.expect("an answer");
            assert!(far.read(&mut heard).await.expect("the next statement") > 0);
            let answer = [message(b'C', b"SELECT 0\0"), message(b'Z', b"I")].concat();
            far.write_all(&answer).await.expect("an answer");
        };
        let login = Login {
            user: "someone".into(),
            password: String::new().into(),
        };
        let client = async {
            let mut session = InnerSession::over(near, (), &login, "postgres", Duration::from_secs(60))
                .await
                .expect("a session");
            let refused = session.prepare("SELECT * FROM nowhere").await;
            assert_eq!(refused.expect_err("an error").code, "42P01");
            assert_eq!(session.rows("SELECT").await.expect("an answer"), Rows::new());
        };
        tokio::join!(pool, client);
    }
}
