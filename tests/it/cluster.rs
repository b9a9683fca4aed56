//! The harness of the scenarios: a real cluster in a folder of its own, of which nothing stays but, after a failure,
//! what shows its cause.

mod busy;
mod crowd;
mod drivers;
mod engine;
mod evidence;
mod files;
mod meter;
mod outcome;
mod replication;
mod running;
mod seats;
mod sql;
mod traffic;
mod user;
mod workers;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;

pub use busy::Busy;
pub use drivers::drivers;
pub use engine::docker;
pub use meter::{LOG_EVERYTHING, Meter};
pub use outcome::{Outcome, eventually};
pub use replication::services;
pub use running::Running;
pub use sql::{Connection, Login, ask_url, reason, tls};
pub use traffic::Traffic;
pub use workers::{Work, Workers};

use seats::{Seat, free_port};
use user::OrdinaryUser;

const BINARY: &str = env!("CARGO_BIN_EXE_pgcluster");

/// A cluster, with the settings that its `.env` was written from.
pub struct Cluster {
    pub folder: PathBuf,
    settings: RefCell<BTreeMap<String, String>>,
    transcript: RefCell<String>,
    parent: tempfile::TempDir,
    user: Option<OrdinaryUser>,
    _seat: Option<Seat>,
}

impl Cluster {
    /// A folder called `name` with a `.env` that holds ports only, or nothing where the scenarios are not wanted.
    pub fn new(name: &str) -> Option<Cluster> {
        if std::env::var_os("PGCLUSTER_DOCKER").is_none_or(|value| value != "1") {
            println!("skipped: set PGCLUSTER_DOCKER=1");
            return None;
        }
        Some(Cluster::seated(name, Some(Seat::take())))
    }

    /// A second one, where there is one already that has the right to run.
    pub fn beside(_: &Cluster, name: &str) -> Cluster {
        Cluster::seated(name, None)
    }

    fn seated(name: &str, seat: Option<Seat>) -> Cluster {
        static IMAGES: Once = Once::new();
        IMAGES.call_once(images_are_there);
        let parent = tempfile::Builder::new()
            .prefix("pgcluster-")
            .tempdir()
            .expect("a temporary folder");
        let folder = fs::canonicalize(parent.path()).expect("it is there").join(name);
        fs::create_dir(&folder).expect("a project folder");
        let cluster = Cluster {
            folder,
            settings: RefCell::default(),
            transcript: RefCell::default(),
            parent,
            user: None,
            _seat: seat,
        };
        let ports = [
            "MASTER_PORT",
            "PGPOOL_PORT",
            "SLAVE1_PORT",
            "SLAVE2_PORT",
            "SLAVE3_PORT",
            "SLAVE4_PORT",
            "SLAVE5_PORT",
        ];
        cluster.settings(ports.map(|key| (key, free_port().to_string())));
        cluster
    }

    /// Writes these settings into `.env`, in double quotes with `\` before what is special there.
    pub fn settings<K: Into<String>, V: Into<String>>(&self, new: impl IntoIterator<Item = (K, V)>) {
        let mut settings = self.settings.borrow_mut();
        settings.extend(new.into_iter().map(|(key, value)| (key.into(), value.into())));
        let path = self.folder.join(".env");
        // What pgcluster appended stays.
        let old = fs::read_to_string(&path).unwrap_or_default();
        let is_kept = |line: &&str| {
            !line
                .split_once('=')
                .is_some_and(|(key, _)| settings.contains_key(key))
        };
        let mut text: String = old
            .lines()
            .filter(is_kept)
            .map(|line| format!("{line}\n"))
            .collect();
        for (key, value) in settings.iter() {
            let escape = |c: char| "\\\"$".contains(c).then_some('\\').into_iter().chain([c]);
            let escaped: String = value.chars().flat_map(escape).collect();
            text.push_str(&format!("{key}=\"{escaped}\"\n"));
        }
        fs::write(path, text).expect(".env can be written");
    }

