//! Plain SQL from this machine through the published ports, as any client does it.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A statement that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(60);

/// Whom to log in as, where.
#[derive(Clone, Debug)]
pub struct Login {
    pub port: u16,
    pub user: String,
    pub password: Option<String>,
    pub database: String,
    /// PEM of those whose servers are trusted, and no other: by TLS only.
    pub authority: Option<String>,
}

/// A client that trusts the servers of an authority, by its PEM.
pub fn tls(authority: &str) -> rustls::ClientConfig {
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_root_certificates(pgcluster::certificates::roots(authority))
        .with_no_client_auth()
}

/// One connection that blocks.
pub struct Connection {
    runtime: Runtime,
    client: Client,
}

impl Login {
    pub fn database(mut self, name: &str) -> Login {
        self.database = name.to_owned();
        self
    }

    pub fn user(mut self, name: &str) -> Login {
        self.user = name.to_owned();
        self
    }

    pub fn trusting(mut self, authority: Option<&str>) -> Login {
        self.authority = authority.map(str::to_owned);
        self
    }

    pub fn password(mut self, password: Option<&str>) -> Login {
        self.password = password.map(str::to_owned);
        self
    }

    /// Opens a connection in the runtime of the caller.
    pub async fn client(&self) -> Result<Client, tokio_postgres::Error> {
        let mut config = Config::new();
        config
            .host("127.0.0.1")
            .port(self.port)
            .user(&self.user)
            .dbname(&self.database);
        config.connect_timeout(Duration::from_secs(5));
        if let Some(password) = &self.password {
            config.password(password);
        }
        match &self.authority {
            Some(authority) => {
                config.ssl_mode(SslMode::Require);
                let (client, connection) = config.connect(MakeRustlsConnect::new(tls(authority))).await?;
                tokio::spawn(connection);
                Ok(client)
            }
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                tokio::spawn(connection);
                Ok(client)
            }
        }
    }

    /// Opens a connection, or says why not.
    pub fn connect(&self) -> Result<Connection, String> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| e.to_string())?;
        // Docker's proxy accepts before the server listens; without a limit this would wait for ever.
        let result =
            runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), self.client()).await });
        match result {
            Ok(Ok(client)) => Ok(Connection { runtime, client }),
            Ok(Err(error)) => Err(reason(&error)),
            Err(_) => Err("no answer to the login within 10 s".to_owned()),
        }
    }

    /// One statement on a connection of its own.
    pub fn ask(&self, sql: &str) -> Result<String, String> {
        self.connect()?.ask(sql)
    }
}

/// The answer at `url`, in the form of `psql -At`.
pub fn ask_url(url: &str, sql: &str) -> Result<String, String> {
    let config: Config = url.parse().map_err(|error| format!("{url}: {error}"))?;
    let password = config.get_password().map(String::from_utf8_lossy);
    let login = Login {
        port: config.get_ports()[0],
        user: config.get_user().unwrap_or_default().to_owned(),
        password: password.map(|password| password.into_owned()),
        database: config.get_dbname().unwrap_or_default().to_owned(),
        authority: None,
    };
    login.ask(sql)
}

impl Connection {
    /// The rows a line each, their columns with `|` between, NULL as nothing: what `psql -At` prints.
    pub fn ask(&mut self, sql: &str) -> Result<String, String> {
        let query = async { tokio::time::timeout(LIMIT, self.client.simple_query(sql)).await };
        let messages = match self.runtime.block_on(query) {
            Ok(Ok(messages)) => messages,
            Ok(Err(error)) => return Err(reason(&error)),
            Err(_) => return Err(format!("no answer within {} s: {sql}", LIMIT.as_secs())),
        };
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                let columns: Vec<&str> = (0..row.len()).map(|i| row.get(i).unwrap_or_default()).collect();
                Some(columns.join("|"))
            }
            _ => None,
        });
        Ok(rows.collect::<Vec<_>>().join("\n"))
    }
}

/// What went wrong, with the code where the server gives one.
pub fn reason(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(db), _) => format!("{}: {}", db.code().code(), db.message()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}
