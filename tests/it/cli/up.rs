//! `up`: how it calls Docker, and what it says when a step fails.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use predicates::prelude::*;
use predicates::str::contains;

use super::fake_docker::FakeDocker;
use crate::folder::{Folder, NO_ENGINE, env_with_free_ports};

/// Passwords that no other text contains.
const PASSWORDS: &str = "POSTGRES_PASSWORD=Hush1\nREPLICATION_PASSWORD=Hush2\nPOOL_PASSWORD=Hush3\n";

/// A folder with one replica, whose containers never answer.
fn folder() -> Folder {
    Folder::generated(1, &format!("{PASSWORDS}{}", env_with_free_ports(1)))
}

/// Gives up after a second, since nothing listens on the ports.
const UP: &[&str] = &["up", "--timeout", "1", "-v"];

/// The word after `option`.
fn after<'a>(words: &'a [String], option: &str) -> &'a str {
    let at = words.iter().position(|word| word == option);
    &words[at.unwrap_or_else(|| panic!("no {option} in {words:?}")) + 1]
}

#[test]
fn compose_is_told_the_project_and_reads_no_env_file() {
    let (docker, folder) = (FakeDocker::working(), folder());
    docker.pgcluster(&folder, UP).assert().code(3);
    let up = docker.compose_call("up");
    assert!(
        after(&up, "--project-name").starts_with("pgcluster-demo-"),
        "{up:?}"
    );
    assert_eq!(after(&up, "--env-file"), "/dev/null");
    assert_eq!(after(&up, "--project-directory"), folder.root().to_str().unwrap());
    assert_eq!(
        after(&up, "--file"),
        folder.at("docker-compose.yml").to_str().unwrap()
    );
    for option in ["--detach", "--remove-orphans", "--no-build"] {
        assert!(up.iter().any(|word| word == option), "{option} is not in {up:?}");
    }
}

/// The first line of the rendered file sends the user there.
#[test]
fn the_users_override_is_read() {
    let (docker, folder) = (FakeDocker::working(), folder());
    let rendered = folder.text("docker-compose.yml");
    assert!(rendered.lines().next().unwrap().contains("compose.override.yaml"));
    folder.write(
        "compose.override.yaml",
        "services: {postgres-master: {cpus: 1}}\n",
    );
    docker.pgcluster(&folder, UP).assert().code(3);
    let up = docker.compose_call("up").join(" ");
    assert!(
        up.contains("compose.override.yaml") || !up.contains("--file"),
        "{up}"
    );
}

#[test]
fn images_are_built_only_where_they_are_missing() {
    fn check(missing: bool) {
        let docker = FakeDocker::working();
        if missing {
            docker.fails("image-inspect", 1, "Error: No such image\n");
        }
        docker.pgcluster(&folder(), UP).assert().code(3);
        let built = docker
            .calls()
            .iter()
            .any(|words| words.contains(&"build".to_owned()));
        assert_eq!(built, missing);
    }
    check(true);
    check(false);
}

#[test]
fn no_password_is_in_a_command_line_or_in_the_output() {
    let docker = FakeDocker::working();
    docker.fails("image-inspect", 1, "Error: No such image\n");
    let folder = folder();
    let up = docker.pgcluster(&folder, UP).assert().code(3);
    let down = docker.pgcluster(&folder, &["down", "-v"]).assert().success();
    assert!(docker.calls().len() > 6);
    let said = [up, down].map(|assert| format!("{:?}", assert.get_output()));
    for text in [format!("{:?}", docker.calls())].iter().chain(&said) {
        assert!(!text.contains("Hush"), "{text}");
    }
}

#[test]
fn the_callers_settings_of_compose_are_not_passed_on() {
    let docker = FakeDocker::working();
    docker.fails("image-inspect", 1, "Error: No such image\n");
    let folder = folder();
    for args in [UP, &["down"]] {
        docker
            .pgcluster(&folder, args)
            .env("COMPOSE_PROJECT_NAME", "other")
            .env("COMPOSE_FILE", "/nowhere/compose.yml")
            .env("COMPOSE_PROFILES", "x")
            .env("COMPOSE_ENV_FILES", "/nowhere/.env")
            .env("DOCKER_HOST", "ssh://elsewhere")
            .output()
            .unwrap();
    }
    for call in [
        "compose-version",
        "compose-build",
        "compose-up",
        "compose-down",
        "ps-all",
    ] {
        let environment = docker.environment(call);
        assert!(!environment.contains("COMPOSE_"), "{call}:\n{environment}");
        assert!(
            environment.contains("DOCKER_HOST=ssh://elsewhere\n"),
            "{call}:\n{environment}"
        );
    }
}

