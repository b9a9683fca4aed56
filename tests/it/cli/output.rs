//! What goes where: results on standard output, the rest on standard error, colours only where wanted.

use std::process::Output;

use predicates::str::contains;

use super::fake_docker::FakeDocker;
use crate::folder::{Folder, env_with_free_ports};

const UP: &[&str] = &["up", "--timeout", "1"];

/// `pgcluster args` in a folder of one replica whose containers do not run, where colours are asked for by
/// the environment.
fn run(args: &[&str]) -> Output {
    let folder = Folder::generated(1, &env_with_free_ports(1));
    let docker = FakeDocker::working();
    let mut command = docker.pgcluster(&folder, args);
    command.env("CLICOLOR_FORCE", "1").output().unwrap()
}

fn has_colour(output: &Output) -> bool {
    [&output.stdout, &output.stderr]
        .iter()
        .any(|text| text.contains(&0x1b))
}

#[test]
fn colour_never_means_no_escape_code_at_all() {
    for args in [
        UP,
        &["status"],
        &["status", "--json"],
        &["-v", "up", "--timeout", "1"],
    ] {
        let output = run(&[args, &["--color", "never"]].concat());
        assert_eq!(output.status.code(), Some(3));
        assert!(!has_colour(&output), "{output:?}");
    }
}

#[test]
fn colour_always_colours() {
    assert!(has_colour(&run(&["status", "--color", "always"])));
}

#[test]
fn a_pipe_gets_no_escape_codes() {
    let folder = Folder::generated(1, &env_with_free_ports(1));
    for args in [UP, &["-q", "up", "--timeout", "1"], &["status"], &["generate"]] {
        let output = FakeDocker::working().pgcluster(&folder, args).output().unwrap();
        assert!(!has_colour(&output), "{output:?}");
    }
}

#[test]
fn quiet_leaves_results_and_errors() {
    fn check(args: &[&str], code: i32, stdout: &str, stderr: &str) {
        let folder = Folder::generated(1, &env_with_free_ports(1));
        folder.write("master/pgdata/PG_VERSION", "17\n");
        folder.write("slave-5/pgdata/PG_VERSION", "17\n");
        FakeDocker::working()
            .pgcluster(&folder, args)
            .assert()
            .code(code)
            .stdout(contains(stdout))
            .stderr(predicates::str::starts_with(stderr));
    }
    check(&["generate", "-q"], 0, "nothing to do", "");
    check(&["down", "-q"], 0, "", "");
    check(&["status", "-q"], 3, "NODE", "error: ");
    check(&["up", "-q", "--timeout", "1"], 3, "", "error: master: ");
}

#[test]
fn quiet_says_nothing_beside_results_and_errors() {
    for args in [["generate", "-q"], ["down", "-q"]] {
        let folder = Folder::generated(1, "");
        folder.write("slave-5/pgdata/PG_VERSION", "17\n");
        FakeDocker::working()
            .pgcluster(&folder, &args)
            .assert()
            .success()
            .stderr("");
    }
}

#[test]
fn verbose_shows_the_commands() {
    let folder = Folder::generated(1, "");
    FakeDocker::working()
        .pgcluster(&folder, &["down", "-v"])
        .assert()
        .success()
        .stderr(contains("docker compose --project-name pgcluster-demo-"));
}

#[test]
fn json_is_json_of_an_unhealthy_cluster_too() {
    let output = run(&["status", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["healthy"], false);
    let nodes: Vec<&str> = report["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|node| node["node"].as_str())
        .collect();
    assert_eq!(nodes, ["master", "slave-1"]);
    assert_eq!(report["nodes"][0]["serving"], false);
    assert_eq!(report["pool"]["serving"], false);
    assert!(
        report["findings"]
            .as_array()
            .is_some_and(|findings| !findings.is_empty())
    );
}

#[test]
fn the_table_has_a_line_for_each_node_and_the_pool() {
    let output = run(&["status", "--color", "never"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let first: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(first, ["NODE", "master", "slave-1", "pool"]);
}

#[test]
fn what_docker_should_not_have_answered_is_told_with_the_command() {
    let folder = Folder::generated(1, "");
    let docker = FakeDocker::working();
    docker.says("ps-all", "nonsense\n");
    docker
        .pgcluster(&folder, &["status"])
        .assert()
        .code(1)
        .stdout("")
        .stderr(contains("cannot read the output of docker ps --all"));
}
