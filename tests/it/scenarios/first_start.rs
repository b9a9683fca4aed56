//! From an empty folder to a cluster that is proved, with names and passwords as awkward as they may be.

use std::collections::BTreeSet;

use crate::cluster::{Cluster, eventually, services};

/// Every character that is special to one of `.env`, YAML, Compose, SQL, libpq, pgpool.conf and a shell.
const AWKWARD: &str = "p$x'\"\\#: {ü%";

#[test]
fn an_empty_folder_becomes_a_cluster_of_four() {
    let Some(cluster) = Cluster::new("mein Cluster ü 数据") else {
        return;
    };
    cluster
        .settings(["POSTGRES_PASSWORD", "REPLICATION_PASSWORD", "POOL_PASSWORD"].map(|key| (key, AWKWARD)));

    cluster.up(3);

    cluster.replicates_to(3);
    cluster.writes("master", "on the master");
    cluster.writes("pool", "through the pool");
    cluster.reads_everywhere(3, &["on the master", "through the pool"]);
    reads_reach_every_replica_and_writes_the_master(&cluster, 3);
    plain_compose_reads_the_same_env(&cluster);
    for service in services(3) {
        let log = cluster.log(&service);
        assert!(
            !log.contains("pgcluster.marker"),
            "{service} was asked for what it has not:\n{log}"
        );
    }
}

#[test]
fn a_second_up_changes_nothing() {
    let Some(cluster) = Cluster::new("unchanged") else {
        return;
    };
    cluster.up(2);
    let state = || {
        let marker = cluster
            .login("master")
            .database("postgres")
            .ask("SELECT * FROM pgcluster.marker");
        (cluster.containers(), marker.expect("a marker"))
    };
    let (before, files) = (state(), cluster.files());

    cluster.run(["up"]).exits(0);

    assert_eq!(state(), before);
    assert_eq!(cluster.files().changed_since(&files), Vec::<String>::new());
    cluster.replicates_to(2);
}

#[test]
fn awkward_names_work_in_an_awkward_folder() {
    let Some(cluster) = Cluster::new("it's, \"odd\", $HOME & #1 (ü)") else {
        return;
    };
    cluster.settings([
        ("POSTGRES_USER", "we\"ird u'ser"),
        ("POSTGRES_PASSWORD", " !lead and trail "),
        ("POSTGRES_DB", "d\"b $x's ü"),
        ("REPLICATION_USER", "re'pli\\ca \"tor\""),
        ("REPLICATION_PASSWORD", "*a:b\\:c"),
        ("POOL_USER", "po\"ol $1"),
        ("POOL_PASSWORD", "1e3"),
    ]);

    cluster.up(1);

    cluster.replicates_to(1);
    cluster.writes("pool", "through the pool");
    cluster.reads_everywhere(1, &["through the pool"]);
    plain_compose_reads_the_same_env(&cluster);
}

/// Compose 2 takes a path for part of a URL, where `%` begins an escape; engines split volumes at `:`.
#[test]
fn a_folder_that_compose_cannot_use_works_or_is_refused_with_the_reason() {
    for (name, character) in [("100% mine", "%"), ("a:b", ":")] {
        let Some(cluster) = Cluster::new(name) else { return };

        let outcome = cluster.run(["up", "--replicas", "0"]);

        if outcome.code != Some(0) {
            assert!(cluster.containers().is_empty());
            outcome.exits(2).says(&format!("`{character}`")).says("fix:");
        }
    }
}

fn reads_reach_every_replica_and_writes_the_master(cluster: &Cluster, replicas: u32) {
    let mut readers = BTreeSet::new();
    let expected: Vec<String> = (1..=replicas).map(|id| format!("slave{id}")).collect();
    eventually(
        "each replica, and nobody else, serves reads",
        20,
        expected,
        || {
            readers.insert(cluster.sql("pool", "SELECT current_setting('cluster_name')"));
            readers.iter().cloned().collect()
        },
    );
    let writer = cluster.sql(
        "pool",
        "INSERT INTO notes VALUES ('who?') RETURNING current_setting('cluster_name')",
    );
    assert_eq!(writer, "master");
}

/// Compose reads `.env` for its own variables, so it must understand each line, and as we do.
fn plain_compose_reads_the_same_env(cluster: &Cluster) {
    cluster.compose(["config", "--quiet"]).exits(0);
    let environment = cluster.compose(["config", "--environment"]).exits(0).stdout;
    for key in [
        "POSTGRES_USER",
        "POSTGRES_PASSWORD",
        "POSTGRES_DB",
        "REPLICATION_PASSWORD",
    ] {
        let line = format!("{key}={}", cluster.setting(key));
        assert!(
            environment.lines().any(|l| l == line),
            "`{line}` is missing in:\n{environment}"
        );
    }
    let listed = cluster.compose(["config", "--services"]).exits(0).stdout;
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_unstable();
    assert_eq!(listed, services(listed.len() as u32 - 2));
}
