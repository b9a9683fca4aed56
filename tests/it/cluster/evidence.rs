//! The end of a scenario: what a failed one leaves behind, and that nothing else is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Cluster;
use super::engine::project_filter;
use super::outcome::Outcome;

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.save_evidence();
        }
        self.remove_everything();
    }
}

impl Cluster {
    /// Nothing in here may panic: the test already does.
    fn save_evidence(&self) {
        let test = std::thread::current()
            .name()
            .unwrap_or("unknown")
            .replace("::", "-");
        let place = failed_scenarios().join(test);
        let _ = fs::remove_dir_all(&place);
        let _ = fs::create_dir_all(&place);
        let save = |name: &str, text: &str| drop(fs::write(place.join(name), text));
        save("commands.txt", &self.transcript.borrow());
        let status = self.run(["status"]).to_string();
        save("status.txt", &status);
        let logs = self.compose(["logs", "--timestamps", "--no-color"]).to_string();
        save("logs.txt", &logs);
        // Of a run elsewhere this is all that can be read afterwards.
        let pool: Vec<&str> = logs.lines().filter(|line| line.contains("pgpool")).collect();
        let tail = pool[pool.len().saturating_sub(40)..].join("\n");
        eprintln!("{status}\nthe end of the pool's log:\n{tail}");
        save(
            "containers.txt",
            &self.compose(["ps", "--all", "--no-trunc"]).to_string(),
        );
        save("replication.txt", &self.replication());
        for name in ["docker-compose.yml", ".env"] {
            let _ = fs::copy(self.folder.join(name), place.join(name));
        }
        eprintln!("what is known about the failure: {}", place.display());
    }

    fn remove_everything(&self) {
        if let Some(project) = self.project() {
            let label = project_filter(&project);
            let list = |kind: &[&str]| -> Vec<String> {
                let found = Outcome::of(Command::new("docker").args(kind).args(["--filter", &label]));
                found.stdout.split_whitespace().map(str::to_owned).collect()
            };
            let remove = |kind: &[&str], names: Vec<String>| {
                if !names.is_empty() {
                    Outcome::of(Command::new("docker").args(kind).args(names));
                }
            };
            remove(&["rm", "--force", "--volumes"], list(&["ps", "-aq"]));
            remove(&["volume", "rm", "--force"], list(&["volume", "ls", "-q"]));
            remove(&["network", "rm"], list(&["network", "ls", "-q"]));
        }
        // The data belongs to the containers' user, so this works as root only.
        if fs::remove_dir_all(self.parent.path()).is_err()
            && self.project().is_some()
            && !std::thread::panicking()
        {
            self.as_root("rm -rf -- */pgdata*");
        }
    }
}

fn failed_scenarios() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("target/tmp");
    target.join("failed-scenarios")
}
