//! How faults are made.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{BACK, Scene};
use crate::cluster::{Outcome, docker, eventually};

/// More than a server of this size needs, and less than the statement that is meant to be too large.
const LITTLE_MEMORY: &str = "400m";

impl Scene<'_> {
    fn id(&self, service: &str) -> String {
        self.cluster.container(service).id
    }

    /// A shell command as root in the container; it may end with its target.
    pub fn inside(&self, service: &str, script: &str) {
        let id = self.id(service);
        let outcome = Outcome::of(Command::new("docker").args(["exec", &id, "bash", "-c", script]));
        assert!(matches!(outcome.code, Some(0 | 137)), "{outcome}");
    }

    /// The process id, in its container, of one of the server's processes of this kind.
    pub fn process(&self, service: &str, kind: &str) -> String {
        let place = service.trim_start_matches("postgres-").replace("slave", "slave-");
        let ask = format!(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = '{kind}' AND pid <> pg_backend_pid() LIMIT 1"
        );
        let pid = self.cluster.sql(&place, &ask);
        assert!(!pid.is_empty(), "{service} has no {kind}");
        pid
    }

    pub fn signal(&self, service: &str, signal: &str, pid: &str) {
        self.inside(service, &format!("kill -{signal} {pid}"));
    }

    pub fn kill_process(&self, service: &str, kind: &str) {
        let pid = self.process(service, kind);
        self.signal(service, "KILL", &pid);
    }

    /// As long as this scene is patient; the clients go on as they can.
    pub fn wait(&self) {
        self.waited.set(true);
        let begin = Instant::now();
        eventually("the time is over", self.patience + 5, true, || {
            begin.elapsed() >= Duration::from_secs(self.patience)
        });
    }

    pub fn freeze(&self, service: &str) {
        self.cluster.docker_each("pause", service);
        self.wait();
        self.cluster.docker_each("unpause", service);
    }

    /// Packets to it and from it vanish, and no connection is told.
    pub fn cut_off(&self, service: &str) {
        let id = self.id(service);
        let network = format!("{}_default", self.cluster.project().expect("a project"));
        docker(["network", "disconnect", "--force", &network, &id]);
        self.wait();
        docker(["network", "connect", "--alias", service, &network, &id]);
    }

    /// A statement takes more than the container may have: the kernel kills a process of it.
    pub fn out_of_memory(&self) {
        let id = self.id("postgres-master");
        let limit = format!("--memory={LITTLE_MEMORY}");
        docker(["update", &limit, &format!("--memory-swap={LITTLE_MEMORY}"), &id]);
        let greedy =
            "SELECT cardinality(array_agg(repeat(i::text, 100))) FROM generate_series(1, 10000000) AS i";
        let answer = self.cluster.login("master").ask(greedy);
        docker(["update", "--memory=16g", "--memory-swap=32g", &id]);
        assert!(answer.is_err(), "it was not too large: {answer:?}");
        self.ledger.goes_on(10, BACK);
    }

    /// In one call of the engine, as near to the same moment as can be.
    pub fn kill_all(&self) {
        let containers = self.cluster.containers();
        let ids = containers.values().map(|container| &container.id);
        Outcome::of(Command::new("docker").arg("kill").args(ids)).exits(0);
    }

    /// What `unless-stopped` is for.
    pub fn restart_engine(&self) {
        let command = std::env::var("TORTURE_ENGINE").expect("a command that restarts the engine");
        // What it starts may hold its output open for as long as the engine runs: nobody reads it to its end.
        let mut restart = Command::new("bash");
        restart.args(["-c", &command]);
        restart
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let status = restart.status().expect("bash runs");
        assert!(status.success(), "{command}: {status}");
        eventually("the engine answers", BACK, Some(0), || {
            Outcome::of(Command::new("docker").arg("info")).code
        });
    }
}
