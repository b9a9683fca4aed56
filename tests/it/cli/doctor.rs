//! `doctor` where no cluster runs.

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use super::fake_docker::FakeDocker;
use crate::folder::{Folder, env_with_free_ports};

/// `severity check` of whatever is not ok.
fn troubles(docker: &FakeDocker, folder: &Folder, code: i32) -> Vec<String> {
    let assert = docker
        .pgcluster(folder, &["doctor", "--json"])
        .assert()
        .code(code);
    let report: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    let checks = report["checks"].as_array().unwrap().iter();
    checks
        .filter(|check| check["severity"] != "ok")
        .map(|check| format!("{} {}", check["severity"], check["check"]).replace('"', ""))
        .collect()
}

#[test]
fn a_machine_that_can_is_fine_and_nothing_is_written() {
    let folder = Folder::new();
    folder.write(".env", env_with_free_ports(2));
    let before = folder.state();
    let docker = FakeDocker::working();
    docker
        .pgcluster(&folder, &["doctor"])
        .assert()
        .success()
        .stdout(contains("Docker Engine 27.5.1").and(contains("Compose 2.40.3")))
        .stderr(contains("only the machine was looked at"));
    assert_eq!(troubles(&docker, &folder, 0), [""; 0]);
    assert_eq!(before.differences(&folder.state()), [""; 0]);
}

#[test]
fn a_machine_without_docker_is_told_as_one_of_the_checks() {
    let folder = Folder::new();
    folder.write(".env", env_with_free_ports(2));
    let nothing = tempfile::tempdir().unwrap();
    folder
        .pgcluster(&["doctor"])
        .env("PATH", nothing.path())
        .assert()
        .code(5)
        .stdout(contains("`docker` is not on PATH").and(contains("fix: install Docker Engine")));
}

#[test]
fn an_engine_that_is_away_and_known_passwords_for_all_are_errors() {
    let folder = Folder::new();
    folder.write(".env", env_with_free_ports(2) + "BIND_ADDRESS=0.0.0.0\n");
    let docker = FakeDocker::working();
    assert_eq!(troubles(&docker, &folder, 3), ["error passwords"]);
    docker.has_no_engine("Cannot connect to the Docker daemon");
    assert_eq!(
        troubles(&docker, &folder, 5),
        ["error machine", "error passwords"]
    );
}

#[test]
fn an_old_compose_and_passwords_that_others_read_are_warnings() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    folder.write(".env", env_with_free_ports(2) + "POSTGRES_PASSWORD=own\n");
    std::fs::set_permissions(folder.at(".env"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let docker = FakeDocker::working();
    docker.says("compose-version", "2.3.0\n");
    assert_eq!(
        troubles(&docker, &folder, 0),
        ["warning versions", "warning passwords"]
    );
    docker
        .pgcluster(&folder, &["doctor", "-q"])
        .assert()
        .success()
        .stdout(contains("Docker Engine").not().and(contains("chmod 600")))
        .stderr("");
}
