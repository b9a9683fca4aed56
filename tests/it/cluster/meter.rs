//! Counts what a command costs: the processes of `docker` that it starts, and what it asks the engine itself.

use std::fs;
use std::io;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use super::Cluster;

/// A `docker` that notes its words and does what the real one does, and a way to the engine that counts who takes it.
pub struct Meter {
    folder: TempDir,
    requests: Arc<AtomicUsize>,
}

/// What one command cost.
pub struct Cost {
    /// The first two words of each call of `docker`, or of `docker compose`, sorted.
    pub calls: Vec<String>,
    /// Requests to the engine, a connection each.
    pub requests: usize,
}

impl Meter {
    /// `None` where the engine of this machine has no socket at its usual place.
    pub fn new() -> Option<Meter> {
        const ENGINE: &str = "/var/run/docker.sock";
        if !Path::new(ENGINE).exists() || std::env::var_os("DOCKER_HOST").is_some() {
            println!("skipped: the engine is not behind {ENGINE}");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let real = docker_on_path();
        let log = folder.path().join("calls");
        let script = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$*\" >>'{}'\nunset DOCKER_HOST\nexec '{real}' \"$@\"\n",
            log.display()
        );
        let wrapper = folder.path().join("docker");
        fs::write(&wrapper, script).expect("the folder is ours");
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("the file is ours");
        let listener = UnixListener::bind(folder.path().join("engine")).expect("a socket");
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                counter.fetch_add(1, Ordering::SeqCst);
                let engine = UnixStream::connect(ENGINE).expect("the engine's socket");
                hand_on(&client, &engine);
                hand_on(&engine, &client);
            }
        });
        Some(Meter { folder, requests })
    }

    /// Runs pgcluster, which must succeed.
    #[track_caller]
    pub fn run(&self, cluster: &Cluster, words: &[&str]) -> Cost {
        let log = self.folder.path().join("calls");
        let _ = fs::remove_file(&log);
        let before = self.requests.load(Ordering::SeqCst);
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", self.folder.path().display());
        let engine = format!("unix://{}", self.folder.path().join("engine").display());
        cluster
            .run_with(&[("PATH", &path), ("DOCKER_HOST", &engine)], words)
            .exits(0);
        let log = fs::read_to_string(log).unwrap_or_default();
        let mut calls: Vec<String> = log.lines().map(shortened).collect();
        calls.sort();
        Cost {
            calls,
            requests: self.requests.load(Ordering::SeqCst) - before,
        }
    }
}

/// `compose up` for a call of Compose with all its options, and else the first two words.
fn shortened(call: &str) -> String {
    let mut words = call.split_whitespace();
    match words.next() {
        Some("compose") => {
            let verb = words.find(|word| ["version", "build", "up", "down"].contains(word));
            format!("compose {}", verb.unwrap_or(call))
        }
        _ => call.split_whitespace().take(2).collect::<Vec<_>>().join(" "),
    }
}

fn docker_on_path() -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("docker"));
    let mut found = found.filter(|program| program.is_file());
    found.next().expect("docker is on PATH").display().to_string()
}

fn hand_on(from: &UnixStream, to: &UnixStream) {
    let (mut from, mut to) = (
        from.try_clone().expect("a stream"),
        to.try_clone().expect("a stream"),
    );
    std::thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}

impl Cluster {
    /// What pgcluster has asked the server of `service` since it started: logins and statements, by its log. Logins of
    /// Pgpool-II for it are among them, and what Pgpool-II asks for itself is not.
    ///
    /// The server must log them: see [`LOG_EVERYTHING`].
    pub fn asked(&self, service: &str) -> (usize, usize) {
        let log = self.log(service);
        let of_ours = log.lines().filter(|line| line.contains("pgcluster"));
        let mut counts = (0, 0);
        for line in of_ours {
            counts.0 += usize::from(line.contains("connection authorized"));
            let of_pool = line.contains("DISCARD ALL") || line.contains("pg_catalog.");
            counts.1 += usize::from(line.contains("duration: ") && !of_pool);
        }
        counts
    }
}

/// Lines of postgresql.conf by which a server logs each login and each statement, though not its text.
pub const LOG_EVERYTHING: &str = "log_connections = on\nlog_min_duration_statement = 0";
