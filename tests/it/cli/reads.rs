//! `route` and `cache`: how they reach the pool, and what they say where they cannot.

use predicates::prelude::*;
use predicates::str::contains;

use super::fake_docker::FakeDocker;
use crate::folder::Folder;

const ENV: &str = "POSTGRES_PASSWORD=Hush1\nQUERY_CACHE=hint\n";

const POOL: &str = r#"{"id":"c0ffee","state":"running","status":"Up","service":"pgpool-loadbalancer","spec":"1f","ports":""}"#;

const COMMANDS: [&[&str]; 3] = [
    &["route", "SELECT 1"],
    &["cache", "verify", "SELECT 1"],
    &["cache", "flush"],
];

#[test]
fn without_a_cluster_they_say_how_to_make_one() {
    for command in COMMANDS {
        let folder = Folder::new();
        folder
            .pgcluster(command)
            .assert()
            .code(2)
            .stderr(contains("there is no cluster in").and(contains("`pgcluster up` makes one")));
    }
}

#[test]
fn where_nothing_runs_they_say_so() {
    for command in COMMANDS {
        let (docker, folder) = (FakeDocker::working(), Folder::generated(1, ENV));
        docker
            .pgcluster(&folder, command)
            .assert()
            .code(3)
            .stdout("")
            .stderr(contains("does not run").or(contains("do not run")));
    }
}

#[test]
fn the_pool_is_reached_inside_its_container_without_a_password_in_sight() {
    let (docker, folder) = (FakeDocker::working(), Folder::generated(1, ENV));
    docker.says("ps-all", POOL);
    // This `exec` ends at once, as where nothing listens.
    docker
        .pgcluster(&folder, &["route", "SELECT 1"])
        .assert()
        .code(3)
        .stderr(contains("pgpool-loadbalancer does not let postgresadmin in"));
    let calls = docker.calls();
    let exec = calls.iter().find(|words| words[0] == "exec").expect("an exec");
    assert_eq!(exec[1..5], ["--interactive", "c0ffee", "bash", "-c"]);
    assert!(calls.iter().flatten().all(|word| !word.contains("Hush1")));
    assert!(!docker.environment("exec").contains("Hush1"));
}

#[test]
fn the_cache_is_flushed_by_the_pool_itself() {
    let (docker, folder) = (FakeDocker::working(), Folder::generated(1, ENV));
    docker.says("ps-all", POOL);
    docker
        .pgcluster(&folder, &["cache", "flush"])
        .assert()
        .success()
        .stderr(contains("the query cache is empty"));
    let calls = docker.calls();
    let exec = calls.iter().find(|words| words[0] == "exec").expect("an exec");
    assert_eq!(exec[1..3], ["c0ffee", "pcp_invalidate_query_cache"]);
}

#[test]
fn a_cache_that_is_off_has_nothing_to_flush_or_verify() {
    let folder = Folder::generated(1, "QUERY_CACHE=off\n");
    for command in &COMMANDS[1..] {
        folder
            .pgcluster(command)
            .assert()
            .code(2)
            .stderr(contains("QUERY_CACHE: `off`"));
    }
}

#[test]
fn what_would_end_the_transaction_is_refused_before_anything_is_asked() {
    let (docker, folder) = (FakeDocker::working(), Folder::generated(1, ENV));
    docker
        .pgcluster(&folder, &["route", "SELECT 1", "--after", "COMMIT"])
        .assert()
        .code(2)
        .stderr(contains("--after: `COMMIT`"));
    assert!(docker.calls().is_empty());
}
