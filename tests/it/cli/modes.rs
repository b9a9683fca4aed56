//! The connection mode on the command line, and what is refused before Docker is asked.

use predicates::prelude::*;
use predicates::str::contains;

use super::fake_docker::FakeDocker;
use crate::folder::{Folder, env_with_free_ports};

#[test]
fn a_mode_that_cannot_hold_is_refused_with_the_reason_and_nothing_changes() {
    fn check(arguments: &[&str], says: &str) {
        let env = format!("READ_CONSISTENCY=session\n{}", env_with_free_ports(1));
        let (docker, folder) = (FakeDocker::working(), Folder::generated(1, &env));
        let before = folder.state();
        docker
            .pgcluster(&folder, arguments)
            .assert()
            .code(2)
            .stderr(contains(says).and(contains("fix: ")));
        assert_eq!(docker.calls().len(), 0);
        assert_eq!(before.differences(&folder.state()), [""; 0]);
    }
    let reason = "READ_CONSISTENCY: `session` cannot hold with CONNECTION_MODE=transaction";
    check(&["up", "--mode", "transaction"], reason);
    check(
        &["up", "--mode", "fast"],
        "CONNECTION_MODE: `fast` is none of its words",
    );
}

#[test]
fn a_change_of_mode_is_planned_with_its_causes() {
    let docker = FakeDocker::working();
    let folder = Folder::generated(1, &env_with_free_ports(1));
    docker
        .pgcluster(&folder, &["up", "--mode", "statement", "--dry-run"])
        .assert()
        .success()
        .stdout(contains(".env  (set CONNECTION_MODE)"))
        .stdout(contains("write pgbouncer/pgbouncer.ini  (new)"))
        .stdout(contains("start pgbouncer  (no container)"));
    assert!(!folder.has("pgbouncer"));
    assert!(!folder.text(".env").contains("statement\n"));
}

#[test]
fn a_template_of_the_users_without_pgbouncer_is_refused_in_its_modes() {
    let folder = Folder::generated(0, &env_with_free_ports(0));
    folder.write(
        "templates/docker-compose.yml.tera",
        "services: {postgres-master: {}, pgpool-loadbalancer: {}}\n",
    );
    folder.generate(0);
    folder
        .pgcluster(&["generate"])
        .env("CONNECTION_MODE", "transaction")
        .assert()
        .code(2)
        .stderr(contains("gives no service pgbouncer"));
}

#[test]
fn a_check_needs_a_cluster_that_runs() {
    let docker = FakeDocker::working();
    docker
        .pgcluster(&Folder::new(), &["mode", "check"])
        .assert()
        .code(2)
        .stderr(contains("there is no cluster"));
    let folder = Folder::generated(1, &env_with_free_ports(1));
    docker
        .pgcluster(&folder, &["mode", "check", "--json"])
        .assert()
        .code(3)
        .stdout("")
        .stderr(contains("the master cannot be asked").and(contains("pgcluster up")));
}
