//! `down`: what it stops, what it deletes, and what it asks first.

use std::fs;

use predicates::prelude::*;
use predicates::str::contains;

use super::fake_docker::FakeDocker;
use crate::folder::Folder;

/// A folder of two replicas with data in the master's and in two replicas' folders, one of them not wanted.
fn folder_with_data() -> Folder {
    let folder = Folder::generated(2, "");
    for node in ["master", "slave-1", "slave-7"] {
        folder.write(&format!("{node}/pgdata/PG_VERSION"), "17\n");
    }
    folder
}

fn was_stopped(docker: &FakeDocker) -> bool {
    docker
        .calls()
        .iter()
        .any(|words| words.contains(&"down".to_owned()))
}

#[test]
fn the_data_stays() {
    let (docker, folder) = (FakeDocker::working(), folder_with_data());
    let before = folder.state();
    docker
        .pgcluster(&folder, &["down"])
        .assert()
        .success()
        .stderr(contains("the data stays"));
    assert_eq!(before.differences(&folder.state()), [""; 0]);
    let down = docker.compose_call("down");
    assert!(down.contains(&"--remove-orphans".to_owned()), "{down:?}");
    assert!(
        !down.iter().any(|word| word == "--volumes" || word == "-v"),
        "{down:?}"
    );
}

#[test]
fn deleting_needs_a_yes_where_nobody_can_be_asked() {
    let (docker, folder) = (FakeDocker::working(), folder_with_data());
    let before = folder.state();
    docker
        .pgcluster(&folder, &["down", "--remove-volumes"])
        .write_stdin("yes\n")
        .assert()
        .code(2)
        .stderr(contains("there is no terminal to confirm it on").and(contains("fix: pass --yes")))
        .stderr(contains("master/pgdata").and(contains("slave-7/pgdata")));
    assert_eq!(before.differences(&folder.state()), [""; 0]);
    assert!(!was_stopped(&docker));
}

#[test]
fn with_a_yes_the_data_of_all_nodes_goes_and_nothing_else() {
    let (docker, folder) = (FakeDocker::working(), folder_with_data());
    folder.write("slave-1/pgdata.new/base", "half a clone");
    folder.write("slave-1/pgdata_backup/base", "mine");
    folder.write("slave-1/config/local.conf", "# mine\n");
    let before = folder.state();
    docker
        .pgcluster(&folder, &["down", "--remove-volumes", "--yes"])
        .assert()
        .success()
        .stderr(contains("4 data directories deleted"));
    let changed = before.differences(&folder.state());
    assert!(changed.iter().all(|path| is_data(path)), "{changed:?}");
    for gone in [
        "master/pgdata",
        "slave-1/pgdata",
        "slave-1/pgdata.new",
        "slave-7/pgdata",
    ] {
        assert!(!folder.has(gone), "{gone}");
    }
    assert!(was_stopped(&docker));
}

/// A data directory, something in it, or the folder that loses it.
fn is_data(path: &str) -> bool {
    path.contains("/pgdata/")
        || path.ends_with("/pgdata")
        || path.contains("/pgdata.new")
        || !path.contains('/')
}

#[test]
fn data_is_deleted_only_after_the_servers_have_stopped() {
    let (docker, folder) = (FakeDocker::working(), folder_with_data());
    docker.fails("compose-down", 1, "Error response from daemon: timeout\n");
    docker
        .pgcluster(&folder, &["down", "--remove-volumes", "--yes"])
        .assert()
        .code(1)
        .stderr(contains("Error response from daemon: timeout"));
    assert!(folder.has("master/pgdata/PG_VERSION"));
}

