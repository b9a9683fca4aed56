//! `DATA=volume`: what is asked of Docker, what is refused, and what is deleted in which order.

use std::fs;

use predicates::prelude::*;
use predicates::str::contains;

use super::fake_docker::FakeDocker;
use crate::folder::Folder;

/// As `docker volume ls` shows the volumes of a master and a replica.
const VOLUMES: &str =
    "{\"name\":\"p_master\",\"node\":\"master\"}\n{\"name\":\"p_slave-1\",\"node\":\"slave1\"}\n";

#[test]
fn generate_needs_no_docker() {
    let folder = Folder::new();
    folder.write(".env", "DATA=volume\n");
    let nothing = Folder::new();
    folder
        .pgcluster(&["generate", "1"])
        .env("PATH", nothing.root())
        .assert()
        .success();
    assert!(folder.text("docker-compose.yml").contains("type: volume"));
}

#[test]
fn from_volumes_to_directories_is_refused_as_long_as_there_are_volumes() {
    let (docker, folder) = (FakeDocker::working(), Folder::generated(1, "DATA=volume\n"));
    docker.says("volume-ls", VOLUMES);
    folder.write(".env", "DATA=directory\n");
    let before = folder.state();
    for command in [&["generate"][..], &["up"], &["up", "--dry-run"]] {
        docker
            .pgcluster(&folder, command)
            .assert()
            .code(2)
            .stderr(contains("DATA: `directory`").and(contains("p_master, p_slave-1")))
            .stderr(contains("fix: set DATA=volume again"));
    }
    assert_eq!(before.differences(&folder.state()), [""; 0]);

    docker.says("volume-ls", "");
    docker.pgcluster(&folder, &["generate"]).assert().success();
    assert!(!folder.text("docker-compose.yml").contains("type: volume"));
}

/// Also where data would have been moved by then.
#[test]
fn a_copy_between_folders_is_refused_before_anything_is_done() {
    let folder = Folder::generated(1, "DATA=volume\n");
    let before = folder.state();
    for command in [
        &["up"][..],
        &["scale", "2"],
        &["scale", "2", "--dry-run"],
        &["rebuild", "slave-1"],
    ] {
        let docker = FakeDocker::working();
        docker
            .pgcluster(&folder, &[command, &["--clone", "copy"]].concat())
            .assert()
            .code(2)
            .stderr(contains("--clone=copy copies between the folders").and(contains("fix: leave it out")));
        assert!(docker.calls().is_empty(), "{command:?}");
    }
    assert_eq!(before.differences(&folder.state()), [""; 0]);
}

/// Nothing may be decided about volumes that nobody can see.
#[test]
fn from_volumes_to_directories_needs_docker() {
    let (docker, folder) = (FakeDocker::working(), Folder::generated(1, "DATA=volume\n"));
    docker.fails("volume-ls", 1, "Cannot connect to the Docker daemon\n");
    folder.write(".env", "DATA=directory\n");
    let before = folder.state();
    docker
        .pgcluster(&folder, &["generate"])
        .assert()
        .code(5)
        .stderr(contains("Cannot connect to the Docker daemon"));
    assert_eq!(before.differences(&folder.state()), [""; 0]);
}

/// A folder whose Compose file was lost tells nothing, but Docker does.
#[test]
fn up_asks_for_volumes_where_the_folder_tells_nothing() {
    let (docker, folder) = (FakeDocker::working(), Folder::generated(1, "DATA=directory\n"));
    docker.says("volume-ls", VOLUMES);
    fs::remove_file(folder.at("docker-compose.yml")).unwrap();
    docker
        .pgcluster(&folder, &["up"])
        .assert()
        .code(2)
        .stderr(contains("p_master, p_slave-1"));
}

#[test]
fn from_directories_to_volumes_is_refused_as_long_as_there_is_data() {
    let (docker, folder) = (FakeDocker::working(), Folder::generated(1, "DATA=directory\n"));
    folder.write("master/pgdata/PG_VERSION", "17\n");
    folder.write("slave-1/pgdata.new/base", "half a clone");
    folder.write(".env", "DATA=volume\n");
    let before = folder.state();
    for command in [&["generate"][..], &["up"], &["up", "--dry-run"]] {
        docker
            .pgcluster(&folder, command)
            .assert()
            .code(2)
            .stderr(contains("data is in master/pgdata: it would not be used"))
            .stderr(contains("fix: set DATA=directory again"));
    }
    assert_eq!(before.differences(&folder.state()), [""; 0]);

    fs::remove_dir_all(folder.at("master/pgdata")).unwrap();
    docker.pgcluster(&folder, &["generate"]).assert().success();
}

