//! `PROFILE`, and configuration files that must fit together before anything is written.

use predicates::prelude::*;
use predicates::str::contains;

use crate::folder::Folder;

const MASTER: &str = "master/config/postgresql.conf";
const REPLICAS: &str = "slave-template/config/postgresql.conf";

/// The value of a `name = value` line.
fn value(folder: &Folder, path: &str, name: &str) -> String {
    let text = folder.text(path);
    let line = text.lines().find(|line| {
        line.trim_start().starts_with(&format!("{name} "))
            || line.trim_start().starts_with(&format!("{name}:"))
    });
    let line = line.unwrap_or_else(|| panic!("{path} has no {name}"));
    line.trim_start()[name.len()..]
        .trim_matches([' ', '=', ':'])
        .to_owned()
}

#[test]
fn a_profile_sets_the_pool_the_servers_and_the_containers() {
    fn check(profile: &str, expected: [&str; 4]) {
        let folder = Folder::generated(1, &format!("PROFILE={profile}\n"));
        let seen = [
            value(&folder, "pgpool/pgpool.conf", "num_init_children"),
            value(&folder, "master/config/cluster.conf", "max_connections"),
            value(&folder, "slave-1/config/cluster.conf", "shared_buffers"),
            value(&folder, "docker-compose.yml", "shm_size"),
        ];
        assert_eq!(seen, expected, "{profile}");
    }
    check("small", ["90", "120", "64MB", "256mb"]);
    check("medium", ["220", "250", "128MB", "256mb"]);
    check("large", ["450", "500", "1024MB", "1024mb"]);
}

/// After `change` to a generated folder `generate` refuses with `expected`, and writes nothing.
fn refused(change: impl FnOnce(&Folder), expected: &[&str]) {
    let folder = Folder::generated(2, "");
    change(&folder);
    let before = folder.state();
    let assert = folder.pgcluster(&["generate"]).assert().code(2).stdout("");
    let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    for words in expected {
        assert!(stderr.contains(words), "`{words}` is not in:\n{stderr}");
    }
    assert_eq!(before.differences(&folder.state()), [""; 0]);
}

#[test]
fn a_server_with_less_room_than_the_pool_takes_is_refused_with_the_line() {
    refused(
        |folder| {
            folder.write(MASTER, "\nmax_connections = 239\n");
            folder.write("slave-2/config/local.conf", "max_connections 200");
        },
        &[
            "max_connections: master has 239 (master/config/postgresql.conf line 2)",
            "max_connections: slave-2 has 200 (slave-2/config/local.conf line 1)",
            "num_init_children 220",
            "fix: set max_connections = 240 or more in master/config/postgresql.conf",
        ],
    );
}

#[test]
fn a_replica_with_less_than_the_master_is_refused_once_for_all_of_them() {
    refused(
        |folder| {
            let old = folder.text(MASTER);
            folder.write(MASTER, format!("{old}include_if_exists = 'more.conf'\n"));
            folder.write("master/config/more.conf", "MAX_WORKER_PROCESSES = 0x30 # 48\n");
        },
        &[
            "max_worker_processes: slave-1 has 32, and the master has 48 (master/config/more.conf line 1)",
            "fix: set max_worker_processes = 48 or more in slave-template/config/postgresql.conf too",
        ],
    );
}

#[test]
fn a_replica_with_more_than_the_master_is_fine() {
    let folder = Folder::generated(1, "");
    let old = folder.text(REPLICAS);
    folder.write(REPLICAS, format!("{old}max_worker_processes = 48\n"));
    folder.pgcluster(&["generate"]).assert().success();
}

#[test]
fn a_smaller_profile_lets_a_smaller_server_be() {
    let folder = Folder::generated(1, "PROFILE=small\n");
    for path in [MASTER, REPLICAS] {
        folder.write(path, "max_connections = 110\n");
    }
    folder.pgcluster(&["generate"]).assert().success();
    folder
        .pgcluster(&["generate"])
        .env("PROFILE", "large")
        .assert()
        .code(2)
        .stderr(contains("PROFILE=large").and(contains("set max_connections = 470")));
}
