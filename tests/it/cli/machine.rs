//! What the machine lacks is found before anything is done, and all of it is told at once.

use predicates::prelude::*;
use predicates::str::contains;

use super::fake_docker::FakeDocker;
use crate::folder::{Folder, env_with_free_ports};

const NO_ENGINE: &str =
    "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?";

const NOT_ALLOWED: &str = "permission denied while trying to connect to the Docker daemon socket at \
                           unix:///var/run/docker.sock: dial unix /var/run/docker.sock: connect: permission denied";

/// A folder with two replicas on ports that nobody holds.
fn folder() -> Folder {
    Folder::generated(2, &env_with_free_ports(2))
}

/// `up` exits with 5, says all of `expected`, and changes nothing in the folder.
fn check(docker: &FakeDocker, folder: &Folder, expected: &[&str]) {
    let before = folder.state();
    let assert = docker.pgcluster(folder, &["up"]).assert().code(5).stdout("");
    let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    for words in expected {
        assert!(stderr.contains(words), "{words} is not in:\n{stderr}");
    }
    assert_eq!(before.differences(&folder.state()), [""; 0]);
}

#[test]
fn a_machine_without_docker() {
    let empty = tempfile::tempdir().unwrap();
    for args in [["up"], ["status"], ["down"]] {
        folder()
            .pgcluster(&args)
            .env("PATH", empty.path())
            .assert()
            .code(5)
            .stderr(
                contains("`docker`")
                    .and(contains("PATH"))
                    .and(contains("fix: install")),
            );
    }
}

#[test]
fn an_engine_that_does_not_run() {
    let docker = FakeDocker::working();
    docker.has_no_engine(NO_ENGINE);
    check(
        &docker,
        &folder(),
        &[
            "error: the Docker engine does not answer: Cannot connect",
            "fix: start Docker Desktop",
        ],
    );
}

#[test]
fn an_engine_that_this_user_may_not_use() {
    let docker = FakeDocker::working();
    docker.has_no_engine(NOT_ALLOWED);
    check(
        &docker,
        &folder(),
        &["permission denied", "fix: add yourself to the `docker` group"],
    );
}

#[test]
fn status_and_down_need_an_engine_too() {
    for args in [["status"], ["down"]] {
        let docker = FakeDocker::working();
        docker.has_no_engine(NO_ENGINE);
        docker
            .pgcluster(&folder(), &args)
            .assert()
            .code(5)
            .stderr(contains("the Docker engine does not answer").and(contains("fix: start Docker Desktop")));
    }
}

#[test]
fn compose_that_is_not_installed() {
    let docker = FakeDocker::working();
    docker.says("compose-version", "");
    docker.fails("compose-version", 125, "unknown flag: --short\n");
    check(
        &docker,
        &folder(),
        &["`docker compose` is missing\n", "docker-compose-plugin"],
    );
}

#[test]
fn the_old_compose_does_not_do() {
    let docker = FakeDocker::working();
    docker.install("docker-compose");
    docker.says("compose-version", "");
    docker.fails(
        "compose-version",
        1,
        "docker: 'compose' is not a docker command.\n",
    );
    check(
        &docker,
        &folder(),
        &[
            "the `docker-compose` on PATH is the old Compose 1",
            "docker-compose-plugin",
        ],
    );
}

#[test]
fn compose_1_as_a_plugin_does_not_do_either() {
    let docker = FakeDocker::working();
    docker.says("compose-version", "1.29.2\n");
    check(&docker, &folder(), &["Compose 1.29.2 is too old"]);
}

#[test]
fn the_versions_of_compose_that_do() {
    fn check(version: &str) {
        let docker = FakeDocker::working();
        docker.says("compose-version", version);
        docker
            .pgcluster(&folder(), &["up", "--dry-run"])
            .assert()
            .success();
    }
    check("2.0.0\n");
    check("v2.40.3-desktop.1\n");
    check("5.0.1\n");
}

#[test]
fn engine_and_compose_are_reported_together() {
    let docker = FakeDocker::working();
    docker.has_no_engine(NO_ENGINE);
    docker.says("compose-version", "1.29.2\n");
    check(
        &docker,
        &folder(),
        &["the Docker engine does not answer", "Compose 1.29.2 is too old"],
    );
}

#[test]
fn the_checks_cost_five_calls_of_docker() {
    let docker = FakeDocker::working();
    docker
        .pgcluster(&folder(), &["up", "--dry-run"])
        .assert()
        .success();
    let mut calls: Vec<String> = docker.calls().iter().map(|words| words[..2].join(" ")).collect();
    calls.sort();
    assert_eq!(
        calls,
        [
            "compose version",
            "image inspect",
            "info --format",
            "ps --all",
            "version --format"
        ]
    );
}

#[test]
fn a_dry_run_tells_what_would_be_done_and_writes_nothing() {
    let folder = Folder::new();
    folder.write(".env", env_with_free_ports(1));
    let before = folder.state();
    let docker = FakeDocker::working();
    docker.fails("image-inspect", 1, "Error: No such image\n");
    docker
        .pgcluster(&folder, &["up", "--replicas", "1", "--dry-run"])
        .assert()
        .success()
        .stdout(
            contains("write docker-compose.yml  (new)")
                .and(contains("build pgcluster-node:"))
                .and(contains("start postgres-slave1  (no container)")),
        );
    assert_eq!(before.differences(&folder.state()), [""; 0]);
}

#[test]
fn memory_that_the_servers_buffers_do_not_fit_into() {
    let docker = FakeDocker::working();
    docker.says("info", "402653183\n");
    check(
        &docker,
        &folder(),
        &[
            "the shared_buffers of 3 nodes are 384.0 MiB",
            "fix: choose a smaller PROFILE",
        ],
    );
}
