//! Ports that cannot be had are found before anything is done.

use std::net::{Ipv4Addr, TcpListener};

use predicates::prelude::*;
use predicates::str::contains;

use super::fake_docker::FakeDocker;
use crate::folder::{Folder, env_with_free_ports, free_ports};

/// A port, and who listens on it as long as it is not dropped.
fn taken_port() -> (u16, TcpListener) {
    let port = free_ports(1)[0];
    (port, TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap())
}

/// `up` with `environment`, in a folder of two replicas on ports that nobody holds, exits with 5 and says all of
/// `expected`.
fn check(docker: &FakeDocker, environment: &[(&str, u16)], expected: &[&str]) {
    let folder = Folder::generated(2, &env_with_free_ports(2));
    let mut up = docker.pgcluster(&folder, &["up"]);
    for (key, port) in environment {
        up.env(key, port.to_string());
    }
    let assert = up.assert().code(5).stdout("");
    let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    for words in expected {
        assert!(stderr.contains(words), "{words} is not in:\n{stderr}");
    }
}

#[test]
fn every_port_that_is_taken_is_named_by_its_key() {
    let ((one, _one), (other, _other)) = (taken_port(), taken_port());
    check(
        &FakeDocker::working(),
        &[("SLAVE2_PORT", one), ("PGPOOL_PORT", other)],
        &[
            &format!("error: SLAVE2_PORT: port {one} is taken"),
            "fix: set SLAVE2_PORT to a free port in .env",
            &format!("error: PGPOOL_PORT: port {other} is taken"),
        ],
    );
}

/// One round of repairs, not two.
#[test]
fn a_port_that_is_taken_is_reported_together_with_compose() {
    let (port, _listener) = taken_port();
    let docker = FakeDocker::working();
    docker.says("compose-version", "1.29.2\n");
    check(
        &docker,
        &[("MASTER_PORT", port)],
        &[
            "Compose 1.29.2 is too old",
            &format!("MASTER_PORT: port {port} is taken"),
        ],
    );
}

#[test]
fn a_port_that_another_container_holds_is_told_with_its_name() {
    let (port, _listener) = taken_port();
    let docker = FakeDocker::working();
    docker.says(
        "ps",
        &format!("{{\"name\":\"web-1\",\"ports\":\"127.0.0.1:{port}->80/tcp\",\"project\":\"web\"}}\n"),
    );
    let expected = format!("MASTER_PORT: port {port} is held by the container web-1");
    check(&docker, &[("MASTER_PORT", port)], &[&expected]);
}

#[test]
fn the_clusters_own_containers_may_hold_their_ports() {
    fn check(state: &str, publishes: bool, code: i32) {
        let (port, listener) = taken_port();
        // Hangs up on whoever asks for the server's state.
        std::thread::spawn(move || listener.incoming().for_each(drop));
        let docker = FakeDocker::working();
        let ports = match publishes {
            true => format!("127.0.0.1:{port}->5432/tcp"),
            false => "127.0.0.1:1->5432/tcp".to_owned(),
        };
        docker.says(
            "ps-all",
            &format!(
                r#"{{"id":"1","state":"{state}","status":"","service":"postgres-master","spec":"","ports":"{ports}"}}"#
            ),
        );
        docker
            .pgcluster(
                &Folder::generated(2, &env_with_free_ports(2)),
                &["up", "--dry-run"],
            )
            .env("MASTER_PORT", port.to_string())
            .assert()
            .code(code);
    }
    check("running", true, 0);
    // A port that was changed in .env since it was made.
    check("running", false, 5);
    check("exited", false, 5);
}

#[test]
fn an_address_of_another_machine_is_told_for_each_port() {
    FakeDocker::working()
        .pgcluster(
            &Folder::generated(0, &env_with_free_ports(0)),
            &["up", "--insecure"],
        )
        .env("BIND_ADDRESS", "192.0.2.1")
        .assert()
        .code(5)
        .stderr(contains("MASTER_PORT").and(contains("PGPOOL_PORT")))
        .stderr(contains("cannot be used"));
}

/// Whoever has read the README would get in.
#[test]
fn others_reach_the_ports_only_with_passwords_of_ones_own() {
    fn check(settings: &str, arguments: &[&str], refused: bool) {
        let env = format!("BIND_ADDRESS=0.0.0.0\n{}{settings}", env_with_free_ports(1));
        let folder = Folder::generated(1, &env);
        let before = folder.state();
        let ended = FakeDocker::working().pgcluster(&folder, arguments).assert();
        let said = String::from_utf8_lossy(&ended.get_output().stderr).into_owned();
        assert_eq!(said.contains("--insecure"), refused, "{arguments:?}: {said}");
        if refused {
            ended
                .code(2)
                .stderr(contains("BIND_ADDRESS lets others reach the ports").and(contains("POOL_PASSWORD")));
            assert_eq!(before.differences(&folder.state()), [""; 0]);
        }
    }
    let own = "POSTGRES_PASSWORD=a1\nREPLICATION_PASSWORD=b2\nPOOL_PASSWORD=c3\n";
    for command in ["up", "scale 1", "rebuild slave-1"] {
        let words: Vec<&str> = command.split(' ').collect();
        check("", &words, true);
        check("POSTGRES_PASSWORD=a1\n", &words, true);
        check("", &[&words[..], &["--dry-run"]].concat(), true);
        check("", &[&words[..], &["--dry-run", "--insecure"]].concat(), false);
        check(own, &[&words[..], &["--dry-run"]].concat(), false);
    }
}
