//! What each command says where it can do nothing: text, hint and exit code.

use predicates::prelude::*;
use predicates::str::contains;

use super::fake_docker::FakeDocker;
use crate::folder::{Folder, env_with_free_ports};

/// In the folder of a cluster of which nothing runs.
fn check(words: &[&str], code: i32, told: &str, fix: &str) {
    let folder = Folder::generated(1, &(env_with_free_ports(1) + "QUERY_CACHE=hint\n"));
    let before = folder.state();
    FakeDocker::working()
        .pgcluster(&folder, words)
        .assert()
        .code(code)
        .stdout("")
        .stderr(contains(format!("error: {told}")).and(contains(format!("fix: {fix}"))));
    assert_eq!(before.differences(&folder.state()), [""; 0], "{words:?}");
}

#[test]
fn each_says_what_is_wrong_and_what_to_do() {
    check(
        &["stop"],
        2,
        "stop which node?",
        "`pgcluster stop slave-1` stops one",
    );
    check(
        &["start"],
        2,
        "start which node?",
        "`pgcluster start slave-1` starts one",
    );
    check(
        &["url", "master", "pool", "--format", "env"],
        2,
        "--format env is for one node",
        "name one node",
    );
    check(&["user", "add", ""], 2, "the role has no name", "give it one");
    check(
        &["cache", "flush"],
        3,
        "the pool does not run, so nothing is cached",
        "`pgcluster up` starts it",
    );
    check(
        &["psql", "any-replica"],
        3,
        "no replica streams",
        "`pgcluster status` says why",
    );
    check(
        &["mode", "check"],
        3,
        "the master cannot be asked: ",
        "see `pgcluster status`",
    );
}

#[test]
fn a_compose_file_of_ours_that_is_broken_is_told() {
    let folder = Folder::generated(1, &(env_with_free_ports(1) + "QUERY_CACHE=hint\n"));
    let text = folder.text("docker-compose.yml");
    folder.write("docker-compose.yml", text.replace("services:", "services: ["));
    FakeDocker::working()
        .pgcluster(&folder, &["up"])
        .assert()
        .code(2)
        .stderr(
            contains("docker-compose.yml cannot be read: ")
                .and(contains("`pgcluster generate N` writes it again")),
        );
}

#[test]
fn a_program_that_is_not_there_is_told() {
    let folder = Folder::generated(1, &(env_with_free_ports(1) + "QUERY_CACHE=hint\n"));
    let empty = tempfile::tempdir().unwrap();
    folder
        .pgcluster(&["logs"])
        .env("PATH", empty.path())
        .assert()
        .code(5)
        .stderr(contains("cannot run `docker`: ").and(contains("see that `docker` is on PATH")));
}

#[test]
fn a_variable_that_cannot_be_read_is_not_taken_for_absent() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    FakeDocker::working()
        .pgcluster(&Folder::new(), &["generate", "1"])
        .env("MASTER_PORT", OsStr::from_bytes(b"50\xff0"))
        .assert()
        .code(2)
        .stderr(contains("MASTER_PORT: the environment variable is not UTF-8"));
}
