//! `stop`, `start`, `restart`: what they refuse, and what they ask first.

use predicates::prelude::*;
use predicates::str::contains;

use super::fake_docker::FakeDocker;
use crate::folder::{Folder, env_with_free_ports};

/// Two replicas; everything runs but the second.
fn cluster() -> (FakeDocker, Folder) {
    let docker = FakeDocker::working();
    docker.runs(&[
        ("pgpool-loadbalancer", 6432),
        ("postgres-master", 5000),
        ("postgres-slave1", 5001),
    ]);
    (docker, Folder::generated(2, &env_with_free_ports(2)))
}

/// The words of each call that changes a container.
fn changes(docker: &FakeDocker) -> Vec<String> {
    let calls = docker.calls();
    let changing = calls
        .iter()
        .filter(|words| ["stop", "start", "restart", "exec"].contains(&words[0].as_str()));
    changing.map(|words| words.join(" ")).collect()
}

/// The calls that stop one.
fn stops(docker: &FakeDocker) -> Vec<String> {
    let changes = changes(docker).into_iter();
    changes.filter(|words| words.starts_with("stop")).collect()
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_is() {
    fn check(args: &[&str], code: i32, told: &str) {
        let (docker, folder) = cluster();
        docker
            .pgcluster(&folder, args)
            .assert()
            .code(code)
            .stdout("")
            .stderr(contains(told));
        assert_eq!(changes(&docker), [""; 0], "{args:?}");
    }
    check(&["stop"], 2, "`pgcluster down` the whole cluster");
    check(&["start"], 2, "`pgcluster up` the whole cluster");
    check(&["stop", "slave-1", "slave-3"], 2, "there is no node `slave-3`");
    check(&["restart", "any-replica"], 2, "there is no node `any-replica`");
    check(&["stop", "slave-2"], 3, "slave-2 has no container");
    check(&["restart"], 3, "slave-2 has no container");
    check(
        &["restart", "slave-1"],
        2,
        "edited and are not in effect yet\n    fix: run `pgcluster up`",
    );
    check(
        &["stop", "master"],
        2,
        "without the master nothing can be written",
    );
    check(
        &["stop", "slave-1", "pool"],
        2,
        "without the pool its clients are cut",
    );
    check(&["start", "slave-1"], 0, "slave-1 runs already");
}

#[test]
fn a_folder_without_a_cluster_is_left_alone() {
    for args in [&["restart"][..], &["stop", "master"], &["start", "master"]] {
        let folder = Folder::new();
        FakeDocker::working()
            .pgcluster(&folder, args)
            .assert()
            .code(2)
            .stderr(contains("there is no cluster in"));
        assert_eq!(folder.files_with(|_| true), [""; 0]);
    }
}

#[test]
fn stopping_tells_how_to_start_again_and_what_is_kept_meanwhile() {
    let (docker, folder) = cluster();
    docker
        .pgcluster(&folder, &["stop", "postgres-slave1"])
        .assert()
        .success()
        .stderr(contains("`pgcluster start slave-1` or `pgcluster up`").and(contains("keeps the WAL")));
    assert_eq!(stops(&docker), ["stop postgres-slave1-id"]);
    // Before it stops.
    let changes = changes(&docker);
    let detaches = |words: &String| words.ends_with("pool-node.sh detach 1");
    let (detached, stopped) = (
        changes.iter().position(detaches),
        changes.iter().position(|words| words.starts_with("stop")),
    );
    assert!(detached.is_some() && detached < stopped, "{changes:?}");
}

#[test]
fn several_stop_from_the_clients_to_the_master() {
    let (docker, folder) = cluster();
    docker
        .pgcluster(&folder, &["stop", "master", "slave-1", "pool", "--yes"])
        .assert()
        .success();
    assert_eq!(
        stops(&docker),
        [
            "stop pgpool-loadbalancer-id",
            "stop postgres-slave1-id",
            "stop postgres-master-id"
        ]
    );
}

#[test]
fn where_commits_wait_for_every_replica_stopping_one_is_confirmed() {
    let (docker, folder) = cluster();
    docker
        .pgcluster(&folder, &["stop", "slave-1"])
        .env("READ_CONSISTENCY", "strict")
        .assert()
        .code(2)
        .stderr(contains("commits wait for slave-1"));
    assert_eq!(changes(&docker), [""; 0]);
}

#[test]
fn a_dry_run_tells_the_steps_and_takes_none() {
    let (docker, folder) = cluster();
    docker
        .pgcluster(&folder, &["restart", "pool", "slave-1", "--dry-run"])
        .assert()
        .success()
        .stdout(
            "send no new session to slave-1, and wait for those it has\ndetach slave-1 from the pool\n\
             restart slave-1\nattach slave-1 to the pool\nrestart pool\n",
        );
    docker
        .pgcluster(&folder, &["stop", "slave-1", "--dry-run"])
        .assert()
        .success()
        .stdout(
            "send no new session to slave-1, and wait for those it has\ndetach slave-1 from the pool\nstop slave-1\n",
        );
    assert_eq!(changes(&docker), [""; 0]);
}
