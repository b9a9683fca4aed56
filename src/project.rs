//! From a folder and flags to everything that is wanted of the cluster: the first half of every command.

mod files;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use secrecy::{ExposeSecret, SecretString};

use crate::assets::{self, Sources};
use crate::cli::Global;
use crate::env_file::{self, EnvFile};
use crate::error::{Failure, Kind, Problem};
use crate::postgres::Tls;
use crate::render::{self, Rendered, Rendering};
use crate::roster::Roster;
use crate::settings::{self, Account, DEFAULT_REPLICAS, MAX_REPLICAS, Origin, Settings};
use crate::topology::{self, Topology};
use crate::workdir::{self, Difference, Lock};
use files::{env_path, first_use, real_path, seed};

/// What the user wants, resolved and rendered; nothing is written yet.
#[derive(Debug)]
pub struct Project {
    pub settings: Settings,
    /// Every key as it was written, and who set it.
    pub values: Vec<settings::Value>,
    /// The file the settings came from.
    pub env_path: PathBuf,
    pub topology: Topology,
    pub rendering: Rendering,
    /// Files that the folder lacks or has otherwise, and why they would be written.
    pub changes: Vec<FileChange>,
    /// Files that are as they should be.
    pub unchanged: usize,
    /// The passwords that the containers have, by the names of their files; absent on first use.
    handed: BTreeMap<String, SecretString>,
    /// The roles made known to the pool.
    pub roster: Roster,
    /// How the servers prove who they are; none where TLS is off and always was.
    pub tls: Option<Tls>,
}

/// A file to write, and why.
#[derive(Clone, Debug)]
pub struct FileChange {
    pub file: Rendered,
    pub cause: FileCause,
}