/// A server runs on it that `docker ps` does not show as ours, as when the folder was moved while it ran.
#[test]
fn data_that_a_server_still_uses_is_left_alone() {
    let (docker, folder) = (FakeDocker::working(), folder_with_data());
    // As its container holds it.
    let server = fs::File::open(folder.at("slave-1")).unwrap();
    server.lock().unwrap();
    docker
        .pgcluster(&folder, &["down", "--remove-volumes", "--yes"])
        .assert()
        .code(2)
        .stderr(contains(
            "a server still runs on slave-1/pgdata; nothing was deleted",
        ));
    for node in ["master", "slave-1", "slave-7"] {
        assert!(folder.has(&format!("{node}/pgdata/PG_VERSION")), "{node}");
    }
}

#[test]
fn a_dry_run_lists_and_does_nothing() {
    let (docker, folder) = (FakeDocker::working(), folder_with_data());
    let before = folder.state();
    docker
        .pgcluster(&folder, &["down", "--remove-volumes", "--dry-run"])
        .assert()
        .success()
        .stdout(contains("stop and remove").and(contains("delete slave-7/pgdata")));
    assert_eq!(before.differences(&folder.state()), [""; 0]);
    assert!(!was_stopped(&docker));
}

/// The containers are known by their labels.
#[test]
fn a_lost_compose_file_hinders_nothing() {
    let (docker, folder) = (FakeDocker::working(), folder_with_data());
    docker.says(
        "ps-all",
        r#"{"id":"1","state":"running","status":"Up","service":"postgres-master","spec":""}"#,
    );
    fs::remove_file(folder.at("docker-compose.yml")).unwrap();
    docker.pgcluster(&folder, &["down"]).assert().success();
    let down = docker.compose_call("down");
    assert!(!down.contains(&"--file".to_owned()), "{down:?}");
    assert!(down.contains(&"--project-name".to_owned()), "{down:?}");
}

#[test]
fn a_folder_without_a_cluster_stays_empty() {
    let (docker, folder) = (FakeDocker::working(), Folder::new());
    docker.pgcluster(&folder, &["down"]).output().unwrap();
    let left: Vec<_> = fs::read_dir(folder.root()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Its project, its folders: not ours to stop or to delete.
#[test]
fn a_project_that_is_not_ours_is_left_alone() {
    let (docker, folder) = (FakeDocker::working(), Folder::new());
    folder.write("docker-compose.yml", "services: {web: {image: nginx}}\n");
    folder.write("master/pgdata/PG_VERSION", "17\n");
    let before = folder.state();
    docker
        .pgcluster(&folder, &["down", "--remove-volumes", "--yes"])
        .assert()
        .code(2)
        .stderr(contains("was not written by pgcluster"));
    assert_eq!(before.differences(&folder.state()), [""; 0]);
    assert!(!was_stopped(&docker));
}

/// A `master/pgdata` alone does not make a folder ours: here is neither our Compose file nor `.pgcluster`.
#[test]
fn data_that_is_not_ours_is_left_alone() {
    let (docker, folder) = (FakeDocker::working(), Folder::new());
    folder.write("compose.yaml", "services: {web: {image: nginx}}\n");
    folder.write("master/pgdata/PG_VERSION", "17\n");
    let before = folder.state();
    docker
        .pgcluster(&folder, &["down", "--remove-volumes", "--yes"])
        .output()
        .unwrap();
    assert_eq!(before.differences(&folder.state()), [""; 0]);
}

#[test]
fn a_link_is_never_deleted_through() {
    let (docker, folder, elsewhere) = (FakeDocker::working(), folder_with_data(), Folder::new());
    elsewhere.write("precious", "x");
    fs::remove_dir_all(folder.at("slave-1/pgdata")).unwrap();
    std::os::unix::fs::symlink(elsewhere.root(), folder.at("slave-1/pgdata")).unwrap();
    docker
        .pgcluster(&folder, &["down", "--remove-volumes", "--yes"])
        .assert()
        .code(2)
        .stderr(contains("slave-1/pgdata is a symbolic link"));
    assert!(elsewhere.has("precious"));
    assert!(folder.has("master/pgdata"));
}
