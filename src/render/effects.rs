//! What a change of each key leads to, found out by rendering with and without it: the README's table says the same.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Rendering, render};
use crate::assets::Sources;
use crate::env_file::EnvFile;
use crate::settings::{self, Settings};
use crate::topology::{POOL_SERVICE, Topology};

/// Other values for every key, valid beside the defaults of all others.
const OTHERS: &[(&str, &str)] = &[
    ("POSTGRES_USER", "someone"),
    ("POSTGRES_PASSWORD", "another"),
    ("POSTGRES_DB", "other"),
    ("PGDATA", "/other"),
    ("REPLICATION_USER", "streamer"),
    ("REPLICATION_PASSWORD", "another"),
    ("POOL_USER", "checker"),
    ("POOL_PASSWORD", "another"),
    ("BIND_ADDRESS", "0.0.0.0"),
    ("MASTER_PORT", "6000"),
    ("PGPOOL_PORT", "6433"),
    ("TLS", "on"),
    ("SLAVE1_PORT", "6001"),
    ("SLAVE2_PORT", "6002"),
    ("CONNECTION_MODE", "transaction"),
    ("READ_CONSISTENCY", "strict"),
    ("READ_CONSISTENCY", "session"),
    ("MAX_REPLICA_LAG", "1MB"),
    ("QUERY_CACHE", "hint"),
    ("QUERY_CACHE_TTL", "7"),
    ("PROFILE", "large"),
    ("DATA", "volume"),
    ("EXTENSIONS", "vector"),
    ("EXTENSIONS_IN_TEMPLATE", "on"),
    ("EXTRA_PACKAGES", "postgresql-17-cron"),
];

/// These the cluster takes at initialisation; a later change is refused, or has a command of its own.
fn fixed(key: &str) -> Option<&'static str> {
    match key {
        "POSTGRES_PASSWORD" | "REPLICATION_PASSWORD" | "POOL_PASSWORD" => Some("`rotate`"),
        "POSTGRES_USER" | "POSTGRES_DB" | "REPLICATION_USER" | "POOL_USER" | "DATA" => Some("new cluster"),
        _ => None,
    }
}

fn rendering(env: &str) -> Rendering {
    let file = EnvFile::parse(env.as_bytes(), Path::new(".env")).unwrap();
    let (settings, _) = Settings::resolve(&file, |_| None, 2).unwrap_or_else(|p| panic!("{p:?}"));
    let empty = tempfile::tempdir().unwrap();
    let sources = Sources::read(empty.path(), 2).unwrap();
    let topology = Topology::new(Path::new("/project"), &settings);
    render(&settings, &topology, &sources).unwrap()
}

/// The words of the README for what turns `before` into `after`.
fn effect(before: &Rendering, after: &Rendering) -> &'static str {
    let specs = |rendering: &Rendering, pool: bool| {
        let mut specs = rendering.specs.clone();
        specs.retain(|service, _| service.starts_with("postgres-") != pool);
        specs
    };
    let nodes = specs(before, false) != specs(after, false);
    let pool = specs(before, true) != specs(after, true);
    if before.images != after.images {
        "rebuild, restart"
    } else if nodes {
        "restart"
    } else if before.config_hashes != after.config_hashes {
        if pool { "reload, pool restart" } else { "reload" }
    } else if pool {
        "pool restart"
    } else {
        "at once"
    }
}

#[test]
fn the_readme_tells_what_a_change_of_each_key_leads_to() {
    let readme = include_str!("../../README.md");
    let before = rendering("");
    let known: Vec<&str> = settings::DEFAULTS.iter().map(|(key, _)| *key).collect();
    for key in &known {
        assert!(OTHERS.iter().any(|(other, _)| other == key), "{key} is not tried");
    }
    let mut effects: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (key, other) in OTHERS {
        // How long results are kept is of no effect where none is.
        let needed = if *key == "QUERY_CACHE_TTL" {
            "QUERY_CACHE=hint\n"
        } else {
            ""
        };
        let changed = || effect(&rendering(needed), &rendering(&format!("{needed}{key}={other}")));
        let found = fixed(key).unwrap_or_else(changed);
        effects.entry(key).or_default().push(found);
    }
    for (key, found) in effects {
        let start = format!("| `{key}` |");
        let row = readme.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("README has no row for {key}"));
        let stated = row
            .trim_end_matches('|')
            .rsplit('|')
            .next()
            .unwrap_or_default()
            .trim();
        assert_eq!(stated, found.join(", "), "the effect of {key} in README");
    }
    // SLAVE1_PORT shows that the pool does not depend on where a replica listens on this machine.
    assert_eq!(
        rendering("SLAVE1_PORT=6001").specs[POOL_SERVICE],
        before.specs[POOL_SERVICE]
    );
}
