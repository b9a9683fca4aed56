//! Arguments: help, version, and what is no argument.

use predicates::prelude::*;
use predicates::str::contains;

use crate::folder::Folder;

#[test]
fn the_help_of_each_command_names_its_options() {
    fn check(args: &[&str], options: &[&str]) {
        let help = Folder::new().pgcluster(args).assert().success().stderr("");
        let text = String::from_utf8(help.get_output().stdout.clone()).unwrap();
        for option in ["Usage: pgcluster"].iter().chain(options) {
            assert!(text.contains(option), "{args:?} lacks {option}:\n{text}");
        }
    }
    let global = &["--directory", "--env-file", "--quiet", "--verbose", "--color"];
    check(&["--help"], global);
    check(&["--help"], &["generate", "up", "down", "status", "Exit codes:"]);
    check(&["generate", "--help"], &["[N]", "--dry-run", "0 to 100"]);
    check(
        &["up", "--help"],
        &["--replicas", "--timeout", "--dry-run", "0 to 100"],
    );
    check(&["down", "--help"], &["--remove-volumes", "--yes", "--dry-run"]);
    check(&["status", "--help"], &["--json"]);
    check(
        &["rotate", "--help"],
        &[
            "postgres",
            "replication",
            "pool",
            "--password-stdin",
            "--from-env",
        ],
    );
    check(&["user", "--help"], &["add", "passwd", "list", "drop"]);
    check(
        &["user", "add", "--help"],
        &[
            "--superuser",
            "--createdb",
            "--readonly",
            "--database",
            "--password-stdin",
        ],
    );
    for command in ["generate", "up", "down", "status", "user", "rotate"] {
        check(&[command, "--help"], global);
    }
}

#[test]
fn help_and_version_look_at_no_folder() {
    for args in [["-C", "nowhere", "--help"], ["-C", "nowhere", "--version"]] {
        Folder::new().pgcluster(&args).assert().success();
    }
}

#[test]
fn the_version_is_the_packages() {
    let version = concat!("pgcluster ", env!("CARGO_PKG_VERSION"), "\n");
    Folder::new()
        .pgcluster(&["--version"])
        .assert()
        .success()
        .stdout(version);
}

#[test]
fn what_is_no_argument_is_bad_input_and_is_named() {
    fn check(args: &[&str], named: &str) {
        let folder = Folder::new();
        folder
            .pgcluster(args)
            .assert()
            .code(2)
            .stdout("")
            .stderr(contains(named));
        assert_eq!(folder.files_with(|_| true), [""; 0], "{args:?}");
    }
    check(&["generate", "--nonsense"], "--nonsense");
    check(&["nonsense"], "'nonsense'");
    check(&["generate", "1", "2"], "'2'");
    check(&["up", "--replicas", "-1"], "'-1'");
    check(&["up", "--replicas", "101"], "101 replicas are too many");
    check(&["up", "--timeout", "0"], "'0'");
    check(&["down", "--yes"], "--remove-volumes");
    check(&["status", "--color", "sometimes"], "'sometimes'");
    check(&["status", "--quiet", "--verbose"], "cannot be used with");
}

#[test]
fn no_command_shows_the_commands() {
    Folder::new()
        .pgcluster(&[])
        .assert()
        .code(2)
        .stderr(contains("Usage: pgcluster").and(contains("status")));
}

#[test]
fn a_global_option_stands_on_either_side_of_the_command() {
    for args in [["-q", "generate"], ["generate", "-q"]] {
        Folder::new().pgcluster(&args).assert().success();
    }
}

#[test]
fn status_of_a_folder_without_a_cluster_says_how_to_make_one() {
    for args in [["status"].as_slice(), &["status", "--json"]] {
        let folder = Folder::new();
        folder
            .pgcluster(args)
            .assert()
            .code(2)
            .stdout("")
            .stderr(contains("there is no cluster in").and(contains("`pgcluster up` makes one")));
        assert_eq!(folder.files_with(|_| true), [""; 0]);
    }
}
