//! A `docker` that reaches no engine: it notes how it is called and answers what the test wants.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

use crate::folder::Folder;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fake_docker/docker");

const VERSION: &str = r#"{"Client":{"Version":"28.2.2"},"Server":{"Version":"27.5.1"}}"#;

/// A folder that holds this `docker`, its answers and the log of its calls, and nothing else.
pub struct FakeDocker(TempDir);

impl FakeDocker {
    /// Engine and Compose answer, both images are there, no container is.
    pub fn working() -> Self {
        let docker = FakeDocker(tempfile::tempdir().unwrap());
        docker.install("docker");
        docker.says("version", VERSION);
        docker.says("compose-version", "2.40.3\n");
        docker
    }

    /// The same program under another name. A link, since a script just written may not be executable yet:
    /// another test's new process can hold it open for writing.
    pub fn install(&self, name: &str) {
        symlink(SCRIPT, self.path().join(name)).unwrap();
    }

    /// The only folder on the program's PATH.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn says(&self, call: &str, stdout: &str) {
        fs::write(self.path().join(format!("{call}.stdout")), stdout).unwrap();
    }

    pub fn fails(&self, call: &str, status: u8, stderr: &str) {
        fs::write(self.path().join(format!("{call}.status")), status.to_string()).unwrap();
        fs::write(self.path().join(format!("{call}.stderr")), stderr).unwrap();
    }

    pub fn hangs(&self, call: &str) {
        fs::write(self.path().join(format!("{call}.hangs")), "").unwrap();
    }

    /// As on a machine whose engine is not started.
    pub fn has_no_engine(&self, reason: &str) {
        self.says("version", r#"{"Client":{"Version":"28.2.2"},"Server":null}"#);
        for call in [
            "version",
            "ps",
            "ps-all",
            "image-inspect",
            "compose-down",
            "compose-up",
        ] {
            self.fails(call, 1, reason);
        }
    }

    /// `pgcluster` in `folder`, with this `docker` alone on its PATH.
    pub fn pgcluster(&self, folder: &Folder, args: &[&str]) -> Command {
        let mut command = folder.pgcluster(args);
        command.env("PATH", self.path());
        command
    }

    /// The words of every call so far, without `docker` itself.
    pub fn calls(&self) -> Vec<Vec<String>> {
        let log = fs::read_to_string(self.path().join("calls")).unwrap_or_default();
        log.lines()
            .map(|line| {
                line.trim_end_matches('\t')
                    .split('\t')
                    .map(str::to_owned)
                    .collect()
            })
            .collect()
    }

    /// The words of the only call of Compose with this verb.
    pub fn compose_call(&self, verb: &str) -> Vec<String> {
        let calls = self.calls();
        let mut found = calls
            .iter()
            .filter(|words| words[0] == "compose" && words.iter().any(|word| word == verb));
        let first = found.next().unwrap_or_else(|| panic!("no {verb} in {calls:#?}"));
        assert!(found.next().is_none(), "more than one {verb} in {calls:#?}");
        first.clone()
    }

    /// Mode and content of the password file that the last call was given.
    pub fn passfile(&self) -> String {
        fs::read_to_string(self.path().join("passfile")).unwrap()
    }

    /// These services run, each with what it publishes.
    pub fn runs(&self, services: &[(&str, u16)]) {
        let line = |(service, port): &(&str, u16)| {
            format!(
                r#"{{"id":"{service}-id","state":"running","status":"Up","service":"{service}","spec":"x","ports":"127.0.0.1:{port}->5432/tcp"}}"#
            ) + "\n"
        };
        self.says("ps-all", &services.iter().map(line).collect::<String>());
    }

    /// The environment of the last such call.
    pub fn environment(&self, call: &str) -> String {
        fs::read_to_string(self.path().join(format!("{call}.environment"))).unwrap()
    }
}
