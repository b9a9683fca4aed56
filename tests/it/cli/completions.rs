//! Completion scripts and manual pages.

use clap::CommandFactory;
use predicates::str::contains;

use crate::folder::Folder;

/// What `pgcluster args` prints.
fn printed(args: &[&str]) -> String {
    let assert = Folder::new().pgcluster(args).assert().success().stderr("");
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

fn commands() -> Vec<String> {
    let command = pgcluster::cli::Cli::command();
    command
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect()
}

#[test]
fn each_shells_script_knows_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = printed(&["completions", shell]);
        for command in commands() {
            assert!(script.contains(&command), "{shell} lacks {command}");
        }
    }
    Folder::new()
        .pgcluster(&["completions", "csh"])
        .assert()
        .code(2)
        .stderr(contains("powershell"));
}

/// What bash offers for a line whose last word is being typed.
#[cfg(unix)]
fn offered(line: &[&str]) -> Vec<String> {
    let ask = r#"source /dev/stdin
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _pgcluster pgcluster "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let output = assert_cmd::Command::new("bash")
        .args(["-c", ask, "bash"])
        .args(line)
        .write_stdin(printed(&["completions", "bash"]))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(unix)]
#[test]
fn bash_completes_commands_options_and_nodes() {
    assert_eq!(offered(&["pgcluster", "gene"]), ["generate"]);
    assert_eq!(offered(&["pgcluster", "down", "--remove"]), ["--remove-volumes"]);
    assert_eq!(offered(&["pgcluster", "up", "--color", "al"]), ["always"]);
    for command in ["logs", "psql", "url", "stop", "start", "restart"] {
        let nodes = offered(&["pgcluster", command, "sl"]);
        assert_eq!(nodes, ["slave-1", "slave-2", "slave-3"], "{command}");
    }
}

#[test]
fn one_manual_page_is_printed_and_all_are_written() {
    assert!(printed(&["man"]).contains(".TH pgcluster 1"));
    assert!(printed(&["man", "up"]).contains(r"pgcluster\-up \- Start the cluster"));
    let folder = Folder::new();
    folder
        .pgcluster(&["man", "--out", "share/man1"])
        .assert()
        .success();
    for command in commands() {
        assert!(
            folder.has(&format!("share/man1/pgcluster-{command}.1")),
            "{command}"
        );
    }
    assert!(folder.has("share/man1/pgcluster.1"));
    folder
        .pgcluster(&["man", "nonsense"])
        .assert()
        .code(2)
        .stderr(contains("no page pgcluster-nonsense.1"));
}
