//! A project folder of a test's own, and the program run in it with a clean environment.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::SystemTime;

use assert_cmd::Command;
use tempfile::TempDir;

/// Where no engine listens.
pub const NO_ENGINE: &str = "unix:///nowhere/docker.sock";

/// Removed when dropped.
pub struct Folder {
    _parent: TempDir,
    root: PathBuf,
}

impl Folder {
    pub fn new() -> Self {
        Folder::named("demo")
    }

    /// A folder whose base name is `name`.
    pub fn named(name: &str) -> Self {
        let parent = tempfile::tempdir().unwrap();
        // The program works with the real path; on macOS the temporary folder lies behind a link.
        let root = fs::canonicalize(parent.path()).unwrap().join(name);
        fs::create_dir(&root).unwrap();
        Folder {
            _parent: parent,
            root,
        }
    }

    /// With the files of `replicas` replicas in it, and `env` in its `.env`.
    pub fn generated(replicas: u32, env: &str) -> Self {
        let folder = Folder::new();
        folder.write(".env", env);
        folder.generate(replicas);
        folder
    }

    pub fn generate(&self, replicas: u32) {
        self.pgcluster(&["generate", &replicas.to_string()])
            .assert()
            .success();
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub fn has(&self, path: &str) -> bool {
        self.at(path).exists()
    }

    /// Writes a file, and the folders it lies in.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn bytes(&self, path: &str) -> Vec<u8> {
        fs::read(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn text(&self, path: &str) -> String {
        String::from_utf8(self.bytes(path)).unwrap()
    }

    /// `pgcluster` standing in this folder. Of the caller's environment it gets only what a process needs to live.
    pub fn pgcluster(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgcluster"));
        command.env_clear().current_dir(&self.root).args(args);
        // The machine's engine is nothing to these tests.
        command.env("DOCKER_HOST", NO_ENGINE);
        for name in ["PATH", "HOME", "SystemRoot", "TEMP", "TMP", "USERPROFILE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    /// Every file and folder with its content and time, but for the lock: that is taken by each command.
    pub fn state(&self) -> State {
        let mut entries = BTreeMap::new();
        gather(&self.root, "", &mut entries);
        entries.retain(|path, _| !path.starts_with(".pgcluster/lock"));
        State(entries)
    }

    /// Paths of the files whose content `wanted` picks.
    pub fn files_with(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let State(entries) = self.state();
        let picked = |(path, entry): (String, Entry)| {
            let text = String::from_utf8_lossy(&entry.content?).into_owned();
            wanted(&text).then_some(path)
        };
        entries.into_iter().filter_map(picked).collect()
    }
}

/// What a folder holds.
pub struct State(BTreeMap<String, Entry>);

#[derive(PartialEq)]
struct Entry {
    /// Nothing for a folder.
    content: Option<Vec<u8>>,
    modified: SystemTime,
}

impl State {
    /// Paths that came, went, or have another content or time in `now`.
    pub fn differences(&self, now: &State) -> Vec<String> {
        let mut paths: Vec<&String> = self.0.keys().chain(now.0.keys()).collect();
        paths.sort();
        paths.dedup();
        paths.retain(|path| self.0.get(*path) != now.0.get(*path));
        paths.into_iter().cloned().collect()
    }
}

fn gather(folder: &Path, prefix: &str, entries: &mut BTreeMap<String, Entry>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            gather(&entry.path(), &format!("{path}/"), entries);
        }
        let content = metadata.is_file().then(|| fs::read(entry.path()).unwrap());
        let modified = metadata.modified().unwrap();
        entries.insert(path, Entry { content, modified });
    }
}

/// `count` ports on which nothing listens, none of them given out twice by this process.
///
/// They lie below those that systems hand to outgoing connections.
pub fn free_ports(count: usize) -> Vec<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + (std::process::id() % 1_000) as u16 * 10;
    std::iter::repeat_with(|| first + NEXT.fetch_add(1, Ordering::Relaxed) % 10_000)
        .filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .take(count)
        .collect()
}

/// Lines of a `.env` that puts the pool, the master and `replicas` replicas on free ports.
pub fn env_with_free_ports(replicas: usize) -> String {
    let ports = free_ports(replicas + 2);
    let mut env = format!("PGPOOL_PORT={}\nMASTER_PORT={}\n", ports[0], ports[1]);
    for (n, port) in (1..).zip(&ports[2..]) {
        env += &format!("SLAVE{n}_PORT={port}\n");
    }
    env
}
