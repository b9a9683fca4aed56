//! The only place with SQL and with a PostgreSQL connection.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use secrecy::ExposeSecret;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, SimpleQueryRow};

use crate::observed::{Backend, NodeFacts, Silence};
use crate::settings::Login;

/// A healthy server on this machine answers in milliseconds; one that takes longer is shown as not answering.
pub const PATIENCE: Duration = Duration::from_millis(1500);

/// The database where the tool keeps its marker: it is always there, and the pool never caches it.
pub const DATABASE: &str = "postgres";

/// Everything about one server in one round trip.
const FACTS: &str = "
SELECT json_build_object(
  'in_recovery', pg_is_in_recovery(),
  'system_id', (SELECT system_identifier::text FROM pg_control_system()),
  'timeline', CASE WHEN pg_is_in_recovery()
      THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver), (SELECT timeline_id FROM pg_control_checkpoint()))
      ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END,
  'replayed', coalesce(pg_last_wal_replay_lsn() - '0/0'::pg_lsn, 0),
  'oldest_wal', CASE WHEN pg_is_in_recovery() THEN 0 ELSE (
      SELECT coalesce(min(('x' || substr(name, 9, 8))::bit(32)::bigint * 4294967296
             + ('x' || substr(name, 17, 8))::bit(32)::bigint
               * pg_size_bytes(current_setting('wal_segment_size'))), 0)
      FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$') END,
  'started_at', extract(epoch FROM pg_postmaster_start_time()),
  'connections', (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
  'max_connections', current_setting('max_connections')::int,
  'config_hash', current_setting('pgcluster.config_hash', true),
  'config_errors', (SELECT coalesce(json_agg(format('%s line %s: %s: %s', regexp_replace(sourcefile, '^/node/', ''),
        sourceline, coalesce(name, 'syntax'), error)), '[]')
      FROM pg_file_settings f WHERE error IS NOT NULL
        -- What a restart applies is no error, and which that is shows once the files have been read.
        AND (error <> 'setting could not be applied'
          OR NOT EXISTS (SELECT FROM pg_settings s WHERE s.name = f.name AND s.pending_restart)
          AND current_setting('pgcluster.config_hash', true)
            = (SELECT setting FROM pg_file_settings WHERE name = 'pgcluster.config_hash'))),
  'pending_restart', (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM pg_settings WHERE pending_restart),
  'lowers_hot_standby', EXISTS (
      SELECT FROM pg_settings s WHERE s.pending_restart AND s.name IN ('max_connections', 'max_worker_processes',
        'max_wal_senders', 'max_prepared_transactions', 'max_locks_per_transaction')
      AND (SELECT f.setting::bigint FROM pg_file_settings f WHERE f.name = s.name
           ORDER BY f.seqno DESC LIMIT 1) < s.setting::bigint),
  'receiver', (SELECT json_build_object('status', status, 'slot', slot_name) FROM pg_stat_wal_receiver),
  'senders', (SELECT coalesce(json_agg(json_build_object(
        'name', application_name, 'state', state,
        'behind', greatest(0, pg_wal_lsn_diff(here.lsn, replay_lsn)),
        'lag_ms', extract(epoch FROM replay_lag) * 1000)), '[]')
      FROM pg_stat_replication),
  'slots', (SELECT coalesce(json_agg(json_build_object(
        'name', slot_name, 'active', active, 'wal_status', wal_status,
        'retained', pg_wal_lsn_diff(here.lsn, restart_lsn)::bigint)), '[]')
      FROM pg_replication_slots WHERE slot_type = 'physical' AND NOT temporary),
  'base_backups', (SELECT coalesce(json_agg(json_build_object(
        'name', replace(application_name, 'clone:', ''), 'phase', phase,
        'done', backup_streamed, 'total', backup_total)), '[]')
      FROM pg_stat_progress_basebackup JOIN pg_stat_activity USING (pid)))::text
FROM (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END) AS here (lsn)";

/// How to reach one server.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub host: IpAddr,
    pub port: u16,
    pub login: Login,
    pub database: String,
}

/// A connection that is made when needed and kept while it works.
pub struct Session {
    endpoint: Endpoint,
    client: Option<Client>,
}

impl Session {
    pub fn new(endpoint: Endpoint) -> Self {
        Session {
            endpoint,
            client: None,
        }
    }

    /// What a PostgreSQL server says of itself.
    ///
    /// # Errors
    /// Why it did not answer within [`PATIENCE`].
    pub async fn facts(&mut self) -> Result<NodeFacts, Silence> {
        let rows = self.query(FACTS).await?;
        let text = rows.first().and_then(|row| row.get(0)).unwrap_or_default();
        serde_json::from_str(text).map_err(|error| Silence {
            reason: format!("an answer that makes no sense: {error}"),
            refused: false,
        })
    }

    /// The nodes as Pgpool sees them; only for a session with Pgpool.
    ///
    /// # Errors
    /// As [`Session::facts`].
    pub async fn backends(&mut self) -> Result<BTreeMap<u32, Backend>, Silence> {
        let rows = self.query("SHOW POOL_NODES").await?;
        Ok(rows.iter().filter_map(backend).collect())
    }

