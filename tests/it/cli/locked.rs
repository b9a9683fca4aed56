//! One command at a time in a folder.

use std::fs::File;

use predicates::prelude::*;
use predicates::str::contains;

use super::fake_docker::FakeDocker;
use crate::folder::{Folder, env_with_free_ports};

/// The folder's lock, held by this process as if it were a `pgcluster up`.
pub fn hold(folder: &Folder) -> File {
    folder.write(".pgcluster/lock-holder", "`pgcluster up`, process 4711");
    let lock = File::options()
        .write(true)
        .open(folder.at(".pgcluster/lock"))
        .unwrap();
    lock.lock().unwrap();
    lock
}

#[test]
fn a_command_that_changes_something_waits_for_nobody_and_names_the_holder() {
    fn check(args: &[&str]) {
        let folder = Folder::generated(1, &env_with_free_ports(1));
        let docker = FakeDocker::working();
        let _lock = hold(&folder);
        let before = folder.state();
        docker
            .pgcluster(&folder, args)
            .assert()
            .code(4)
            .stdout("")
            .stderr(contains("`pgcluster up`, process 4711 is at work in").and(contains("fix: wait")));
        assert_eq!(before.differences(&folder.state()), [""; 0], "{args:?}");
        let calls = docker.calls();
        assert!(calls.iter().all(|words| words[0] != "compose"), "{calls:?}");
    }
    check(&["generate", "2"]);
    check(&["up"]);
    check(&["down"]);
    check(&["down", "--remove-volumes", "--yes"]);
}

#[test]
fn a_command_that_only_looks_needs_no_lock() {
    fn check(args: &[&str], code: i32) {
        let folder = Folder::generated(1, &env_with_free_ports(1));
        let _lock = hold(&folder);
        FakeDocker::working().pgcluster(&folder, args).assert().code(code);
    }
    check(&["status"], 3);
    check(&["generate", "2", "--dry-run"], 0);
    check(&["up", "--dry-run"], 0);
    check(&["down", "--dry-run"], 0);
}

#[test]
fn the_lock_of_a_process_that_ended_hinders_nobody() {
    let folder = Folder::generated(1, "");
    drop(hold(&folder));
    folder.generate(2);
}

#[test]
fn the_lock_of_another_folder_hinders_nobody() {
    let (folder, other) = (Folder::generated(1, ""), Folder::generated(1, ""));
    let _lock = hold(&other);
    folder.generate(2);
}
