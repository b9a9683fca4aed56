//! Where the value of each key comes from.

use std::fmt;

use super::{Additions, DEFAULTS};
use crate::env_file::EnvFile;

/// Who set a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Environment,
    /// A line of the file, from 1.
    File(usize),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Environment => write!(f, "environment"),
            Origin::File(line) => write!(f, "line {line}"),
            Origin::Default => write!(f, "default"),
        }
    }
}

/// A key with the text it is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    pub key: String,
    pub text: String,
    pub origin: Origin,
}

/// What sets `key`, if anything does: the environment before the file.
pub(super) fn given(
    file: &EnvFile,
    environment: impl Fn(&str) -> Option<String>,
    key: &str,
) -> Option<(String, Origin)> {
    let from_file = || {
        let text = file.get(key)?.to_owned();
        Some((text, Origin::File(file.line(key).unwrap_or(0))))
    };
    environment(key)
        .map(|text| (text, Origin::Environment))
        .or_else(from_file)
}

/// Every key of a cluster of `replicas` replicas, in the order of the documentation, ports of replicas last.
///
/// `additions` are those that nothing sets, with their defaults.
pub fn values(
    file: &EnvFile,
    environment: impl Fn(&str) -> Option<String>,
    additions: &Additions,
    replicas: u32,
) -> Vec<Value> {
    let fixed = DEFAULTS.iter().map(|(key, _)| (*key).to_owned());
    let ports = (1..=replicas).map(|n| format!("SLAVE{n}_PORT"));
    fixed
        .chain(ports)
        .filter_map(|key| {
            let default = || {
                let (_, text) = additions.iter().find(|(name, _)| *name == key)?;
                Some((text.clone(), Origin::Default))
            };
            let (text, origin) = given(file, &environment, &key).or_else(default)?;
            Some(Value { key, text, origin })
        })
        .collect()
}

/// Whether the text of `key` is a password.
pub fn is_secret(key: &str) -> bool {
    key.ends_with("PASSWORD")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::Settings;

    #[test]
    fn each_value_tells_who_set_it() {
        let file =
            EnvFile::parse(b"# mine\nMASTER_PORT=7000\nPGPOOL_PORT=7001\n", Path::new(".env")).unwrap();
        let environment = |key: &str| (key == "PGPOOL_PORT").then(|| "7002".to_owned());
        let (_, additions) = Settings::resolve(&file, environment, 1).unwrap();
        let values = values(&file, environment, &additions, 1);
        let told = |key: &str| {
            let value = values.iter().find(|value| value.key == key).unwrap();
            format!("{} {}", value.text, value.origin)
        };
        assert_eq!(told("MASTER_PORT"), "7000 line 2");
        assert_eq!(told("PGPOOL_PORT"), "7002 environment");
        assert_eq!(told("POSTGRES_DB"), "postgresdb default");
        assert_eq!(told("SLAVE1_PORT"), "7001 default");
        assert_eq!(values.len(), DEFAULTS.len() + 1);
    }
}
