//! The files embedded in the binary, and the user's copies of them, which win.
//!
//! *Seeds* are written into the project folder once and belong to the user from then on; *templates* are rendered
//! each time, and a file of the same name in `templates/` takes the place of the embedded one.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::certificates::Certificates;
use crate::error::{Failure, Kind, Problem};
use crate::topology::{self, LOGINS_FILE, SECRETS_FOLDER, STAGED};

macro_rules! embed {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../", $path)))),*]
    };
}

/// Written where missing, never overwritten.
pub const SEEDS: &[(&str, &str)] = embed![
    ".env",
    "master/master-entrypoint.sh",
    "master/config/postgresql.conf",
    "master/config/pg_hba.conf",
    "slave-template/Dockerfile",
    "slave-template/new-identity.pl",
    "slave-template/node-common.sh",
    "slave-template/slave-entrypoint.sh",
    "slave-template/config/postgresql.conf",
    "slave-template/config/pg_hba.conf",
];

/// What the entrypoints share. The pool's are rendered, and so want it as it is here: the folder's may be older.
pub const COMMON: &str = include_str!("../slave-template/node-common.sh");

/// Rendered at every `generate` and `up`.
pub const TEMPLATES: &[(&str, &str)] = embed![
    "templates/docker-compose.yml.tera",
    "templates/cluster.conf.tera",
    "templates/cluster_hba.conf.tera",
    "templates/cluster_ident.conf",
    "templates/pgpool.conf.tera",
    "templates/backends.conf.tera",
    "templates/pool_hba.conf.tera",
    "templates/pool-entrypoint.sh",
    "templates/pool-logins.sh",
    "templates/pool-node.sh",
    "templates/pool-refresh.sh",
    "templates/pool-sessions.sh",
    "templates/pgbouncer.ini.tera",
    "templates/pgbouncer-entrypoint.sh",
    "templates/pool-watch.sh",
    "templates/pool.Dockerfile",
];

/// The node's own configuration file, which nothing ever writes.
pub const LOCAL_CONF: &str = "local.conf";

/// The image's build context holds the configuration too, but no change of it may rebuild the image.
pub const CONFIG_FOLDER: &str = "config/";

/// Large downloads handed to the image build; their checksums stand in the Dockerfile.
const VENDOR_FOLDER: &str = "vendor";

/// Everything rendering reads, as it is in the folder or, where it is not there yet, as it will be.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Path from the project folder → text.
    pub templates: BTreeMap<String, String>,
    /// Seeds that the folder lacks.
    pub missing_seeds: Vec<(String, Vec<u8>)>,
    /// Path below `master/` → content, entrypoint and configuration.
    pub master: BTreeMap<String, Vec<u8>>,
    /// Path below `slave-template/` → content.
    pub slave_template: BTreeMap<String, Vec<u8>>,
    /// The user's `config/local.conf` of each node that has one; 0 is the master.
    pub locals: BTreeMap<u32, Vec<u8>>,
    /// The user's addition to the Compose file.
    pub compose_override: Vec<u8>,
    /// The secret files as the containers of now have them, by name; absent on first use.
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// The roles made known to the pool, as their file has them.
    pub logins: Vec<u8>,
    /// Where TLS is on, what is to be among the secrets: made from those of now and the time, and so not read here.
    pub certificates: Option<Certificates>,
}

impl Sources {
    /// Reads the sources of the project in `folder`; changes nothing.
    ///
    /// # Errors
    /// A file that cannot be read, or a template that is not UTF-8.
    pub fn read(folder: &Path, replicas: u32) -> Result<Self> {
        let mut sources = Sources::default();
        for (path, embedded) in TEMPLATES {
            let text = match read_if_there(&folder.join(path))? {
                Some(bytes) => String::from_utf8(bytes).map_err(|_| {
                    Failure::new(
                        Kind::Input,
                        Problem::new(format!("{path}: not UTF-8"))
                            .fix("save it as UTF-8, or remove it to use the built-in template"),
                    )
                })?,
                None => (*embedded).to_owned(),
            };
            sources.templates.insert((*path).to_owned(), text);
        }

        read_tree(&folder.join("slave-template"), "", &mut sources.slave_template)?;
        read_tree(&folder.join("master/config"), CONFIG_FOLDER, &mut sources.master)?;
        for (path, embedded) in SEEDS {
            let content = match read_if_there(&folder.join(path))? {
                Some(bytes) => bytes,
                None => {
                    let bytes = embedded.as_bytes().to_vec();
                    sources.missing_seeds.push(((*path).to_owned(), bytes.clone()));
                    bytes
                }
            };
            if let Some(below) = path.strip_prefix("slave-template/") {
                sources.slave_template.insert(below.to_owned(), content);
            } else if let Some(below) = path.strip_prefix("master/") {
                sources.master.insert(below.to_owned(), content);
            }
        }

        for id in 0..=replicas {
            let path = folder
                .join(topology::title(id))
                .join(CONFIG_FOLDER)
                .join(LOCAL_CONF);
            if let Some(content) = read_if_there(&path)? {
                sources.locals.insert(id, content);
            }
        }
        if let Some(path) = override_file(folder) {
            sources.compose_override = read_if_there(&path)?.unwrap_or_default();
        }
        let secrets = folder.join(SECRETS_FOLDER);
        if secrets.is_dir() {
            read_tree(&secrets, "", &mut sources.secrets)?;
        }
        sources.logins = read_if_there(&folder.join(LOGINS_FILE))?.unwrap_or_default();
        Ok(sources)
    }

    /// Whether the user has a template of their own in place of this one.
    pub fn is_users(&self, path: &str) -> bool {
        let embedded = TEMPLATES.iter().find(|(name, _)| *name == path);
        embedded.is_none_or(|(_, text)| *text != self.template(path))
    }

    /// The text of a template named in [`TEMPLATES`].
    pub fn template(&self, path: &str) -> &str {
        self.templates.get(path).map_or("", String::as_str)
    }
}

/// The names of a user's additions, of which Compose reads the first that is there.
const OVERRIDES: &[&str] = &[
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// The user's addition to the Compose file, as plain `docker compose` would read it too.
pub fn override_file(folder: &Path) -> Option<PathBuf> {
    OVERRIDES
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.exists())
}

/// The content of a file, or `None` where there is none.
pub fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Adds every file below `folder` to `files`, named by `prefix` and its path with forward slashes.
pub fn read_tree(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", folder.display())),
    };
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // Left by a command that was killed while it wrote: the next one removes it, and it belongs to no image.
        if name.starts_with(STAGED) {
            continue;
        }
        let path = entry.path();
        if path.is_dir() {
            if name != VENDOR_FOLDER {
                read_tree(&path, &format!("{prefix}{name}/"), files)?;
            }
        } else {
            let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            files.insert(format!("{prefix}{name}"), content);
        }
    }
    Ok(())
}
