//! The only place with SQL and with a PostgreSQL connection; below it, what is asked of one and told to one.

mod backup;
mod cache;
mod doctor;
mod extensions;
mod facts;
mod fixed;
mod inner_session;
mod kept;
mod knock;
mod marker;
mod mode;
mod pool;
mod remarks;
mod roles;
mod route;
mod secure;
mod synchronous;

use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use secrecy::ExposeSecret;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Error, NoTls, SimpleQueryMessage, SimpleQueryRow};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::Problem;
use crate::observed::Silence;
use crate::points;
use crate::settings::Login;

pub use facts::read_facts;
pub use inner_session::{InnerSession, Refusal, Rows};
use kept::Link;
pub use kept::hang_up;
pub use knock::is_open;
pub use marker::new_marker;
pub use pool::Holders;
pub use remarks::sort as sort_remarks;
pub use roles::{Attributes, Role};
pub use secure::Tls;

/// A healthy server on this machine answers in milliseconds; one that takes longer is shown as not answering.
pub const PATIENCE: Duration = Duration::from_millis(1500);

/// Where something is decided or waited for rather than shown, a machine that is overloaded gets this long.
const BUSY_PATIENCE: Duration = Duration::from_secs(6);

/// Making a database copies another, and dropping a role may wait for locks.
const LONG_PATIENCE: Duration = Duration::from_secs(60);

/// Why a server that starts gives no answer.
pub const NOT_YET: &str = "does not accept connections yet";

/// The database where the tool keeps its marker: it is always there, and the pool never caches it.
pub const DATABASE: &str = "postgres";

/// How to reach one server.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub host: IpAddr,
    pub port: u16,
    pub login: Login,
    pub database: String,
    /// How it proves who it is; in the clear where it is none.
    pub tls: Option<Tls>,
}

/// A connection that is made when needed and kept while it works.
pub struct Session {
    endpoint: Endpoint,
    link: Option<Link>,
    /// Something was set or written, or may have been: no other session gets the connection.
    marked: bool,
    /// It does not go on with what another session left.
    fresh: bool,
    /// The longest that one question may take, with the login where there has to be one.
    patience: Duration,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(link) = self.link.take().filter(|_| !self.marked) {
            kept::keep(self.endpoint.clone(), link);
        }
    }
}

impl Session {
    pub fn new(endpoint: Endpoint) -> Self {
        Session {
            endpoint,
            link: None,
            marked: false,
            fresh: false,
            patience: PATIENCE,
        }
    }

    /// Waits several seconds for an answer, for what must not fail because the machine is busy.
    pub fn patient(mut self) -> Self {
        self.patience = BUSY_PATIENCE;
        self
    }

    /// With a connection of its own, for what is decided when one is made.
    pub fn fresh(endpoint: Endpoint) -> Self {
        let mut session = Session::new(endpoint);
        session.fresh = true;
        session
    }

    async fn query(&mut self, sql: &str) -> Result<Vec<SimpleQueryRow>, Silence> {
        self.query_within(sql, self.patience).await
    }