    async fn query(&mut self, sql: &str) -> Result<Vec<SimpleQueryRow>, Silence> {
        let answer = tokio::time::timeout(PATIENCE, self.ask(sql)).await;
        match answer {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) => {
                self.client = None;
                Err(silence(&error))
            }
            Err(_) => {
                self.client = None;
                Err(Silence {
                    reason: format!("no answer within {} ms", PATIENCE.as_millis()),
                    refused: false,
                })
            }
        }
    }

    /// One simple query: one round trip, no prepared statement that a pool would have to keep.
    async fn ask(&mut self, sql: &str) -> Result<Vec<SimpleQueryRow>, tokio_postgres::Error> {
        if self.client.as_ref().is_none_or(Client::is_closed) {
            self.client = Some(connect(&self.endpoint).await?);
        }
        let Some(client) = &self.client else {
            return Ok(Vec::new());
        };
        let messages = client.simple_query(sql).await?;
        Ok(messages
            .into_iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row),
                _ => None,
            })
            .collect())
    }

    async fn value(&mut self, sql: &str) -> Result<Option<String>, Silence> {
        let rows = self.query(sql).await?;
        Ok(rows.first().and_then(|row| row.get(0)).map(str::to_owned))
    }

    /// Logs in, and does nothing.
    pub async fn log_in(&mut self) -> Result<(), Silence> {
        self.query("").await.map(drop)
    }

    /// The name of the node that a plain read sent here ends on.
    pub async fn reader(&mut self) -> Result<String, Silence> {
        let name = self.value("SELECT current_setting('cluster_name')").await?;
        Ok(name.unwrap_or_default())
    }

    /// Whether a statement that Pgpool must treat as a write ends on a primary. Writes nothing.
    pub async fn writes_reach_primary(&mut self) -> Result<bool, Silence> {
        // The function is volatile, and that is what Pgpool goes by.
        Ok(self.value("SELECT pg_is_in_recovery()").await?.as_deref() == Some("f"))
    }

    /// Makes the place for the marker; only on the primary.
    pub async fn prepare_marker(&mut self) -> Result<(), Silence> {
        self.query(
            "SET client_min_messages = warning; \
             CREATE SCHEMA IF NOT EXISTS pgcluster; \
             CREATE TABLE IF NOT EXISTS pgcluster.marker (\
               id boolean PRIMARY KEY DEFAULT true CHECK (id), value text NOT NULL, written_at timestamptz NOT NULL)",
        )
        .await
        .map(drop)
    }

    /// Writes the marker and says which node took it. `value` is letters and digits.
    pub async fn write_marker(&mut self, value: &str) -> Result<String, Silence> {
        let sql = format!(
            "INSERT INTO pgcluster.marker (value, written_at) VALUES ('{value}', clock_timestamp()) \
             ON CONFLICT (id) DO UPDATE SET value = excluded.value, written_at = excluded.written_at \
             RETURNING current_setting('cluster_name')"
        );
        Ok(self.value(&sql).await?.unwrap_or_default())
    }

    /// The marker and when it was written, in seconds since 1970; `None` where there is none yet.
    pub async fn read_marker(&mut self) -> Result<Option<(String, f64)>, Silence> {
        let sql = "SELECT value, extract(epoch FROM written_at) FROM pgcluster.marker";
        match self.query(sql).await {
            Ok(rows) => Ok(rows.first().and_then(|row| {
                let written_at = row.get(1)?.parse().ok()?;
                Some((row.get(0)?.to_owned(), written_at))
            })),
            Err(silence) if silence.reason.contains("pgcluster.marker") => Ok(None),
            Err(silence) => Err(silence),
        }
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
        match self.query(sql).await {
            Ok(_) => Ok(()),
            Err(silence) => bail!("port {}: {}", self.endpoint.port, silence.reason),
        }
    }
}

async fn connect(endpoint: &Endpoint) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = Config::new()
        .hostaddr(endpoint.host)
        .host(endpoint.host.to_string())
        .port(endpoint.port)
        .user(&endpoint.login.user)
        .password(endpoint.login.password.expose_secret())
        .dbname(&endpoint.database)
        .application_name("pgcluster")
        .connect_timeout(PATIENCE)
        .connect(NoTls)
        .await?;
    // It ends with an error when the server goes; the next query on the client tells that too.
    tokio::spawn(connection);
    Ok(client)
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
        ) => "does not accept connections yet".to_owned(),
        _ => error.to_string(),
    };
    Silence { reason, refused }
}

fn io_kind(error: &tokio_postgres::Error) -> Option<ErrorKind> {
    let cause = std::error::Error::source(error)?;
    Some(cause.downcast_ref::<std::io::Error>()?.kind())
}

fn backend(row: &SimpleQueryRow) -> Option<(u32, Backend)> {
    let id = row.get("node_id")?.parse().ok()?;
    let text = |column: &str| row.try_get(column).ok().flatten().unwrap_or_default().to_owned();
    Some((
        id,
        Backend {
            id,
            status: text("status"),
            role: text("role"),
            weight: text("lb_weight"),
            selects: text("select_cnt").parse().unwrap_or(0),
            delay: text("replication_delay").parse().unwrap_or(0),
        },
    ))
}

/// A marker nobody has written before.
///
/// # Errors
/// The system gives no random numbers.
pub fn new_marker() -> Result<String> {
    use rand::TryRngCore;
    let mut bytes = [0; 8];
    rand::rngs::OsRng
        .try_fill_bytes(&mut bytes)
        .context("no random numbers")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