/// Volumes are named after the folder's path: in a moved folder new ones, empty, would take their place.
#[test]
fn a_moved_folder_does_not_leave_its_volumes_behind() {
    let (docker, folder) = (FakeDocker::working(), Folder::generated(1, "DATA=volume\n"));
    docker.says("volume-ls", VOLUMES);
    let compose = folder.text("docker-compose.yml");
    let name = compose.lines().find(|line| line.starts_with("name: ")).unwrap();
    folder.write("docker-compose.yml", compose.replace(name, "name: \"of-before\""));
    let before = folder.state();
    for command in [&["generate"][..], &["up"]] {
        docker
            .pgcluster(&folder, command)
            .assert()
            .code(2)
            .stderr(contains("of-before").and(contains("would be empty")))
            .stderr(contains(
                "fix: move the folder back; or remove docker-compose.yml",
            ));
    }
    assert_eq!(before.differences(&folder.state()), [""; 0]);
    docker
        .pgcluster(&folder, &["down", "--remove-volumes", "--dry-run"])
        .assert()
        .success();
}

/// Where the Compose file was lost, Docker tells how many replicas there are.
#[test]
fn volumes_tell_the_number_of_replicas() {
    let (docker, folder) = (FakeDocker::working(), Folder::generated(3, "DATA=volume\n"));
    docker.says("volume-ls", "{\"name\":\"p_slave-5\",\"node\":\"slave5\"}\n");
    fs::remove_file(folder.at("docker-compose.yml")).unwrap();
    docker.pgcluster(&folder, &["generate"]).assert().success();
    assert!(folder.text("docker-compose.yml").contains("postgres-slave5"));
}

#[test]
fn a_replicas_volume_that_stays_is_named() {
    let (docker, folder) = (FakeDocker::working(), Folder::generated(0, "DATA=volume\n"));
    docker.says("volume-ls", VOLUMES);
    docker
        .pgcluster(&folder, &["generate"])
        .assert()
        .success()
        .stderr(contains("kept: the volume p_slave-1, of a replica").and(contains("p_master").not()));
}

/// A replica with data beside a master without: nothing is started.
#[test]
fn a_master_whose_volume_is_gone_is_not_made_anew() {
    let env = format!("DATA=volume\n{}", crate::folder::env_with_free_ports(1));
    let (docker, folder) = (FakeDocker::working(), Folder::generated(1, &env));
    docker.says("volume-ls", VOLUMES);
    docker.says("run", "0/pgdata.new\n1/pgdata\n");
    docker
        .pgcluster(&folder, &["up"])
        .assert()
        .code(2)
        .stderr(contains("the volume p_slave-1 holds the data of a cluster"));
    assert!(
        docker
            .calls()
            .iter()
            .all(|words| words.last().unwrap() != "--quiet-pull")
    );
}

#[test]
fn down_lists_the_volumes_and_keeps_them() {
    let (docker, folder) = (FakeDocker::working(), Folder::generated(1, "DATA=volume\n"));
    docker.says("volume-ls", VOLUMES);
    docker.says("image-ls", "pgcluster-node:1\n");
    docker.says("run", "1048576\t/volumes/0\n");
    docker
        .pgcluster(&folder, &["down", "--remove-volumes"])
        .assert()
        .code(2)
        .stderr(contains("volume p_master  1.0 MiB").and(contains("volume p_slave-1  size unknown")))
        .stderr(contains("fix: pass --yes"));
    docker.pgcluster(&folder, &["down"]).assert().success();
    let removed = |words: &Vec<String>| words[..2] == ["volume", "rm"];
    assert!(!docker.calls().iter().any(removed), "{:?}", docker.calls());
}

#[test]
fn volumes_are_deleted_the_masters_last_and_looked_for_again() {
    let (docker, folder) = (FakeDocker::working(), Folder::generated(1, "DATA=volume\n"));
    docker.says("volume-ls", VOLUMES);
    // The fake deletes nothing.
    docker
        .pgcluster(&folder, &["down", "--remove-volumes", "--yes"])
        .assert()
        .code(1)
        .stderr(contains("the volume p_master is still there").and(contains("docker volume rm p_slave-1")));
    let calls = docker.calls();
    let removed: Vec<&String> = calls
        .iter()
        .filter(|words| words[..2] == ["volume", "rm"])
        .flat_map(|words| &words[2..])
        .collect();
    assert_eq!(removed, ["p_slave-1", "p_master"]);
    let listed = calls.iter().find(|words| words[..2] == ["volume", "ls"]).unwrap();
    assert!(
        listed
            .iter()
            .any(|word| word.starts_with("label=com.docker.compose.project=pgcluster-demo-"))
            && listed.contains(&"label=pgcluster.node".to_owned()),
        "{listed:?}"
    );
}

#[test]
fn a_volume_that_another_container_uses_stops_the_deletion() {
    let (docker, folder) = (FakeDocker::working(), Folder::generated(1, "DATA=volume\n"));
    docker.says("volume-ls", VOLUMES);
    docker.says("ps", "backup-tool\n");
    docker
        .pgcluster(&folder, &["down", "--remove-volumes", "--yes"])
        .assert()
        .code(2)
        .stderr(contains("the container backup-tool uses a volume").and(contains("nothing was deleted")));
    assert!(!docker.calls().iter().any(|words| words[..2] == ["volume", "rm"]));
}