    async fn query_within(&mut self, sql: &str, limit: Duration) -> Result<Vec<SimpleQueryRow>, Silence> {
        let answer = tokio::time::timeout(limit, self.ask(sql)).await;
        match answer {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) => Err(silence(&error)),
            Err(_) => Err(too_late(limit)),
        }
    }

    /// One simple query: one round trip, no prepared statement that a pool would have to keep.
    async fn ask(&mut self, sql: &str) -> Result<Vec<SimpleQueryRow>, Error> {
        let own = self.link.take().filter(|link| !link.client.is_closed());
        // One that was kept may have been ended by its server meanwhile.
        let kept = || (!self.fresh).then(|| kept::take(&self.endpoint)).flatten();
        let used = match own.or_else(kept) {
            Some(link) => match link.client.simple_query(sql).await {
                Err(error) if error.is_closed() => None,
                answer => Some((link, answer)),
            },
            None => None,
        };
        let (link, answer) = match used {
            Some(used) => used,
            None => {
                let link = connect(&self.endpoint).await?;
                let answer = link.client.simple_query(sql).await;
                (link, answer)
            }
        };
        let messages = answer?;
        // Only now: what a session that was given up waits for must not come to the next one.
        self.link = Some(link);
        Ok(messages
            .into_iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row),
                _ => None,
            })
            .collect())
    }

    /// One statement that may take long, and whose failure is the user's to read: with every line of its detail.
    async fn order(&mut self, sql: &str) -> Result<Vec<SimpleQueryRow>, Problem> {
        self.marked = true;
        points::pass("before an order to a server");
        let answer = tokio::time::timeout(LONG_PATIENCE, self.ask(sql)).await;
        points::pass("after an order to a server");
        match answer {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) => {
                let detail = error.as_db_error().and_then(|db| db.detail());
                let lines = detail.unwrap_or_default().lines().map(str::to_owned);
                Err(Problem::new(silence(&error).reason).evidence(lines.collect()))
            }
            Err(_) => Err(Problem::new(format!(
                "no answer within {} s",
                LONG_PATIENCE.as_secs()
            ))),
        }
    }

    async fn value(&mut self, sql: &str) -> Result<Option<String>, Silence> {
        let rows = self.query(sql).await?;
        Ok(rows.first().and_then(|row| row.get(0)).map(str::to_owned))
    }

    /// Logs in, with a connection of its own, and does nothing.
    pub async fn log_in(&mut self) -> Result<(), Silence> {
        self.link = None;
        self.fresh = true;
        self.query("").await.map(drop)
    }

    /// The name of the node that a plain read sent here ends on.
    pub async fn reader(&mut self) -> Result<String, Silence> {
        let name = self.value("SELECT current_setting('cluster_name')").await?;
        Ok(name.unwrap_or_default())
    }

    /// Whether a statement that Pgpool must treat as a write ends on a primary. Writes nothing.
    pub async fn writes_reach_primary(&mut self) -> Result<bool, Silence> {
        // The function is volatile, and that is what Pgpool goes by, also when it chooses for later reads.
        self.marked = true;
        Ok(self.value("SELECT pg_is_in_recovery()").await?.as_deref() == Some("f"))
    }

    /// Makes the server read its configuration files again.
    pub async fn reload(&mut self) -> Result<()> {
        self.command("SELECT pg_reload_conf()").await
    }

    /// Makes a replica's slot, unless it is there. `name` is a node name.
    pub async fn create_slot(&mut self, name: &str) -> Result<()> {
        self.command(&format!(
            "SELECT pg_create_physical_replication_slot('{name}', true) \
             WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{name}')"
        ))
        .await
    }

    /// Drops a slot that nobody uses. `name` is a node name.
    pub async fn drop_slot(&mut self, name: &str) -> Result<()> {
        self.command(&format!(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{name}' AND NOT active"
        ))
        .await
    }

    async fn command(&mut self, sql: &str) -> Result<()> {
        self.marked = true;
        points::pass("before an order to a server");
        let answer = self.query(sql).await;
        points::pass("after an order to a server");
        match answer {
            Ok(_) => Ok(()),
            Err(silence) => bail!("port {}: {}", self.endpoint.port, silence.reason),
        }
    }
}

async fn connect(endpoint: &Endpoint) -> Result<Link, Error> {
    let mut config = Config::new();
    config
        .hostaddr(endpoint.host)
        .host(endpoint.host.to_string())
        .port(endpoint.port)
        .user(&endpoint.login.user)
        .password(endpoint.login.password.expose_secret())
        .dbname(&endpoint.database)
        .application_name("pgcluster")
        .connect_timeout(BUSY_PATIENCE);
    // The task ends with an error when the server goes; the next query on the client tells that too.
    if let Some(tls) = &endpoint.tls {
        return tls.connect(&mut config).await;
    }
    let (client, connection) = config.connect(NoTls).await?;
    let task = tokio::spawn(connection);
    Ok(Link { client, task })
}

fn too_late(limit: Duration) -> Silence {
    Silence {
        reason: format!("no answer within {} ms", limit.as_millis()),
        refused: false,
    }
}

fn silence(error: &tokio_postgres::Error) -> Silence {
    let refused = [
        &SqlState::INVALID_PASSWORD,
        &SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        &SqlState::INVALID_CATALOG_NAME,
    ]
    .iter()
    .any(|state| error.code() == Some(state));
    let reason = match (error.as_db_error(), error.is_closed(), io_kind(error)) {
        (Some(db), ..) => db.message().to_owned(),
        // Docker's proxy accepts before the server listens, and closes at once.
        (None, true, _)
        | (
            None,
            _,
            Some(ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof),
        ) => NOT_YET.to_owned(),
        _ => match std::error::Error::source(error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    };
    Silence { reason, refused }
}

fn io_kind(error: &tokio_postgres::Error) -> Option<ErrorKind> {
    let cause = std::error::Error::source(error)?;
    Some(cause.downcast_ref::<std::io::Error>()?.kind())
}
