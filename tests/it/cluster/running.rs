//! Commands that run while the scenario goes on.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Cluster;
use super::outcome::{Outcome, shown};

impl Cluster {
    /// Starts `up` and does not wait for it; it is the first of a process group of its own, as in a terminal.
    pub fn start_up(&self, replicas: u32) -> Running<'_> {
        self.start(&["up", "--replicas", &replicas.to_string()])
    }

    /// The same for any command.
    pub fn start(&self, words: &[&str]) -> Running<'_> {
        let mut command = self.pgcluster(words);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let name = shown(&command);
        let child = command.spawn().expect("pgcluster runs");
        Running {
            cluster: self,
            child: Some(child),
            name,
            started: Instant::now(),
        }
    }
}

impl Cluster {
    /// Runs pgcluster to the end with `input` on its standard input.
    pub fn fed<const N: usize>(&self, words: [&str; N], input: &str) -> Outcome {
        let mut command = self.pgcluster(&words);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let (name, started) = (shown(&command), Instant::now());
        let mut child = command.spawn().expect("pgcluster runs");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input.as_bytes()).expect("it reads");
        drop(stdin);
        let output = child.wait_with_output().expect("it can be waited for");
        let outcome = Outcome::from_output(name, output, started.elapsed());
        self.note(&outcome);
        outcome
    }
}

/// A command that has been started; it is killed where the scenario does not wait for its end.
pub struct Running<'a> {
    cluster: &'a Cluster,
    child: Option<Child>,
    name: String,
    started: Instant,
}

impl Running<'_> {
    /// Waits for its end.
    pub fn ends(mut self) -> Outcome {
        let child = self.child.take().expect("it runs");
        let output = child.wait_with_output().expect("it can be waited for");
        let outcome = Outcome::from_output(std::mem::take(&mut self.name), output, self.started.elapsed());
        self.cluster.note(&outcome);
        outcome
    }

    /// Sends a signal, to it alone or to all that it started, `after` its start, and waits for its end.
    pub fn signalled(self, after: Duration, signal: &str, with_children: bool) -> Outcome {
        std::thread::sleep(after.saturating_sub(self.started.elapsed()));
        self.signal(signal, if with_children { "-" } else { "" });
        self.ends()
    }

    /// Halts it alone; what it started goes on.
    pub fn halt(&self) {
        self.signal("-STOP", "");
    }

    pub fn go_on(&self) {
        self.signal("-CONT", "");
    }

    /// Ctrl-C: the signal reaches the whole process group.
    pub fn interrupt(self) -> Outcome {
        self.signal("-INT", "-");
        self.ends()
    }

    /// Kills it alone, `after` its start: what it started goes on.
    pub fn kill_after(self, after: Duration) -> Outcome {
        self.signalled(after, "-KILL", false)
    }

    /// The same at this moment.
    pub fn kill_now(self) -> Outcome {
        self.kill_after(Duration::ZERO)
    }

    /// Kills it and all that it started, `after` its start.
    pub fn kill_with_children_after(self, after: Duration) -> Outcome {
        self.signalled(after, "-KILL", true)
    }

    fn signal(&self, signal: &str, group: &str) {
        let pid = self.child.as_ref().expect("it runs").id();
        let _ = Command::new("kill")
            .args([signal, "--", &format!("{group}{pid}")])
            .status();
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