/// What a command line asks for that the folder may have otherwise.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Number of replicas.
    pub replicas: Option<u32>,
    /// The numbers of replicas that must not be among them.
    pub removed: BTreeSet<u32>,
    /// Keys of `.env` with their new values: they are written down, so that the next command goes on with them.
    pub keys: Vec<(&'static str, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileCause {
    /// A file of the user's, written once.
    FirstUse,
    /// `.env` lacks these keys.
    MissingKeys(Vec<String>),
    /// The command line has other values for these keys.
    ChangedKeys(Vec<&'static str>),
    New,
    Changed,
}

impl Project {
    /// Resolves the project in `folder`.
    ///
    /// `env_file` takes the place of the folder's `.env`; `wish` that of what is there.
    ///
    /// # Errors
    /// Bad input of any kind, all of it together where it is of one kind. Nothing has been changed then.
    pub fn load(folder: &Path, env_file: Option<&Path>, wish: &Wish) -> Result<Self> {
        refuse_path(folder)?;
        // Where the Compose file was lost, the data still tells.
        let there = match workdir::existing_replicas(folder)? {
            Some(ids) => Some(ids),
            None => {
                let highest = workdir::data_directories(folder)?.into_keys().max();
                highest.map(|highest| (1..=highest).collect())
            }
        };
        let count = wish.replicas.or(there.is_none().then_some(DEFAULT_REPLICAS));
        if let Some(replicas) = count.filter(|count| *count > MAX_REPLICAS) {
            return Err(Failure::new(
                Kind::Input,
                Problem::new(format!(
                    "{replicas} replicas are too many: Pgpool-II has room for 128 nodes and the master for two senders \
                     for each of {MAX_REPLICAS} replicas"
                ))
                .fix(format!("choose 0 to {MAX_REPLICAS}")),
            )
            .into());
        }
        let ids = topology::resized(&there.unwrap_or_default(), count, &wish.removed);
        // Those in a gap keep their ports.
        let replicas = ids.last().copied().unwrap_or(0);
        workdir::refuse_links(folder, 0..=replicas)?;
        let mut sources = Sources::read(folder, replicas)?;

        let env_path = env_path(folder, env_file);
        let on_disk = assets::read_if_there(&env_path)?;
        let env_is_there = on_disk.is_some();
        let env_bytes = match on_disk {
            Some(bytes) => bytes,
            None if env_file.is_some() => {
                return Err(Failure::new(
                    Kind::Input,
                    Problem::new(format!("{}: no such file", env_path.display()))
                        .fix("name an existing file with --env-file, or leave the option out"),
                )
                .into());
            }
            None => seed(&sources, ".env"),
        };
        let input = |problems| Failure {
            kind: Kind::Input,
            problems,
        };
        let name = env_path.strip_prefix(folder).unwrap_or(&env_path);
        let as_it_is = EnvFile::parse(&env_bytes, name).map_err(input)?;
        let changed: Vec<&(&str, String)> = wish
            .keys
            .iter()
            .filter(|(key, value)| as_it_is.get(key) != Some(value))
            .collect();
        let mut env_bytes = env_bytes;
        for (key, value) in &changed {
            env_bytes = env_file::set(&env_bytes, key, value);
        }
        let env = EnvFile::parse(&env_bytes, name).map_err(input)?;
        let environment = |key: &str| match wish.keys.iter().any(|(wished, _)| *wished == key) {
            true => None,
            false => std::env::var(key).ok(),
        };
        let (settings, additions) = Settings::resolve(&env, environment, replicas).map_err(input)?;
        let mut values = settings::values(&env, environment, &additions, replicas);
        for value in values.iter_mut().filter(|_| !env_is_there) {
            if let Origin::File(_) = value.origin {
                value.origin = Origin::Default;
            }
        }
        let topology = Topology::new(folder, &settings).only(&ids);
        unreadable_environment()?;
        sources.certificates = tls::certificates(&settings, &topology, &sources)?;
        let rendering = render::render(&settings, &topology, &sources)?;

        let mut changes = first_use(&sources, env_file.is_none());
        if !additions.is_empty() || !changed.is_empty() {
            let content = env_file::append(&env_bytes, &additions);
            let cause = match changed.is_empty() {
                true => FileCause::MissingKeys(additions.into_iter().map(|(key, _)| key).collect()),
                false => FileCause::ChangedKeys(changed.iter().map(|(key, _)| *key).collect()),
            };
            match changes.iter_mut().find(|change| change.file.path == ".env") {
                Some(first) => first.file.content = content.into(),
                None => changes.push(FileChange {
                    file: Rendered {
                        path: real_path(&env_path),
                        content: content.into(),
                        private: true,
                    },
                    cause,
                }),
            }
        }
        let differences = workdir::differences(folder, &rendering.files)?;
        let unchanged = rendering.files.len() - differences.len();
        changes.extend(differences.into_iter().map(|(file, difference)| FileChange {
            file,
            cause: match difference {
                Difference::New => FileCause::New,
                Difference::Changed => FileCause::Changed,
            },
        }));
        // Servers may still have what was edited since.
        let is_required = settings.tls && changes.is_empty();
        let tls = tls::whom_to_trust(&sources, is_required)?;
        Ok(Project {
            settings,
            values,
            tls,
            env_path,
            topology,
            rendering,
            changes,
            unchanged,
            handed: sources.secrets.into_iter().map(secret).collect(),
            roster: Roster::parse(&sources.logins),
        })
    }

    /// The project of a folder in which there is a cluster, for a command that changes no file.
    ///
    /// # Errors
    /// As [`Project::load`], and where there is no cluster.
    pub fn load_existing(global: &Global) -> Result<Self> {
        let folder = workdir::locate(&global.folder)?;
        workdir::refuse_without_cluster(&folder)?;
        Project::load(&folder, global.env_file.as_deref(), &Wish::default())
    }

    /// As [`Project::load`], with the folder's lock, for `command` to change it.
    ///
    /// # Errors
    /// As [`Project::load`]; nothing is created then, not even the lock. [`Kind::Locked`] if another has it.
    pub fn load_locked(
        folder: &Path,
        env_file: Option<&Path>,
        wish: &Wish,
        command: &str,
    ) -> Result<(Self, Lock)> {
        Project::load(folder, env_file, wish)?;
        let lock = Lock::take(folder, command)?;
        // Read again: whoever had the lock until now may have changed what was read.
        let mut project = Project::load(folder, env_file, wish)?;
        // Where a change of TLS was cut short, servers are there that have not taken it up.
        project.tls = project.tls.map(Tls::optional);
        Ok((project, lock))
    }

    /// As [`Project::load_existing`], with the folder's lock for `command`, unless it only tells what it would do.
    ///
    /// # Errors
    /// As [`Project::load_existing`]; [`Kind::Locked`] if another has the lock.
    pub fn load_existing_for(global: &Global, command: &str, dry_run: bool) -> Result<(Self, Option<Lock>)> {
        if dry_run {
            return Ok((Project::load_existing(global)?, None));
        }
        let folder = workdir::locate(&global.folder)?;
        workdir::refuse_without_cluster(&folder)?;
        let env_file = global.env_file.as_deref();
        let (project, lock) = Project::load_locked(&folder, env_file, &Wish::default(), command)?;
        Ok((project, Some(lock)))
    }

    /// Files in the replicas' configuration folders that are neither rendered nor the user's `local.conf`.
    pub fn leftovers(&self) -> Result<Vec<String>> {
        let rendered: BTreeSet<&String> = self.rendering.files.iter().map(|file| &file.path).collect();
        let mut leftovers = Vec::new();
        for replica in self.topology.replicas() {
            let prefix = format!("{}/{}", replica.title(), assets::CONFIG_FOLDER);
            let mut files = BTreeMap::new();
            assets::read_tree(&self.topology.folder.join(&prefix), &prefix, &mut files)?;
            let local = format!("{prefix}{}", assets::LOCAL_CONF);
            leftovers.extend(
                files
                    .into_keys()
                    .filter(|path| *path != local && !rendered.contains(path)),
            );
        }
        Ok(leftovers)
    }

    /// The password that the containers have, where there is one already.
    pub fn handed(&self, account: Account) -> Option<&SecretString> {
        self.handed.get(account.secret())
    }

    /// The accounts whose password in the settings is not the one that the containers have.
    pub fn edited(&self) -> Vec<Account> {
        let is_edited = |account: &Account| {
            let wanted = account.login(&self.settings).password.expose_secret();
            self.handed(*account)
                .is_some_and(|handed| handed.expose_secret() != wanted)
        };
        Account::ALL.into_iter().filter(is_edited).collect()
    }

    /// Gives `key` another value in the file that the settings came from, and changes nothing else there.
    pub fn set_in_env(&self, key: &str, value: &str) -> Result<()> {
        let old = assets::read_if_there(&self.env_path)?.unwrap_or_default();
        let file = Rendered {
            path: real_path(&self.env_path),
            content: env_file::set(&old, key, value).into(),
            private: true,
        };
        workdir::write(&self.topology.folder, &file)
    }

    /// Writes what has to be written.
    pub fn write(&self) -> Result<()> {
        self.write_some(|_| true)
    }

    /// Writes what an image is built from, and nothing that a container reads which runs.
    pub fn write_build_inputs(&self) -> Result<()> {
        self.write_some(|path| {
            path == "docker-compose.yml" || path == "pgpool/Dockerfile" || path.starts_with("slave-template/")
        })
    }

    fn write_some(&self, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let folder = &self.topology.folder;
        let all = self.rendering.files.iter().map(|file| folder.join(&file.path));
        let parents = all.filter_map(|path| Some(path.parent()?.to_owned()));
        // What is there already of these is not rendered, and may have been half written all the same.
        let templates = ["slave-template", "slave-template/config"].map(|name| folder.join(name));
        workdir::sweep(&parents.chain(templates).collect());
        let files = self.changes.iter().map(|change| &change.file);
        let files: Vec<&Rendered> = files.filter(|file| wanted(&file.path)).collect();
        workdir::write_all(folder, &files)
    }
}

/// Whether the environment has `key`, and so wins over `.env`.
pub fn is_in_environment(key: &str) -> bool {
    std::env::var_os(key).is_some()
}

fn secret((name, content): (String, Vec<u8>)) -> (String, SecretString) {
    (name, String::from_utf8_lossy(&content).into_owned().into())
}

/// The engine ends a path at a colon, and Compose takes a path for a URL, where `%` begins an escape.
fn refuse_path(folder: &Path) -> Result<(), Failure> {
    let path = folder.to_string_lossy();
    let refused: &[char] = if cfg!(windows) { &['%'] } else { &[':', '%'] };
    match path.chars().find(|c| refused.contains(c)) {
        None => Ok(()),
        Some(character) => Err(Failure::new(
            Kind::Input,
            Problem::new(format!("{path}: Docker cannot use a path with a `{character}`"))
                .fix("use a folder without one in its path"),
        )),
    }
}

/// A variable that is there and cannot be read must not be taken for absent.
fn unreadable_environment() -> Result<(), Failure> {
    let problems = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value)))
        .filter(|(key, value)| settings::is_key(key) && value.to_str().is_none())
        .map(|(key, _)| {
            Problem::new(format!("{key}: the environment variable is not UTF-8"))
                .fix("unset it, or give it as UTF-8")
        })
        .collect();
    Failure::unless_empty(Kind::Input, problems)
}
