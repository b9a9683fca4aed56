//! What an image or a container is made of is in its tag or its fingerprint, or an edit would never take effect; what a
//! server takes up while it runs is not, or the edit would cost a restart.

use std::collections::BTreeMap;

use Act::{Edit, Own, Replicas, Set};

use super::compose_file;
use crate::folder::Folder;

/// By service: its image and its fingerprint.
fn made_of(folder: &Folder) -> BTreeMap<String, [String; 2]> {
    let mut compose = compose_file(folder);
    compose.apply_merge().unwrap();
    let text = |value: &serde_yaml::Value| value.as_str().unwrap().to_owned();
    let services = compose["services"].as_mapping().unwrap().iter();
    services
        .map(|(name, service)| {
            let spec = &service["labels"]["pgcluster.spec"];
            (text(name), [text(&service["image"]), text(spec)])
        })
        .collect()
}

/// Something that a user does.
#[derive(Debug)]
enum Act {
    /// Adds a line to a file of the folder, or makes it.
    Edit(&'static str, &'static str),
    /// Takes a copy of a template, and edits that.
    Own(&'static str, &'static str),
    /// Gives a key of `.env` another value.
    Set(&'static str, &'static str),
    /// Asks for so many replicas.
    Replicas(u32),
}

impl Act {
    fn on(&self, folder: &Folder) {
        match *self {
            Edit(path, line) => {
                let old = if folder.has(path) {
                    folder.text(path)
                } else {
                    String::new()
                };
                folder.write(path, format!("{old}{line}\n"));
            }
            Own(path, embedded) => folder.write(path, format!("{embedded}# x\n")),
            Set(key, value) => {
                let env = folder.text(".env");
                let others = env.lines().filter(|line| !line.starts_with(&format!("{key}=")));
                let others: String = others.map(|line| format!("{line}\n")).collect();
                folder.write(".env", format!("{others}{key}={value}\n"));
            }
            Replicas(count) => folder.generate(count),
        }
    }
}

/// After it: the services whose images are others, and those whose fingerprints are.
fn changed(act: &Act) -> [Vec<String>; 2] {
    let folder = Folder::generated(1, "");
    let before = made_of(&folder);
    act.on(&folder);
    folder.pgcluster(&["generate"]).assert().success();
    let after = made_of(&folder);
    [0, 1].map(|part| {
        let differs = |name: &&String| after[*name][part] != before[*name][part];
        let names = before.keys().filter(differs);
        names
            .map(|name| name.trim_start_matches("postgres-").to_owned())
            .collect()
    })
}

const NODES: &[&str] = &["master", "slave1"];
const POOL: &[&str] = &["pgpool-loadbalancer"];
const ALL: &[&str] = &["pgpool-loadbalancer", "master", "slave1"];

#[test]
fn what_an_image_is_made_of_is_in_its_tag() {
    let pool = include_str!("../../../templates/pool.Dockerfile");
    for (act, expected) in [
        (Set("EXTRA_PACKAGES", "postgresql-17-cron"), NODES),
        (Set("PGDATA", "/pg/data"), NODES),
        (Edit("slave-template/Dockerfile", "RUN true"), NODES),
        (Edit("slave-template/new-identity.pl", "# x"), NODES),
        (Edit("slave-template/mine.sql", "SELECT 1"), NODES),
        (Own("templates/pool.Dockerfile", pool), POOL),
        // They are mounted.
        (Edit("slave-template/slave-entrypoint.sh", "# x"), &[]),
        (Edit("slave-template/config/postgresql.conf", "# x"), &[]),
    ] {
        assert_eq!(changed(&act)[0], expected, "{act:?}");
    }
}

#[test]
fn what_a_container_is_made_of_is_in_its_fingerprint() {
    let compose = include_str!("../../../templates/docker-compose.yml.tera");
    for (act, expected) in [
        (Own("templates/docker-compose.yml.tera", compose), ALL),
        (Edit("compose.override.yaml", "services: {}"), ALL),
        (Edit("slave-template/node-common.sh", "# x"), NODES),
        (Set("BIND_ADDRESS", "127.0.0.2"), ALL),
        (Set("PROFILE", "large"), ALL),
        (Set("PGDATA", "/pg/data"), ALL),
        (Set("EXTRA_PACKAGES", "postgresql-17-cron"), NODES),
        (Edit("master/master-entrypoint.sh", "# x"), &["master"]),
        (Edit("slave-template/slave-entrypoint.sh", "# x"), &["slave1"]),
        (Set("MASTER_PORT", "5900"), &["master"]),
        (Set("SLAVE1_PORT", "5900"), &["slave1"]),
        (Set("PGPOOL_PORT", "5900"), POOL),
        (Set("MAX_REPLICA_LAG", "1MB"), POOL),
        (Set("QUERY_CACHE", "hint"), POOL),
        // Read by a server that runs, or nobody's business.
        (Edit("master/config/postgresql.conf", "work_mem = 9MB"), &[]),
        (Edit("slave-1/config/local.conf", "work_mem = 9MB"), &[]),
        (Replicas(2), &[]),
    ] {
        assert_eq!(changed(&act)[1], expected, "{act:?}");
    }
}
