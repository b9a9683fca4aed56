//! One resolved struct of settings: flag > environment > `.env` > default, every problem reported together.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use secrecy::{ExposeSecret, SecretString};

use crate::env_file::EnvFile;
use crate::error::Problem;

mod choices;
mod origin;
mod passwords;
mod profile;
mod resolver;
mod values;

pub use choices::{Choice, ConnectionMode, DataPlace, Profile, QueryCache, ReadConsistency};
pub use origin::{Origin, Value, is_secret, values};
pub use passwords::{Account, has_control_character, password_problems};
pub use profile::{RESERVE, Sizing};
use resolver::Resolver;

/// More replicas than this are refused: Pgpool-II has room for 128 backends, and a replica that clones takes two
/// of the master's WAL senders, whose number is fixed so that scaling never restarts it.
pub const MAX_REPLICAS: u32 = 100;

/// Replicas of a new cluster when nothing says otherwise.
pub const DEFAULT_REPLICAS: u32 = 2;

/// Every key with its default, except `SLAVEn_PORT`, whose default follows the port before it.
/// The same keys stand, explained, in the `.env` that is written on first use.
pub const DEFAULTS: &[(&str, &str)] = &[
    ("POSTGRES_USER", "postgresadmin"),
    ("POSTGRES_PASSWORD", "admin123"),
    ("POSTGRES_DB", "postgresdb"),
    ("PGDATA", "/data"),
    ("REPLICATION_USER", "replication_user"),
    ("REPLICATION_PASSWORD", "password"),
    ("POOL_USER", "pgpool_check"),
    ("POOL_PASSWORD", "poolcheck123"),
    ("BIND_ADDRESS", "127.0.0.1"),
    ("MASTER_PORT", "5000"),
    ("PGPOOL_PORT", "6432"),
    ("TLS", "auto"),
    ("CONNECTION_MODE", "session"),
    ("READ_CONSISTENCY", "eventual"),
    ("MAX_REPLICA_LAG", "256kB"),
    ("QUERY_CACHE", "off"),
    ("QUERY_CACHE_TTL", "5"),
    ("PROFILE", "medium"),
    ("DATA", ""),
    ("EXTENSIONS", "vector,timescaledb,vectorscale"),
    ("EXTENSIONS_IN_TEMPLATE", "off"),
    ("EXTRA_PACKAGES", ""),
];

/// Keys that `.env` lacks, with the values to append.
pub type Additions = Vec<(String, String)>;

/// A role and its password.
#[derive(Clone, Debug)]
pub struct Login {
    pub user: String,
    pub password: SecretString,
}

/// Everything a user can choose, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The superuser.
    pub admin: Login,
    pub replication: Login,
    /// The role with which the pool checks the nodes.
    pub pool: Login,
    /// The database made at initialisation.
    pub database: String,
    /// Data directory inside the containers, absolute.
    pub pgdata: String,
    /// Debian packages added to the node image, separated by spaces.
    pub extra_packages: String,
    /// Address that the published ports listen on.
    pub bind: IpAddr,
    pub master_port: u16,
    pub pool_port: u16,
    /// Every connection over a network by TLS, with certificates of the cluster's own authority.
    pub tls: bool,
    /// Port of replica 1, 2, …: as many as there are replicas.
    pub replica_ports: Vec<u16>,
    pub mode: ConnectionMode,
    pub consistency: ReadConsistency,
    /// A replica more than so many bytes behind gets no reads.
    pub max_replica_lag: u64,
    pub cache: QueryCache,
    /// Seconds for which a cached result may be served.
    pub cache_ttl: u32,
    pub profile: Profile,
    pub data: DataPlace,
    /// Extensions to create at initialisation, in this order.
    pub extensions: Vec<String>,
    /// Whether they are created in `template1` as well, and so in every database made later.
    pub extensions_in_template: bool,
}

impl Settings {
    /// The address at which this machine reaches the published ports.
    pub fn host(&self) -> IpAddr {
        match self.bind {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        }
    }

