//! Reads the keys one after the other, and gathers what is wrong and what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use super::origin::{given, is_secret};
use super::passwords::{has_control_character, password_problems};
use super::{Additions, DEFAULTS, Login};
use crate::env_file::EnvFile;
use crate::error::Problem;

/// One pass over all keys.
pub(super) struct Resolver<'a, E> {
    pub file: &'a EnvFile,
    pub environment: E,
    pub problems: Vec<Problem>,
    pub additions: Additions,
}

impl<E: Fn(&str) -> Option<String>> Resolver<'_, E> {
    pub fn problem(&mut self, key: &str, value: &str, wrong: &str, fix: &str) {
        let shown = if is_secret(key) {
            String::new()
        } else {
            format!(" `{}`", value.escape_debug())
        };
        let origin = match (self.environment)(key) {
            Some(_) => " (from the environment)",
            None => "",
        };
        self.problems
            .push(Problem::new(format!("{key}:{shown} {wrong}{origin}")).fix(fix));
    }

    /// The value that is set somewhere.
    fn given(&self, key: &str) -> Option<String> {
        given(self.file, &self.environment, key).map(|(text, _)| text)
    }

    /// The value of a key of [`DEFAULTS`]; its default is added to `.env` where nothing sets it.
    pub fn value(&mut self, key: &str) -> String {
        self.given(key).unwrap_or_else(|| {
            let default = DEFAULTS
                .iter()
                .find(|(name, _)| *name == key)
                .map_or("", |(_, default)| default);
            self.additions.push((key.to_owned(), default.to_owned()));
            default.to_owned()
        })
    }

    pub fn login(&mut self, user: &str, password: &str) -> Login {
        let name = self.identifier(user);
        if name.contains(':') {
            self.problem(
                user,
                &name,
                "has a `:`, which ends the name in password files",
                "leave the `:` out",
            );
        }
        if name.starts_with('/') {
            self.problem(
                user,
                &name,
                "begins with `/`, which pg_hba.conf takes for a pattern",
                "choose another name",
            );
        }
        if name.starts_with("pg_") {
            self.problem(
                user,
                &name,
                "begins with `pg_`, which PostgreSQL reserves",
                "choose another name",
            );
        }
        if ["public", "none"].contains(&name.as_str()) {
            self.problem(
                user,
                &name,
                "is a word of SQL that no role can have",
                "choose another name",
            );
        }
        let secret = self.value(password);
        for (wrong, fix) in password_problems(&secret) {
            self.problem(password, "", &wrong, fix);
        }
        Login {
            user: name,
            password: secret.into(),
        }
    }

    /// Pgpool-II's configuration has no way to write a `'`.
    pub fn no_quote(&mut self, key: &str, name: &str) {
        if name.contains('\'') {
            self.problem(
                key,
                name,
                "has a `'`, which pgpool.conf cannot hold",
                "leave it out",
            );
        }
    }

    pub fn identifier(&mut self, key: &str) -> String {
        let value = self.value(key);
        if value.is_empty() {
            self.problem(key, &value, "is empty", "give it a name");
        }
        if value.len() > 63 {
            self.problem(
                key,
                &value,
                "is longer than PostgreSQL's 63 bytes",
                "choose a shorter name",
            );
        }
        self.no_control_characters(key, &value);
        value
    }

    /// A newline, NUL or the like would end the line or the string in the files this value reaches.
    fn no_control_characters(&mut self, key: &str, value: &str) {
        if has_control_character(value) {
            self.problem(
                key,
                value,
                "has a control character (newline, tab, NUL …)",
                "leave it out",
            );
        }
    }

    /// It becomes a link inside the image: a plain absolute path that hides nothing of the system.
    pub fn pgdata(&mut self) -> String {
        const SYSTEM: &[&str] = &[
            "bin", "boot", "dev", "etc", "lib", "lib64", "node", "pool", "proc", "root", "run", "sbin",
            "sys", "tmp", "usr",
        ];
        const PARENTS: &[&str] = &["home", "media", "mnt", "opt", "srv"];
        const STATE: &[&str] = &["apt", "dpkg", "misc", "pam", "systemd"];
        let value = self.value("PGDATA");
        let parts: Vec<&str> = value.split('/').skip(1).collect();
        let plain = value.starts_with('/')
            && parts.iter().all(|part| {
                !part.is_empty()
                    && !part.starts_with('.')
                    && part
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
            });
        if !plain {
            self.problem(
                "PGDATA",
                &value,
                "is not a plain absolute path inside the container",
                "use letters, digits, `.`, `_`, `-` and `/`, as in /data; the place on this machine is always ./master/pgdata",
            );
        } else if SYSTEM.contains(&parts[0])
            || (parts.len() == 1 && PARENTS.contains(&parts[0]))
            || (parts[0] == "var" && (parts.len() < 3 || parts[1] != "lib" || STATE.contains(&parts[2])))
        {
            self.problem(
                "PGDATA",
                &value,
                "is a directory of the container's system",
                "use /data or, below /var/lib, a directory of its own",
            );
        }
        value
    }

    /// They become words of a command in the image's build.
    pub fn extra_packages(&mut self) -> String {
        let value = self.value("EXTRA_PACKAGES");
        let is_name = |word: &str| {
            word.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && word
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+.-".contains(c))
        };
        if !value.split_whitespace().all(is_name) {
            self.problem(
                "EXTRA_PACKAGES",
                &value,
                "is not a list of Debian packages",
                "write their names with spaces between, as in 'postgresql-17-postgis-3 postgresql-17-cron'",
            );
        }
        value
    }

    pub fn bind(&mut self) -> IpAddr {
        let value = self.value("BIND_ADDRESS");
        value.parse().unwrap_or_else(|_| {
            self.problem(
                "BIND_ADDRESS",
                &value,
                "is not an IP address",
                "use 127.0.0.1 for this machine only, 0.0.0.0 for everyone who reaches it",
            );
            Ipv4Addr::LOCALHOST.into()
        })
    }

    fn parse_port(&mut self, key: &str, value: &str) -> u16 {
        match value.parse::<u16>() {
            Ok(port) if port > 0 => port,
            _ => {
                self.problem(key, value, "is not a port", "use a number from 1 to 65535");
                0
            }
        }
    }

    pub fn port(&mut self, key: &str) -> u16 {
        let value = self.value(key);
        self.parse_port(key, &value)
    }

    /// `SLAVEn_PORT` for each replica; a missing one is the next port after the one before it that no key claims.
    pub fn replica_ports(&mut self, replicas: u32, master: u16, pool: u16) -> Vec<u16> {
        let declared: BTreeSet<u16> = self
            .file
            .keys()
            .filter(|key| key.starts_with("SLAVE") && key.ends_with("_PORT"))
            .filter_map(|key| self.given(key)?.parse().ok())
            .chain([master, pool])
            .collect();
        let mut ports = Vec::new();
        let mut last = master;
        for n in 1..=replicas {
            let key = format!("SLAVE{n}_PORT");
            let port = match self.given(&key) {
                Some(value) => self.parse_port(&key, &value),
                None => match (last.saturating_add(1)..=u16::MAX)
                    .find(|port| !declared.contains(port) && *port > last)
                {
                    Some(port) => {
                        self.additions.push((key, port.to_string()));
                        port
                    }
                    None => {
                        self.problem(
                            &key,
                            "",
                            "has no port left above the one before it",
                            "set it in .env",
                        );
                        0
                    }
                },
            };
            last = port;
            ports.push(port);
        }
        ports
    }

    pub fn distinct_roles(&mut self, roles: &[(&str, &String)]) {
        for (i, (key, name)) in roles.iter().enumerate() {
            if let Some((other, _)) = roles[..i].iter().find(|(_, earlier)| earlier == name) {
                self.problem(key, name, &format!("is also {other}"), "give each its own role");
            }
        }
    }

    pub fn distinct_ports(&mut self, master: u16, pool: u16, replicas: &[u16]) {
        let mut owners: BTreeMap<u16, String> = BTreeMap::new();
        let keys = (1..).map(|n| format!("SLAVE{n}_PORT"));
        let named = [
            ("MASTER_PORT".to_owned(), master),
            ("PGPOOL_PORT".to_owned(), pool),
        ]
        .into_iter()
        .chain(keys.zip(replicas.iter().copied()))
        .filter(|(_, port)| *port != 0);
        for (key, port) in named {
            if let Some(owner) = owners.get(&port).cloned() {
                self.problem(
                    &key,
                    &port.to_string(),
                    &format!("is also {owner}"),
                    "give each its own port",
                );
            } else {
                owners.insert(port, key);
            }
        }
    }
}