    /// The value in `.env`, or pgcluster's default.
    pub fn setting(&self, key: &str) -> String {
        let default = match key {
            "POSTGRES_USER" => "postgresadmin",
            "POSTGRES_PASSWORD" => "admin123",
            "POSTGRES_DB" => "postgresdb",
            "REPLICATION_USER" => "replication_user",
            "REPLICATION_PASSWORD" => "password",
            _ => "",
        };
        self.settings
            .borrow()
            .get(key)
            .map_or(default.to_owned(), Clone::clone)
    }

    /// Runs pgcluster to the end, whatever comes.
    pub fn run<const N: usize>(&self, arguments: [&str; N]) -> Outcome {
        self.run_words(&arguments)
    }

    /// The same for words that are not known before.
    pub fn run_words(&self, words: &[&str]) -> Outcome {
        let outcome = Outcome::of(&mut self.pgcluster(words));
        self.note(&outcome);
        outcome
    }

    /// The same where `path` alone is on PATH.
    pub fn run_with_path(&self, path: &Path, words: &[&str]) -> Outcome {
        let outcome = Outcome::of(self.pgcluster(words).env("PATH", path));
        self.note(&outcome);
        outcome
    }

    /// The same with these variables.
    pub fn run_with(&self, variables: &[(&str, &str)], words: &[&str]) -> Outcome {
        let outcome = Outcome::of(self.pgcluster(words).envs(variables.iter().copied()));
        self.note(&outcome);
        outcome
    }

    /// Starts the cluster, which must succeed.
    #[track_caller]
    pub fn up(&self, replicas: u32) -> Outcome {
        self.run(["up", "--replicas", &replicas.to_string()]).exits(0)
    }

    fn pgcluster(&self, arguments: &[&str]) -> Command {
        let mut command = match &self.user {
            Some(user) => user.command(),
            None => clean(BINARY.as_ref()),
        };
        command
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        command
    }

    /// From now on pgcluster runs as somebody who may use Docker and is nobody special.
    pub fn becomes_an_ordinary_users(&mut self) {
        self.user = OrdinaryUser::owner_of(self.parent.path(), &self.folder);
    }

    /// Compose's name for the cluster, once it is rendered.
    pub fn project(&self) -> Option<String> {
        compose_values(&self.folder, "name: ").into_iter().next()
    }

    /// Keeps it for the record of a failure.
    pub fn note(&self, outcome: &Outcome) {
        self.transcript.borrow_mut().push_str(&outcome.to_string());
    }
}

/// A command that gets nothing of the environment but what programs need to run.
pub fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    let needed = [
        "PATH",
        "HOME",
        "TMPDIR",
        "XDG_RUNTIME_DIR",
        "DOCKER_HOST",
        "DOCKER_CONFIG",
        "DOCKER_CONTEXT",
    ];
    let kept = std::env::vars_os().filter(|(name, _)| needed.iter().any(|needed| name == *needed));
    command.env_clear().envs(kept);
    command
}

/// What follows `key` in the rendered Compose file, each time.
fn compose_values(folder: &Path, key: &str) -> Vec<String> {
    let text = fs::read_to_string(folder.join("docker-compose.yml")).unwrap_or_default();
    let values = text.lines().filter_map(|line| line.trim().strip_prefix(key));
    values.map(|value| value.trim_matches('"').to_owned()).collect()
}

/// Building images takes minutes and the network: that is not left to the first scenario.
fn images_are_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    Outcome::of(
        clean(BINARY.as_ref())
            .args(["generate", "1"])
            .current_dir(folder.path()),
    )
    .exits(0);
    for image in compose_values(folder.path(), "image: ") {
        let mut inspect = Command::new("docker");
        let found = Outcome::of(inspect.args(["image", "inspect", "--format", "{{.Id}}", &image]));
        assert!(
            found.code == Some(0),
            "the image {image} is missing: run `make test`, which builds it"
        );
    }
}
