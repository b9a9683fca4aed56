//! The parsers of what others write, as functions of any bytes: only for the targets in `fuzz/` and for the tests, which
//! drive the very same functions.
//!
//! Whatever comes, none may panic or hang; what one promises besides, it asserts here. What `pg_controldata` and Pgpool-II's
//! PCP commands print is read by the scripts in the containers, not by the program.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::docker::{self, api};
use crate::env_file::{self, EnvFile};
use crate::health::Watcher;
use crate::observed::Fixed;
use crate::postgres::{read_facts, sort_remarks};
use crate::quorum;
use crate::render::{self, configured};
use crate::roster::Roster;
use crate::route::{self, Trace};
use crate::settings::Settings;
use crate::workdir;

/// A parser, or several of the same kind of text.
pub type Target = fn(&[u8]);

/// Every target, by the name of its file in `fuzz/fuzz_targets`.
pub const TARGETS: &[(&str, Target)] = &[
    ("compose_file", compose_file),
    ("compose_json", compose_json),
    ("configuration", configuration),
    ("engine_json", engine_json),
    ("env_file", env_file),
    ("notices", notices),
    ("pool", pool),
    ("servers", servers),
];

/// `.env`, and its change of one key.
pub fn env_file(bytes: &[u8]) {
    const KEY: &str = "POSTGRES_PASSWORD";
    const VALUE: &str = r#"p $x'"\ #"#;
    let name = Path::new(".env");
    let Ok(before) = EnvFile::parse(bytes, name) else {
        let _ = env_file::set(bytes, KEY, VALUE);
        return;
    };
    let _ = Settings::resolve(&before, |_| None, 1);
    let changed = env_file::set(bytes, KEY, VALUE);
    // Others may refer to the key, and then get its new value.
    if bytes.contains(&b'$') {
        return;
    }
    let after = EnvFile::parse(&changed, name).expect("what was set is read again");
    assert_eq!(after.get(KEY), Some(VALUE));
    for key in before.keys().filter(|key| *key != KEY) {
        assert_eq!(after.get(key), before.get(key), "{key}");
    }
    let appended = env_file::append(bytes, &[("FUZZED".to_owned(), "1".to_owned())]);
    if before.line("FUZZED").is_none() {
        let after = EnvFile::parse(&appended, name).expect("what was appended is read again");
        assert_eq!(after.get("FUZZED"), Some("1"));
    }
}

/// The Compose file in the folder.
pub fn compose_file(bytes: &[u8]) {
    let _ = workdir::read_compose_file(&String::from_utf8_lossy(bytes));
}

/// What `docker` and `docker compose` print.
pub fn compose_json(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = docker::parse_containers(&text);
    let _ = docker::parse_volumes(&text);
    let _ = docker::parse_data_in_volumes(&text);
    let _ = docker::parse_sizes(&text);
    let _ = docker::parse_engine_version(&text);
    let _ = docker::parse_port_owner(&text, 5432);
    let _ = docker::parse_extensions(&text);
    let _ = docker::engine_away(&text);
    let _ = text.lines().map(docker::unknown_package).count();
}

/// What the engine answers.
pub fn engine_json(bytes: &[u8]) {
    let _ = api::parse_container_list(bytes, "p");
    let _ = api::parse_volume_list(bytes);
    let _ = api::parse_version(bytes);
    let _ = api::parse_memory(bytes);
}

/// The configuration files of a server: `cluster.conf`, and with a zero before each, others that it may include.
pub fn configuration(bytes: &[u8]) {
    let names = [
        "cluster.conf",
        "postgresql.conf",
        "local.conf",
        "more/a.conf",
        "more/b.conf",
    ];
    let files = names.iter().zip(bytes.split(|byte| *byte == 0));
    let files: BTreeMap<String, &[u8]> = files
        .map(|(name, text)| (format!("config/{name}"), text))
        .collect();
    let read = configured::read("config/cluster.conf", &files);
    for (name, assigned) in &read {
        assert!(files.contains_key(&*assigned.file) && assigned.line > 0, "{name}");
        let _ = configured::integer(&assigned.value);
        let _ = configured::memory(&assigned.value);
        let _ = quorum::refuse_below(&assigned.value, &BTreeSet::from([1, 2]));
    }
    let _ = render::draining(bytes, &[1, 12]);
}

/// A connection of Pgpool-II with its notices; the first byte tells where the network cuts it.
pub fn notices(bytes: &[u8]) {
    let Some((cut, stream)) = bytes.split_first() else {
        return;
    };
    let sorted = |parts: &[&[u8]]| {
        let (mut raw, mut clean, mut remarks) = (Vec::new(), Vec::new(), Vec::new());
        for part in parts {
            raw.extend_from_slice(part);
            remarks.extend(sort_remarks(&mut raw, &mut clean).remarks);
        }
        (raw, clean, remarks)
    };
    let (first, rest) = stream.split_at(usize::from(*cut).min(stream.len()));
    let whole = sorted(&[stream]);
    assert_eq!(sorted(&[first, rest]), whole);
    let trace = Trace::read(&whole.2, "Parse: SELECT 1");
    let _ = trace.reason(false, 1, crate::settings::ReadConsistency::Session);
    let _ = route::has_primary_hint(&String::from_utf8_lossy(stream));
}

/// What comes from the pool's containers: the watcher's report, PgBouncer's pools, the list of roles.
pub fn pool(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = Watcher::parse(&text);
    let _ = docker::parse_bouncer_pools(&text);
    let query = crate::observed::WatcherQuery {
        age: 1.0,
        role: "pool".to_owned(),
        query: format!("SELECT 'pool-watch{text}.'"),
    };
    let _ = Watcher::of_query(&query, "pool");
    // What is written is read again; no name and no password has a control character.
    let written = Roster::parse(bytes).file().content;
    if !written.contains(&b'\r') {
        assert_eq!(Roster::parse(&written).file().content, written);
    }
}

/// What servers say of themselves.
pub fn servers(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let line = |line: &str| {
        let cells = line.split(';').filter_map(|cell| cell.split_once('='));
        cells
            .map(|(column, value)| (column.to_owned(), value.to_owned()))
            .collect()
    };
    let lines: Vec<_> = text.lines().map(line).collect();
    read_facts(&lines);
    let _ = serde_json::from_slice::<crate::doctor::NodeFacts>(bytes);
    if let Ok(fixed) = serde_json::from_slice::<Vec<Fixed>>(bytes) {
        let assigned = |fixed: &Fixed| {
            let value = fixed.default.clone().unwrap_or_default();
            (
                fixed.name.clone(),
                configured::Assigned {
                    value,
                    file: "".into(),
                    line: 1,
                },
            )
        };
        let configured: configured::Configured = fixed.iter().map(assigned).collect();
        let _ = crate::reconcile::changes(&configured.into(), &fixed);
    }
}
