//! How other programs are told where to connect: URLs and variables, each escaped for its reader. Pure.

use std::net::IpAddr;
use std::path::PathBuf;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret;

use crate::settings::Settings;

/// What a URL may contain unescaped (RFC 3986, unreserved).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A place to connect to; with more than one port, a client takes the first that lets it in.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    settings: &'a Settings,
    ports: Vec<u16>,
    with_password: bool,
    trusted: Option<PathBuf>,
}

impl<'a> Place<'a> {
    /// `ports` is not empty.
    pub fn new(settings: &'a Settings, ports: Vec<u16>, with_password: bool) -> Self {
        Place {
            settings,
            ports,
            with_password,
            trusted: None,
        }
    }

    /// By TLS only, with a server whose certificate is of an authority in this file, and for its address.
    pub fn trusting(mut self, file: Option<PathBuf>) -> Self {
        self.trusted = file;
        self
    }

    /// The parameters of a URL for that.
    fn tls(&self) -> Option<String> {
        let file = self.trusted.as_ref()?;
        Some(format!(
            "sslmode=verify-full&sslrootcert={}",
            escape(&file.to_string_lossy())
        ))
    }

    fn password(&self) -> Option<&str> {
        self.with_password
            .then(|| self.settings.admin.password.expose_secret())
    }

    /// `host:port`, with commas between several.
    fn hosts(&self) -> String {
        let host = match self.settings.host() {
            IpAddr::V6(ip) => format!("[{ip}]"),
            ip => ip.to_string(),
        };
        joined(&self.ports, |port| format!("{host}:{port}"))
    }

    /// For libpq, and so psql and most drivers.
    pub fn libpq(&self) -> String {
        let password = self
            .password()
            .map(|password| format!(":{}", escape(password)))
            .unwrap_or_default();
        format!(
            "postgresql://{}{password}@{}/{}{}",
            escape(&self.settings.admin.user),
            self.hosts(),
            escape(&self.settings.database),
            self.tls().map(|tls| format!("?{tls}")).unwrap_or_default()
        )
    }

    pub fn jdbc(&self) -> String {
        let password = self
            .password()
            .map(|password| format!("&password={}", escape(password)))
            .unwrap_or_default();
        format!(
            "jdbc:postgresql://{}/{}?user={}{password}{}",
            self.hosts(),
            escape(&self.settings.database),
            escape(&self.settings.admin.user),
            self.tls().map(|tls| format!("&{tls}")).unwrap_or_default()
        )
    }

    /// The variables that libpq reads.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let host = self.settings.host().to_string();
        let mut variables = vec![
            ("PGHOST", joined(&self.ports, |_| host.clone())),
            ("PGPORT", joined(&self.ports, u16::to_string)),
            ("PGUSER", self.settings.admin.user.clone()),
            ("PGDATABASE", self.settings.database.clone()),
        ];
        if let Some(file) = &self.trusted {
            variables.push(("PGSSLMODE", "verify-full".to_owned()));
            variables.push(("PGSSLROOTCERT", file.to_string_lossy().into_owned()));
        }
        if let Some(password) = self.password() {
            variables.push(("PGPASSWORD", password.to_owned()));
        }
        variables
    }

    /// The same as lines for a POSIX shell's `eval`.
    pub fn exports(&self) -> String {
        let line =
            |(name, value): (&str, String)| format!("export {name}='{}'", value.replace('\'', r"'\''"));
        self.variables()
            .into_iter()
            .map(line)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// A line of a password file for libpq.
pub fn password_line(host: &str, port: &str, user: &str, password: &str) -> String {
    let escape = |text: &str| text.replace('\\', r"\\").replace(':', r"\:");
    format!(
        "{}:{port}:*:{}:{}\n",
        escape(host),
        escape(user),
        escape(password)
    )
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

fn joined(ports: &[u16], text: impl Fn(&u16) -> String) -> String {
    ports.iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::env_file::EnvFile;

    fn settings(env: &str) -> Settings {
        let file = EnvFile::parse(env.as_bytes(), Path::new(".env")).unwrap();
        Settings::resolve(&file, |_| None, 2).unwrap().0
    }

    #[test]
    fn each_reader_gets_its_own_escaping() {
        let settings =
            settings("POSTGRES_USER='a@b'\nPOSTGRES_PASSWORD='p\\ :/'\nPOSTGRES_DB='é?'\nBIND_ADDRESS=::1\n");
        let place = Place::new(&settings, vec![6432], true);
        assert_eq!(
            place.libpq(),
            r"postgresql://a%40b:p%5C%20%3A%2F@[::1]:6432/%C3%A9%3F"
        );
        assert_eq!(
            place.jdbc(),
            r"jdbc:postgresql://[::1]:6432/%C3%A9%3F?user=a%40b&password=p%5C%20%3A%2F"
        );
        assert_eq!(
            password_line("::1", "6432", "a@b", "p\\ :/"),
            "\\:\\:1:6432:*:a@b:p\\\\ \\:/\n"
        );
    }

    #[test]
    fn a_shell_reads_back_what_was_set() {
        let settings = settings("POSTGRES_PASSWORD=\"it's \\$5\"\n");
        assert_eq!(
            Place::new(&settings, vec![5001, 5002], true).exports(),
            "export PGHOST='127.0.0.1,127.0.0.1'\nexport PGPORT='5001,5002'\nexport PGUSER='postgresadmin'\n\
             export PGDATABASE='postgresdb'\nexport PGPASSWORD='it'\\''s $5'"
        );
    }

    #[test]
    fn who_is_to_be_trusted_is_told_to_each_reader() {
        let settings = settings("TLS=on\n");
        let file = Path::new("/my \"db\"/it's&ca.crt").to_owned();
        let place = Place::new(&settings, vec![5000], true).trusting(Some(file));
        assert_eq!(
            place.libpq(),
            "postgresql://postgresadmin:admin123@127.0.0.1:5000/postgresdb\
             ?sslmode=verify-full&sslrootcert=%2Fmy%20%22db%22%2Fit%27s%26ca.crt"
        );
        assert_eq!(
            place.jdbc(),
            "jdbc:postgresql://127.0.0.1:5000/postgresdb?user=postgresadmin&password=admin123\
             &sslmode=verify-full&sslrootcert=%2Fmy%20%22db%22%2Fit%27s%26ca.crt"
        );
        let exports = place.exports();
        let lines = "export PGSSLMODE='verify-full'\nexport PGSSLROOTCERT='/my \"db\"/it'\\''s&ca.crt'\n";
        assert!(exports.contains(lines), "{exports}");
    }

    #[test]
    fn without_being_asked_no_password_is_told() {
        let settings = settings("");
        let place = Place::new(&settings, vec![5001, 5002], false);
        assert_eq!(
            place.libpq(),
            "postgresql://postgresadmin@127.0.0.1:5001,127.0.0.1:5002/postgresdb"
        );
        assert!(
            !format!("{}{}", place.jdbc(), place.exports())
                .to_lowercase()
                .contains("password")
        );
    }
}
