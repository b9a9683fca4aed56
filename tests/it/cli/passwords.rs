//! `user` and `rotate`: what they refuse before they touch anything, and a password edited in `.env`.

use predicates::prelude::*;
use predicates::str::contains;

use super::fake_docker::FakeDocker;
use crate::folder::{Folder, env_with_free_ports};

fn folder() -> Folder {
    Folder::generated(1, &env_with_free_ports(1))
}

#[test]
fn what_cannot_be_is_refused_before_docker_is_called() {
    fn check(words: &[&str], input: &str, text: &str) {
        let (docker, folder) = (FakeDocker::working(), folder());
        let before = folder.state();
        docker
            .pgcluster(&folder, words)
            .write_stdin(input)
            .assert()
            .code(2)
            .stdout("")
            .stderr(contains(text).and(contains("fix: ")));
        assert_eq!(docker.calls().len(), 0, "{words:?}");
        assert_eq!(before.differences(&folder.state()), [""; 0], "{words:?}");
    }
    let own = &["rotate", "pool", "--password-stdin"];
    check(own, "", "the password is empty");
    check(own, "two\nlines\n", "the password has a control character");
    check(own, &"x".repeat(125), "the password is longer than the 124 bytes");
    check(own, "md5d41d8cd98f00b204e9800998ecf8427e", "looks like a hash");
    check(&["rotate", "--password-stdin"], "x", "one password for all three");
    check(&["user", "add", "a\nb"], "", r"a\nb: has a control character");
    check(&["user", "add", "pg_mine"], "", "begins with `pg_`");
    check(&["user", "passwd", "public"], "", "a word of SQL");
    check(&["user", "add", &"x".repeat(64)], "", "63 bytes");
}

#[test]
fn without_a_cluster_there_is_nothing_to_change() {
    for words in [&["rotate"][..], &["user", "list"], &["user", "add", "app"]] {
        let folder = Folder::new();
        folder
            .pgcluster(words)
            .assert()
            .code(2)
            .stderr(contains("there is no cluster"));
        assert_eq!(folder.files_with(|_| true), [""; 0], "{words:?}");
    }
}

#[test]
fn a_cluster_that_does_not_run_is_named() {
    let (docker, folder) = (FakeDocker::working(), folder());
    for words in [&["rotate"][..], &["user", "list"], &["user", "drop", "app"]] {
        docker
            .pgcluster(&folder, words)
            .assert()
            .code(3)
            .stderr(contains("the master does not run").and(contains("fix: `pgcluster up` starts it")));
    }
}

#[test]
fn what_the_environment_sets_cannot_be_rotated() {
    let (docker, folder) = (FakeDocker::working(), folder());
    docker
        .pgcluster(&folder, &["rotate", "pool"])
        .env("POOL_PASSWORD", "Hush")
        .assert()
        .code(2)
        .stderr(contains("POOL_PASSWORD: the environment sets it").and(contains("Hush").not()));
}

#[test]
fn a_password_edited_in_env_is_noticed_before_anything_changes() {
    let (docker, folder) = (FakeDocker::working(), folder());
    let env = folder.text(".env");
    let edit = |folder: &Folder| folder.write(".env", env.replace("poolcheck123", "Hush"));
    // Nothing was made with the old one yet.
    edit(&folder);
    folder.generate(1);
    folder.write(".env", &env);
    folder.generate(1);

    folder.write("master/pgdata/PG_VERSION", "17\n");
    edit(&folder);
    let before = folder.state();
    for words in [&["up"][..], &["up", "--dry-run"], &["generate"]] {
        docker
            .pgcluster(&folder, words)
            .assert()
            .code(3)
            .stderr(contains("POOL_PASSWORD: .env has another than the cluster"))
            .stderr(contains("pgcluster rotate pool --from-env").and(contains("Hush").not()));
        assert_eq!(before.differences(&folder.state()), [""; 0], "{words:?}");
    }
    docker
        .pgcluster(&folder, &["rotate", "pool", "--from-env"])
        .assert()
        .code(3)
        .stderr(contains("docker compose up -d"));
    folder.write(".env", &env);
    folder.generate(1);
}

#[test]
fn deleting_the_data_forgets_its_roles() {
    let (docker, folder) = (FakeDocker::working(), folder());
    assert_eq!(folder.text(".pgcluster/logins/users"), "");
    folder.write(".pgcluster/logins/users", "app\tHush\n");
    folder.generate(1);
    docker.pgcluster(&folder, &["down"]).assert().success();
    assert_eq!(folder.text(".pgcluster/logins/users"), "app\tHush\n");
    docker
        .pgcluster(&folder, &["down", "--remove-volumes", "--yes"])
        .assert()
        .success();
    assert_eq!(folder.text(".pgcluster/logins/users"), "");
}