#[test]
fn a_failed_build_shows_the_command_its_status_and_its_last_output() {
    let docker = FakeDocker::working();
    docker.fails("image-inspect", 1, "Error: No such image\n");
    let output: String = (1..=40).map(|n| format!("#9 step {n}\n")).collect();
    docker.says("compose-build", &output);
    docker.fails("compose-build", 17, "E: Unable to locate package nonsense\n");
    docker
        .pgcluster(&folder(), &["up"])
        .assert()
        .code(1)
        .stdout("")
        .stderr(contains(
            "error: exit status: 17: docker compose --project-name pgcluster-demo-",
        ))
        .stderr(contains("    | E: Unable to locate package nonsense"))
        .stderr(contains("    | #9 step 40"))
        .stderr(contains("#9 step 20").not());
    assert!(
        docker
            .calls()
            .iter()
            .all(|words| !words.contains(&"up".to_owned()))
    );
}

#[test]
fn containers_that_cannot_start_are_told_with_what_compose_said() {
    let docker = FakeDocker::working();
    docker.fails(
        "compose-up",
        1,
        "Error response from daemon: no space left on device\n",
    );
    docker.pgcluster(&folder(), &["up"]).assert().code(1).stderr(
        contains("exit status: 1: docker compose")
            .and(contains("    | Error response from daemon: no space")),
    );
}

#[test]
fn a_cluster_that_does_not_become_ready_is_told_node_by_node() {
    let docker = FakeDocker::working();
    docker
        .pgcluster(&folder(), &["up", "--timeout", "1"])
        .assert()
        .code(3)
        .stdout("")
        .stderr(
            contains("error: master: ")
                .and(contains("error: slave-1: "))
                .and(contains("error: pool: ")),
        )
        .stderr(contains("fix: "));
}

#[test]
fn bad_input_is_told_before_docker_is_called() {
    let docker = FakeDocker::working();
    docker
        .pgcluster(&folder(), &["up"])
        .env("MASTER_PORT", "five")
        .assert()
        .code(2)
        .stderr(contains("MASTER_PORT: `five` is not a port"));
    assert_eq!(docker.calls().len(), 0);
}

/// An `up` that waits for a build which never ends.
pub fn hanging(folder: &Folder) -> (FakeDocker, Child) {
    let docker = FakeDocker::working();
    docker.fails("image-inspect", 1, "Error: No such image\n");
    docker.hangs("compose-build");
    let child = Command::new(env!("CARGO_BIN_EXE_pgcluster"))
        .arg("up")
        .current_dir(folder.root())
        .env_clear()
        .env("PATH", docker.path())
        .env("DOCKER_HOST", NO_ENGINE)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while !docker.path().join("compose-build.environment").exists() {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "no build: {:?}",
            docker.calls()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    (docker, child)
}

pub fn interrupt(child: &Child) {
    let signal = Command::new("/bin/kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(signal.unwrap().success());
}

#[test]
fn an_interrupt_ends_it_and_says_how_to_go_on() {
    let folder = folder();
    let (_docker, child) = hanging(&folder);
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("interrupted"), "{stderr}");
    assert!(stderr.contains("`pgcluster up` continues"), "{stderr}");
    // The lock is free again.
    folder.pgcluster(&["generate"]).assert().success();
}

/// Whoever is impatient gets no other end, and none that lasts.
#[test]
fn a_second_interrupt_changes_nothing() {
    let folder = folder();
    let (_docker, child) = hanging(&folder);
    let begin = Instant::now();
    interrupt(&child);
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(String::from_utf8_lossy(&output.stderr).contains("`pgcluster up` continues"));
    folder.pgcluster(&["generate"]).assert().success();
}