    /// The keys whose password is the one of the documentation.
    pub fn default_passwords(&self) -> Vec<&'static str> {
        Account::ALL
            .into_iter()
            .map(|account| (account.key(), account.login(self).password.expose_secret()))
            .filter(|known| DEFAULTS.contains(known))
            .map(|(key, _)| key)
            .collect()
    }

    /// Pgpool-II, and PgBouncer before it, must know a role's password to let it in. Where it is the other way, any
    /// role logs in: Pgpool-II asks for the password and passes it on, in clear, so only while nobody else can listen.
    pub fn pool_needs_passwords(&self) -> bool {
        self.mode != ConnectionMode::Session || !self.bind.is_loopback()
    }

    /// Settings for `replicas` replicas, and the lines that `.env` lacks.
    ///
    /// `environment` looks a key up in the process's environment; it wins over `file`.
    ///
    /// # Errors
    /// Every key whose value cannot be used, each with its fix.
    pub fn resolve(
        file: &EnvFile,
        environment: impl Fn(&str) -> Option<String>,
        replicas: u32,
    ) -> Result<(Settings, Additions), Vec<Problem>> {
        let mut resolver = Resolver {
            file,
            environment,
            problems: Vec::new(),
            additions: Vec::new(),
        };
        let r = &mut resolver;

        let admin = r.login("POSTGRES_USER", "POSTGRES_PASSWORD");
        let database = r.identifier("POSTGRES_DB");
        if ["template0", "template1"].contains(&database.as_str()) {
            r.problem(
                "POSTGRES_DB",
                &database,
                "is one of PostgreSQL's own",
                "choose another name",
            );
        }
        let pgdata = r.pgdata();
        let extra_packages = r.extra_packages();
        let replication = r.login("REPLICATION_USER", "REPLICATION_PASSWORD");
        let pool = r.login("POOL_USER", "POOL_PASSWORD");
        r.no_quote("POOL_USER", &pool.user);
        let bind = r.bind();
        let master_port = r.port("MASTER_PORT");
        let pool_port = r.port("PGPOOL_PORT");
        let replica_ports = r.replica_ports(replicas, master_port, pool_port);
        let tls = r.tls(bind);
        let mode = r.choice("CONNECTION_MODE");
        let consistency = r.choice("READ_CONSISTENCY");
        let max_replica_lag = r.bytes("MAX_REPLICA_LAG");
        let cache = r.choice("QUERY_CACHE");
        let cache_ttl = r.seconds("QUERY_CACHE_TTL");
        let profile = r.choice("PROFILE");
        let data = r.data_place();
        let extensions = r.extensions();
        let extensions_in_template = r.switch("EXTENSIONS_IN_TEMPLATE");

        r.distinct_roles(&[
            ("POSTGRES_USER", &admin.user),
            ("REPLICATION_USER", &replication.user),
            ("POOL_USER", &pool.user),
        ]);
        r.distinct_ports(master_port, pool_port, &replica_ports);
        r.fits_mode(mode, consistency, &database);
        r.promises(consistency, cache);

        if !resolver.problems.is_empty() {
            return Err(resolver.problems);
        }
        let settings = Settings {
            admin,
            replication,
            pool,
            database,
            pgdata,
            extra_packages,
            bind,
            master_port,
            pool_port,
            tls,
            replica_ports,
            mode,
            consistency,
            max_replica_lag,
            cache,
            cache_ttl,
            profile,
            data,
            extensions,
            extensions_in_template,
        };
        Ok((settings, resolver.additions))
    }
}

/// Whether `name` is one of the keys that are read.
pub fn is_key(name: &str) -> bool {
    let port = name
        .strip_prefix("SLAVE")
        .and_then(|rest| rest.strip_suffix("_PORT"));
    port.is_some_and(|number| number.parse::<u32>().is_ok()) || DEFAULTS.iter().any(|(key, _)| *key == name)
}

/// The three files that Compose hands to the containers, name and content.
pub fn secrets(settings: &Settings) -> [(&'static str, &str); 3] {
    Account::ALL.map(|account| (account.secret(), account.login(settings).password.expose_secret()))
}

#[cfg(test)]
mod tests;
