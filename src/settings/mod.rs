//! One resolved struct of settings: flag > environment > `.env` > default, every problem reported together.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use secrecy::{ExposeSecret, SecretString};

use crate::env_file::EnvFile;
use crate::error::Problem;

mod resolver;

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
    /// Port of replica 1, 2, …: as many as there are replicas.
    pub replica_ports: Vec<u16>,
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
        [
            ("POSTGRES_PASSWORD", &self.admin),
            ("REPLICATION_PASSWORD", &self.replication),
            ("POOL_PASSWORD", &self.pool),
        ]
        .into_iter()
        .filter(|(key, login)| DEFAULTS.contains(&(key, login.password.expose_secret())))
        .map(|(key, _)| key)
        .collect()
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

        r.distinct_roles(&[
            ("POSTGRES_USER", &admin.user),
            ("REPLICATION_USER", &replication.user),
            ("POOL_USER", &pool.user),
        ]);
        r.distinct_ports(master_port, pool_port, &replica_ports);

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
            replica_ports,
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
    [
        ("postgres_password", settings.admin.password.expose_secret()),
        (
            "replication_password",
            settings.replication.password.expose_secret(),
        ),
        ("pool_password", settings.pool.password.expose_secret()),
    ]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn resolve(env: &str, replicas: u32) -> Result<(Settings, Vec<String>), Vec<String>> {
        let file = EnvFile::parse(env.as_bytes(), Path::new(".env")).unwrap();
        Settings::resolve(&file, |_| None, replicas)
            .map(|(settings, additions)| {
                let additions = additions.iter().map(|(k, v)| format!("{k}={v}")).collect();
                (settings, additions)
            })
            .map_err(|problems| problems.into_iter().map(|p| p.what).collect())
    }

    const SHIPPED: &str = include_str!("../../.env");

    #[test]
    fn the_shipped_file_has_every_key_with_its_default() {
        let (_, additions) = resolve(SHIPPED, 2).unwrap();
        assert!(additions.is_empty(), "{additions:?}");
        let file = EnvFile::parse(SHIPPED.as_bytes(), Path::new(".env")).unwrap();
        for (key, default) in DEFAULTS {
            assert_eq!(file.get(key), Some(*default), "{key}");
        }
    }

    #[test]
    fn missing_ports_follow_in_sequence_and_avoid_the_others() {
        fn check(env: &str, replicas: u32, expected: &[u16]) {
            assert_eq!(resolve(env, replicas).unwrap().0.replica_ports, expected);
        }
        check("", 3, &[5001, 5002, 5003]);
        check("MASTER_PORT=5100", 2, &[5101, 5102]);
        check("SLAVE1_PORT=7001", 3, &[7001, 7002, 7003]);
        check("PGPOOL_PORT=5002", 2, &[5001, 5003]);
        check("SLAVE3_PORT=5001", 3, &[5002, 5003, 5001]);
        check("", 0, &[]);
    }

    #[test]
    fn only_missing_ports_are_added() {
        let (_, additions) = resolve(SHIPPED, 4).unwrap();
        assert_eq!(additions, ["SLAVE3_PORT=5003", "SLAVE4_PORT=5004"]);
    }

    #[test]
    fn the_environment_wins_and_is_not_written_down() {
        let file = EnvFile::parse(b"MASTER_PORT=5000", Path::new(".env")).unwrap();
        let env = |key: &str| (key == "MASTER_PORT").then(|| "5500".to_owned());
        let (settings, additions) = Settings::resolve(&file, env, 0).unwrap();
        assert_eq!(settings.master_port, 5500);
        assert!(additions.iter().all(|(key, _)| key != "MASTER_PORT"));
    }

    #[test]
    fn all_problems_come_together_and_name_their_key() {
        let problems = resolve(
            "POSTGRES_USER=pg_x\nPOSTGRES_PASSWORD=\"a\\nb\"\nREPLICATION_PASSWORD=\nPGDATA=/etc/x\n\
             BIND_ADDRESS=here\nMASTER_PORT=0\nPGPOOL_PORT=70000\nSLAVE1_PORT=5001\nSLAVE2_PORT=5001\nPOOL_USER=a:b",
            2,
        )
        .unwrap_err();
        assert_eq!(
            problems,
            [
                "POSTGRES_USER: `pg_x` begins with `pg_`, which PostgreSQL reserves",
                "POSTGRES_PASSWORD: has a control character (newline, tab, NUL …)",
                "PGDATA: `/etc/x` is a directory of the container's system",
                "REPLICATION_PASSWORD: is empty, and PostgreSQL lets nobody in without a password",
                "POOL_USER: `a:b` has a `:`, which ends the name in password files",
                "BIND_ADDRESS: `here` is not an IP address",
                "MASTER_PORT: `0` is not a port",
                "PGPOOL_PORT: `70000` is not a port",
                "SLAVE2_PORT: `5001` is also SLAVE1_PORT",
            ]
        );
    }

    #[test]
    fn a_role_cannot_serve_twice() {
        let problems = resolve("REPLICATION_USER=postgresadmin", 0).unwrap_err();
        assert_eq!(
            problems,
            ["REPLICATION_USER: `postgresadmin` is also POSTGRES_USER"]
        );
    }

    #[test]
    fn debug_output_hides_passwords() {
        let (settings, _) = resolve("", 1).unwrap();
        assert!(!format!("{settings:?}").contains("admin123"));
    }
}
