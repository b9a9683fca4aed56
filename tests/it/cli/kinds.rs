//! Every kind of failure that a command can end with: its exit code, its text, its hint.

use pgcluster::error::Kind;

use super::fake_docker::FakeDocker;
use super::locked::hold;
use super::up::{hanging, interrupt};
use crate::folder::{Folder, env_with_free_ports};

/// The exit code of `words` and what it wrote to standard error; nothing may come on standard output.
fn run(docker: &FakeDocker, folder: &Folder, words: &[&str]) -> (Option<i32>, String) {
    let output = docker.pgcluster(folder, words).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{words:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), told)
}

/// Brings about a failure of this kind: its exit code, what it must say first, the hint, and what was seen.
fn bring_about(kind: Kind) -> (i32, &'static str, &'static str, (Option<i32>, String)) {
    let folder = Folder::generated(1, &(env_with_free_ports(1) + "QUERY_CACHE=hint\n"));
    let docker = FakeDocker::working();
    match kind {
        Kind::Failed => {
            docker.fails("image-inspect", 1, "Error: No such image\n");
            docker.fails("compose-build", 100, "E: Unable to locate package nonsense\n");
            let seen = run(&docker, &folder, &["up"]);
            let told = "error: exit status: 100: docker compose --project-name pgcluster-";
            // What failed is another program, and only its own output can say why.
            (1, told, "    | E: Unable to locate package nonsense", seen)
        }
        Kind::Input => {
            folder.write(".env", "MASTER_PORT=five\n");
            let seen = run(&docker, &folder, &["up"]);
            let told = "error: MASTER_PORT: `five` is not a port";
            (2, told, "    fix: use a number from 1 to 65535", seen)
        }
        Kind::NotReady => {
            let seen = run(&docker, &folder, &["cache", "flush"]);
            let told = "error: the pool does not run, so nothing is cached";
            (3, told, "    fix: `pgcluster up` starts it", seen)
        }
        Kind::Locked => {
            let _lock = hold(&folder);
            let seen = run(&docker, &folder, &["up"]);
            let told = "error: `pgcluster up`, process 4711 is at work in";
            (4, told, "    fix: wait", seen)
        }
        Kind::Machine => {
            docker.has_no_engine("Cannot connect to the Docker daemon.\n");
            let seen = run(&docker, &folder, &["up"]);
            let told = "error: the Docker engine does not answer: Cannot connect to the Docker daemon.";
            (5, told, "    fix: start Docker Desktop", seen)
        }
        Kind::Interrupted => {
            let told = "error: interrupted; containers that were started go on, and no data was touched";
            let hint = "    fix: `pgcluster up` continues, `pgcluster down` stops";
            (130, told, hint, interrupted(&folder))
        }
    }
}

/// `up`, interrupted while it builds.
fn interrupted(folder: &Folder) -> (Option<i32>, String) {
    let (_docker, child) = hanging(folder);
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), told)
}

#[test]
fn every_kind_has_its_exit_code_its_text_and_its_hint() {
    let mut codes = Vec::new();
    for kind in Kind::ALL {
        let (code, told, hint, (exited, stderr)) = bring_about(kind);
        assert_eq!(exited, Some(code), "{kind:?}: {stderr}");
        assert_eq!(code, i32::from(kind.exit_code()), "{kind:?}");
        assert!(
            stderr.lines().any(|line| line.starts_with(told)),
            "{kind:?}: {stderr}"
        );
        assert!(
            stderr.lines().any(|line| line.starts_with(hint)),
            "{kind:?}: {stderr}"
        );
        codes.push(code);
    }
    codes.dedup();
    assert_eq!(codes.len(), Kind::ALL.len(), "a code for each kind: {codes:?}");
}
