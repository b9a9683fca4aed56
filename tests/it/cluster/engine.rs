//! The cluster's containers, seen and handled without pgcluster.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::outcome::{Outcome, eventually};
use super::{Cluster, clean, compose_values};

/// What makes a container the same one, not stopped in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub id: String,
    pub started: String,
    pub state: String,
}

/// Runs `docker` and gives its output back.
#[track_caller]
pub fn docker<const N: usize>(arguments: [&str; N]) -> String {
    Outcome::of(Command::new("docker").args(arguments))
        .exits(0)
        .stdout
        .trim()
        .to_owned()
}

impl Cluster {
    /// By service.
    pub fn containers(&self) -> BTreeMap<String, Container> {
        let Some(project) = self.project() else {
            return BTreeMap::new();
        };
        let ids = docker(["ps", "-aq", "--no-trunc", "--filter", &project_filter(&project)]);
        if ids.is_empty() {
            return BTreeMap::new();
        }
        let service = "{{index .Config.Labels \"com.docker.compose.service\"}}";
        let format = format!("{service}|{{{{.Id}}}}|{{{{.State.StartedAt}}}}|{{{{.State.Status}}}}");
        let mut inspect = Command::new("docker");
        // One that went away meanwhile makes it exit with 1; the others are told all the same.
        let outcome = Outcome::of(
            inspect
                .args(["container", "inspect", "--format", &format])
                .args(ids.lines()),
        );
        let lines = outcome.stdout.lines().filter_map(|line| {
            let mut fields = line.split('|').map(str::to_owned);
            let service = fields.next()?;
            let (id, started, state) = (fields.next()?, fields.next()?, fields.next()?);
            Some((service, Container { id, started, state }))
        });
        lines.collect()
    }

    pub fn services(&self) -> Vec<String> {
        self.containers().into_keys().collect()
    }

    #[track_caller]
    pub fn container(&self, service: &str) -> Container {
        let found = self.containers().remove(service);
        found.unwrap_or_else(|| panic!("{service} has no container"))
    }

    /// A word such as `pause` or `kill` for the container of one service.
    #[track_caller]
    pub fn docker_each(&self, verb: &str, service: &str) {
        docker([verb, &self.container(service).id]);
    }

    /// The container that copies data in the project folder: no other sees all of it.
    #[track_caller]
    pub fn copier(&self) -> String {
        let filter = format!("volume={}", self.folder.display());
        docker(["ps", "--quiet", "--filter", &filter])
    }

    /// Everything that the container of `service` ever logged.
    pub fn log(&self, service: &str) -> String {
        Outcome::of(Command::new("docker").args(["logs", &self.container(service).id])).output()
    }

    /// What it logged since it started last.
    pub fn last_log(&self, service: &str) -> String {
        let Container { id, started, .. } = self.container(service);
        Outcome::of(Command::new("docker").args(["logs", "--since", &started, &id])).output()
    }

    /// Kills the server of `service` as a crash would: `docker kill` counts as a stop that the user wants.
    #[track_caller]
    pub fn crash(&self, service: &str) {
        let before = self.container(service);
        let kill = "kill -9 $(head -n 1 /node/pgdata/postmaster.pid)";
        // The container may end before the one who did it: 137.
        Outcome::of(Command::new("docker").args(["exec", &before.id, "bash", "-c", kill]));
        eventually("the crash ends the container", 10, true, || {
            self.container(service) != before
        });
    }

    /// Runs a shell command as root in a container that sees the project folder at /project.
    #[track_caller]
    pub fn as_root(&self, script: &str) -> String {
        let image = compose_values(&self.folder, "image: ").into_iter().next();
        let image = image.expect("a rendered Compose file names images");
        let source = self.folder.display().to_string().replace('"', "\"\"");
        let mount = format!("type=bind,\"source={source}\",target=/project");
        docker([
            "run",
            "--rm",
            "--network=none",
            "--workdir=/project",
            "--mount",
            &mount,
            "--entrypoint=bash",
            &image,
            "-c",
            script,
        ])
    }

    /// Runs a shell command as root in a container that sees the volume of `node` at /volume and cannot write there.
    #[track_caller]
    pub fn in_volume(&self, node: &str, script: &str) -> String {
        let image = compose_values(&self.folder, "image: ").into_iter().next();
        let image = image.expect("a rendered Compose file names images");
        let volume = format!("{}_{node}", self.project().expect("the cluster is rendered"));
        let mount = format!("type=volume,source={volume},target=/volume,readonly");
        docker([
            "run",
            "--rm",
            "--network=none",
            "--mount",
            &mount,
            "--entrypoint=bash",
            &image,
            "-c",
            script,
        ])
    }

    /// Names of the volumes that Compose made for the cluster, and of those labelled like it.
    pub fn volumes(&self) -> Vec<String> {
        let project = self.project().expect("the cluster is rendered");
        let names = docker(["volume", "ls", "-q", "--filter", &project_filter(&project)]);
        let mut names: Vec<String> = names.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// `docker compose` as a user without pgcluster types it in the folder.
    pub fn compose<const N: usize>(&self, arguments: [&str; N]) -> Outcome {
        let mut command = clean("docker".as_ref());
        let outcome = Outcome::of(command.arg("compose").args(arguments).current_dir(&self.folder));
        self.note(&outcome);
        outcome
    }

    /// Watches from now on with which status containers of the cluster end.
    pub fn watch_exits(&self) -> Exits {
        self.watch(&["die"], "{{.Actor.Attributes.exitCode}}")
    }

    /// Watches from now on which containers of the cluster end and start.
    pub fn watch_starts_and_exits(&self) -> Exits {
        self.watch(&["die", "start"], "{{.Action}}")
    }

    fn watch(&self, events: &[&str], what: &str) -> Exits {
        let project = self.project().expect("the cluster is rendered");
        let service = "{{index .Actor.Attributes \"com.docker.compose.service\"}}";
        let format = format!("{service} {what}");
        let filters = events.iter().map(|event| format!("--filter=event={event}"));
        let mut events = Command::new("docker")
            .args(["events", "--filter", &project_filter(&project)])
            // An image that was built here has the project's label too, and so has a helper's container made from it.
            .args(["--filter", "label=com.docker.compose.oneoff=False"])
            .args(filters)
            .args(["--format", &format])
            .stdout(Stdio::piped())
            .spawn()
            .expect("docker runs");
        let (sender, lines) = channel();
        let output = BufReader::new(events.stdout.take().expect("it is piped"));
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Exits { events, lines }
    }
}

pub fn project_filter(project: &str) -> String {
    format!("label=com.docker.compose.project={project}")
}

pub struct Exits {
    events: Child,
    lines: Receiver<String>,
}

impl Exits {
    /// Everything so far, in order, as `service what`.
    pub fn so_far(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// The next `count` ends, as `service status`, sorted.
    pub fn next(&self, count: usize) -> Vec<String> {
        let next = |_| self.lines.recv_timeout(Duration::from_secs(10)).ok();
        let mut ends: Vec<String> = (0..count).map_while(next).collect();
        ends.sort();
        ends
    }
}

impl Drop for Exits {
    fn drop(&mut self) {
        let _ = self.events.kill();
        let _ = self.events.wait();
    }
}
