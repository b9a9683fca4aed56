//! `pgcluster generate`: what it writes, what it leaves alone, what it refuses.

mod env;
mod fingerprints;
mod properties;
mod reads;
mod refused;
mod rendered;
mod tuning;
mod values;
mod yours;

use std::fs;

use predicates::prelude::*;
use predicates::str::contains;

use crate::folder::Folder;

fn compose_file(folder: &Folder) -> serde_yaml::Value {
    serde_yaml::from_str(&folder.text("docker-compose.yml")).unwrap()
}

/// The project name in a folder's Compose file.
fn project_name(folder: &Folder) -> String {
    compose_file(folder)["name"].as_str().unwrap().to_owned()
}

/// The number of replicas in a folder's Compose file.
fn replicas(folder: &Folder) -> usize {
    let compose = compose_file(folder);
    let services = compose["services"].as_mapping().unwrap().keys();
    services
        .filter(|service| service.as_str().unwrap().starts_with("postgres-slave"))
        .count()
}

#[test]
fn the_first_run_names_every_file_it_writes() {
    let folder = Folder::new();
    folder
        .pgcluster(&["generate", "1"])
        .assert()
        .success()
        .stdout(contains("write .env  (first use; it is yours from then on)"))
        .stdout(contains("write docker-compose.yml  (new)"))
        .stdout(contains("write slave-1/config/postgresql.conf  (new)"));
}

#[test]
fn a_second_run_has_nothing_to_do_and_touches_nothing() {
    let folder = Folder::new();
    folder.generate(2);
    let before = folder.state();
    folder
        .pgcluster(&["generate"])
        .assert()
        .success()
        .stdout(predicates::str::starts_with("nothing to do"))
        .stderr("");
    assert_eq!(before.differences(&folder.state()), [""; 0]);
}

/// It would be an image of its own, and a build that may need the network.
#[test]
fn what_a_killed_command_was_writing_is_part_of_no_image() {
    let folder = Folder::new();
    folder.generate(1);
    let before = folder.text("docker-compose.yml");
    folder.write("slave-template/.pgcluster-half", "half");

    folder.generate(1);

    assert_eq!(folder.text("docker-compose.yml"), before);
    assert!(!folder.has("slave-template/.pgcluster-half"));
}

#[test]
fn a_changed_setting_rewrites_only_what_it_reaches() {
    let folder = Folder::new();
    folder.generate(2);
    let before = folder.state();
    folder
        .pgcluster(&["generate"])
        .env("MASTER_PORT", "5900")
        .assert()
        .success()
        .stdout("write docker-compose.yml  (changed)\n");
    // The file is replaced, which changes its folder's time, too.
    assert_eq!(before.differences(&folder.state()), ["docker-compose.yml"]);
}

#[test]
fn the_number_of_replicas_is_the_argument_else_what_is_there_else_two() {
    let folder = Folder::new();
    let check = |args: &[&str], expected: usize| {
        folder.pgcluster(args).assert().success();
        assert_eq!(replicas(&folder), expected, "{args:?}");
    };
    check(&["generate"], 2);
    check(&["generate", "4"], 4);
    check(&["generate"], 4);
    check(&["generate", "0"], 0);
    check(&["generate"], 0);
}

#[test]
fn a_hundred_replicas_are_the_most() {
    let folder = Folder::new();
    folder.generate(100);
    assert_eq!(replicas(&folder), 100);
}

#[test]
fn an_impossible_number_of_replicas_is_refused_with_the_reason() {
    fn check(number: &str, reason: &str) {
        let folder = Folder::new();
        folder
            .pgcluster(&["generate", number])
            .assert()
            .code(2)
            .stdout("")
            .stderr(contains(reason));
        assert_eq!(folder.files_with(|_| true), [""; 0], "{number}");
    }
    check("101", "Pgpool-II has room for 128 nodes");
    check("101", "fix: choose 0 to 100");
    check("1000000", "1000000 replicas are too many");
    check("4294967296", "4294967296");
    check("-1", "'-1'");
    check("two", "'two'");
    check("1.5", "'1.5'");
    check("", "''");
}

#[test]
fn folders_of_the_same_name_are_different_projects() {
    let (one, other) = (Folder::named("db"), Folder::named("db"));
    one.generate(0);
    other.generate(0);
    assert_ne!(project_name(&one), project_name(&other));
    for folder in [one, other] {
        assert!(project_name(&folder).starts_with("pgcluster-db-"));
    }
}

#[test]
fn a_folder_is_found_by_a_name_with_spaces_and_unicode() {
    let folder = Folder::named("My Clüster 数据");
    let elsewhere = Folder::new();
    elsewhere
        .pgcluster(&["-C", folder.root().to_str().unwrap(), "generate", "1"])
        .assert()
        .success();
    assert!(project_name(&folder).starts_with("pgcluster-myclster-"));
    assert_eq!(elsewhere.files_with(|_| true), [""; 0]);
}

#[test]
fn a_relative_folder_is_the_same_project() {
    let folder = Folder::named("db");
    folder.generate(1);
    let before = folder.state();
    fs::create_dir(folder.at("below")).unwrap();
    folder
        .pgcluster(&["-C", "below/..", "generate"])
        .assert()
        .success();
    fs::remove_dir(folder.at("below")).unwrap();
    assert_eq!(before.differences(&folder.state()), [""; 0]);
}

#[test]
fn a_folder_that_is_not_there_is_bad_input() {
    let folder = Folder::new();
    folder
        .pgcluster(&["-C", "nowhere", "generate"])
        .assert()
        .code(2)
        .stderr(contains("nowhere: no such folder").and(contains("fix: create it")));
}

#[test]
fn a_dry_run_names_the_same_files_and_writes_none() {
    let folder = Folder::new();
    let dry = folder
        .pgcluster(&["generate", "2", "--dry-run"])
        .assert()
        .success();
    assert_eq!(folder.files_with(|_| true), [""; 0]);
    assert!(!folder.has(".pgcluster"));
    let real = folder.pgcluster(&["generate", "2"]).assert().success();
    assert_eq!(real.get_output().stdout, dry.get_output().stdout);
}

#[cfg(unix)]
#[test]
fn only_their_owner_reads_secrets_and_containers_read_the_rest() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    folder.generate(1);
    let check = |path: &str, expected: u32| {
        let mode = fs::metadata(folder.at(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, expected, "{path}: {mode:o}");
    };
    check(".env", 0o600);
    check(".pgcluster", 0o700);
    check(".pgcluster/secrets", 0o700);
    for secret in ["postgres_password", "replication_password", "pool_password"] {
        check(&format!(".pgcluster/secrets/{secret}"), 0o600);
    }
    check("slave-1", 0o755);
    check("slave-1/config", 0o755);
    check("slave-1/config/cluster.conf", 0o644);
    check("pgpool/pgpool.conf", 0o644);
    check("docker-compose.yml", 0o644);
}

#[cfg(unix)]
#[test]
fn a_secret_that_was_opened_to_others_is_closed_again() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    folder.generate(1);
    let path = folder.at(".pgcluster/secrets/postgres_password");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    folder.pgcluster(&["generate"]).assert().success();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}
