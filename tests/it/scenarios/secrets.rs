//! No password lies open.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cluster::{Cluster, docker};

/// However a program escapes the rest, these parts of the passwords stay readable.
const CORES: [&str; 3] = ["Core9admin", "Core9replica", "Core9pool"];

#[test]
fn no_password_lies_open() {
    let Some(cluster) = Cluster::new("secrets") else {
        return;
    };
    // The .env that pgcluster makes; one of the user's own keeps the mode that the user gave it.
    fs::remove_file(cluster.folder.join(".env")).expect("it is there");
    cluster.run(["generate", "1"]).exits(0);
    let keys = ["POSTGRES_PASSWORD", "REPLICATION_PASSWORD", "POOL_PASSWORD"];
    cluster.settings(
        keys.into_iter()
            .zip(CORES.map(|core| format!("p$x'\"\\#: {{ü%{core}"))),
    );

    let processes = while_watching_processes(|| {
        let up = cluster.run(["-v", "up", "--replicas", "1"]).exits(0);
        hides_passwords("pgcluster -v up", &up.output());
        for (words, core) in [
            (["user", "add", "app", "--password-stdin", "-v"], CORES[0]),
            (["user", "passwd", "app", "--password-stdin", "-v"], CORES[1]),
            (
                ["rotate", "pool", "--password-stdin", "-v", "--color=never"],
                CORES[2],
            ),
        ] {
            let done = cluster.fed(words, &format!("p$x'\"\\#: {{ü% {core}")).exits(0);
            hides_passwords(&done.command, &done.output());
        }
    });

    cluster.replicates_to(1);
    assert_eq!(processes, Vec::<String>::new(), "processes that show a password");
    // Also what the servers say of a failed login.
    assert!(cluster.login("master").password(Some("wrong")).connect().is_err());
    assert!(cluster.login("pool").password(Some("wrong")).connect().is_err());
    for (service, container) in cluster.containers() {
        hides_passwords(
            &format!("docker inspect {service}"),
            &docker(["inspect", &container.id]),
        );
        hides_passwords(&format!("docker logs {service}"), &cluster.log(&service));
    }
    hides_passwords("docker compose logs", &cluster.compose(["logs"]).output());
    hides_passwords("docker compose config", &cluster.compose(["config"]).output());
    for arguments in [
        ["status", "--json"],
        ["-v", "status"],
        ["-v", "up"],
        ["-v", "down"],
    ] {
        hides_passwords(&arguments.join(" "), &cluster.run(arguments).output());
    }
    let open = readable_by_others(&cluster.folder);
    assert_eq!(
        open,
        Vec::<String>::new(),
        "files with a password that others can read"
    );
}

/// A user's own statements hold passwords as well.
#[test]
fn a_failed_statement_is_not_logged() {
    let Some(cluster) = Cluster::new("statements") else {
        return;
    };
    cluster.up(1);
    let broken = format!("ALTER ROLE nobody PASSWORD '{}'", CORES[0]);

    for place in ["master", "slave-1", "pool"] {
        assert!(cluster.login(place).ask(&broken).is_err());
    }

    for service in cluster.services() {
        hides_passwords(&format!("docker logs {service}"), &cluster.log(&service));
    }
}

#[track_caller]
fn hides_passwords(what: &str, text: &str) {
    assert!(!text.trim().is_empty(), "{what}: nothing to look at");
    for core in CORES {
        assert!(
            !text.contains(core),
            "{what} shows the password with {core}:\n{text}"
        );
    }
}

/// What `ps auxwwe` would have shown of a password at any moment: command lines and environments.
fn while_watching_processes(action: impl FnOnce()) -> Vec<String> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
                    for file in ["cmdline", "environ"] {
                        let text = fs::read(process.path().join(file)).unwrap_or_default();
                        let text = String::from_utf8_lossy(&text).replace('\0', " ");
                        if CORES.iter().any(|core| text.contains(core)) {
                            seen.insert(format!("{file}: {text}"));
                        }
                    }
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            seen.into_iter().collect()
        });
        // Also when the action panics: the scope waits for the watcher.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(action));
        done.store(true, Ordering::Relaxed);
        let seen = watcher.join().expect("no panic");
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        seen
    })
}

/// Files that hold a password and that someone else than their owner can reach and read.
fn readable_by_others(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let metadata = entry.metadata().expect("metadata");
        let closed = metadata.permissions().mode() & 0o077 == 0;
        if metadata.is_dir() && !closed {
            found.extend(readable_by_others(&entry.path()));
        } else if metadata.is_file() && !closed {
            let text = String::from_utf8_lossy(&fs::read(entry.path()).unwrap_or_default()).into_owned();
            if CORES.iter().any(|core| text.contains(core)) {
                found.push(entry.path().display().to_string());
            }
        }
    }
    found
}
