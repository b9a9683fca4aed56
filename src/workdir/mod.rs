//! The project folder: the only module that writes into it. Atomic writes, the lock, what is there.

mod compose_file;
mod lock;
mod write;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use compose_file::{
    Written, compose, existing_replicas, own_compose_file, read_compose_file, refuse_without_cluster, written,
};
pub use lock::{Lock, is_in_use};
pub use write::{is_exposed, sweep, write, write_all, write_for_now};

use crate::assets::read_if_there;
use crate::error::{Failure, Kind, Problem};
use crate::render::Rendered;
use crate::topology::{self, NEWBORN_FOLDER, PRIVATE_FOLDER};

/// The project folder as an absolute path; it must exist.
///
/// # Errors
/// The folder is missing or is not one.
pub fn locate(folder: &Path) -> Result<PathBuf> {
    let absolute = fs::canonicalize(folder)
        .ok()
        .filter(|path| path.is_dir())
        .ok_or_else(|| {
            Failure::new(
                Kind::Input,
                Problem::new(format!("{}: no such folder", folder.display()))
                    .fix("create it, or name another with -C DIR"),
            )
        })?;
    Ok(plain(absolute))
}

/// Windows' canonical paths begin with `\\?\`, which Docker does not understand.
fn plain(path: PathBuf) -> PathBuf {
    match path.to_str().and_then(|text| text.strip_prefix(r"\\?\")) {
        Some(rest) if !rest.starts_with("UNC") => PathBuf::from(rest),
        _ => path,
    }
}

/// What a replica had before it was rebuilt, beside `pgdata`.
pub const OLD_DATA: &str = "pgdata.old";

/// Folders of nodes with data in them: the node's number, and its data directories.
///
/// `pgdata` is a whole cluster, `pgdata.new` what an interrupted clone left, [`OLD_DATA`] what a replica had before it was
/// rebuilt. Anything else is the user's.
pub fn data_directories(folder: &Path) -> Result<BTreeMap<u32, Vec<PathBuf>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let id = match name.as_ref() {
            "master" => Some(0),
            other => topology::replica_of_folder(other),
        };
        let Some(id) = id else { continue };
        let mut directories: Vec<PathBuf> = match fs::read_dir(folder.join(name.as_ref())) {
            Ok(entries) => entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| {
                    let name = path.file_name().unwrap_or_default();
                    (name == "pgdata" && !is_empty(path)) || name == "pgdata.new" || name == OLD_DATA
                })
                .collect(),
            Err(_) => continue,
        };
        if !directories.is_empty() {
            directories.sort();
            found.insert(id, directories);
        }
    }
    Ok(found)
}

/// A directory that can be seen to hold nothing; one that belongs to the container's user cannot be seen into.
fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

/// Whether the tool has worked in `folder`.
pub fn is_project(folder: &Path) -> bool {
    folder.join(PRIVATE_FOLDER).is_dir()
}

/// Refuses a folder in which a link would lead the tool, or Docker, somewhere else.
///
/// # Errors
/// Every one of the node folders, data directories and the tool's own folders that is a symbolic link.
pub fn refuse_links(folder: &Path, nodes: impl IntoIterator<Item = u32>) -> Result<(), Failure> {
    let mut paths = [PRIVATE_FOLDER, "pgpool", "pgbouncer"]
        .map(PathBuf::from)
        .to_vec();
    for id in nodes {
        let node = PathBuf::from(topology::title(id));
        paths.push(node.join("pgdata"));
        paths.push(node.join("config"));
        paths.push(node);
    }
    let problems = paths
        .iter()
        .filter(|path| folder.join(path).is_symlink())
        .map(|path| {
            Problem::new(format!("{} is a symbolic link", path.display())).fix(
                "a container cannot follow it, and nothing may be deleted through it: put the real folder there, \
                 or move the whole project folder to the other disk",
            )
        })
        .collect();
    Failure::unless_empty(Kind::Input, problems)
}

/// Whether a file is there as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    New,
    Changed,
}

/// The files that are not in `folder` as rendered, in order.
pub fn differences(folder: &Path, files: &[Rendered]) -> Result<Vec<(Rendered, Difference)>> {
    let mut differences = Vec::new();
    for file in files {
        match read_if_there(&folder.join(&file.path))? {
            None => differences.push((file.clone(), Difference::New)),
            Some(old) if *old != *file.content => differences.push((file.clone(), Difference::Changed)),
            Some(_) if file.private && is_exposed(&folder.join(&file.path)) => {
                differences.push((file.clone(), Difference::Changed));
            }
            Some(_) => {}
        }
    }
    Ok(differences)
}

/// Removes the copy that the master made of itself for its first replicas; without an error where it cannot, as the
/// master's container removes it too, and no replica uses one that is out of date.
pub fn remove_newborn_copy(folder: &Path) {
    for name in ["copy.tar", "copy.tar.new"] {
        let _ = fs::remove_file(folder.join(NEWBORN_FOLDER).join(name));
    }
}

/// Bytes that a user may still write on the file system of `folder`.
pub fn free_space(folder: &Path) -> io::Result<u64> {
    fs4::available_space(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(path: &str, content: &str) -> Rendered {
        Rendered {
            path: path.into(),
            content: content.as_bytes().into(),
            private: false,
        }
    }

    #[test]
    fn a_written_file_is_no_longer_different() {
        let folder = tempfile::tempdir().unwrap();
        let file = rendered("a/b/c.conf", "x\n");
        let kinds = |files: &[Rendered]| -> Vec<Difference> {
            let differences = differences(folder.path(), files).unwrap();
            differences
                .into_iter()
                .map(|(_, difference)| difference)
                .collect()
        };
        assert_eq!(kinds(std::slice::from_ref(&file)), [Difference::New]);
        write(folder.path(), &file).unwrap();
        assert_eq!(kinds(std::slice::from_ref(&file)), []);
        assert_eq!(kinds(&[rendered("a/b/c.conf", "y\n")]), [Difference::Changed]);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("master")).unwrap();
        std::os::unix::fs::symlink("/", folder.path().join("master/pgdata")).unwrap();
        let failure = refuse_links(folder.path(), [0, 1]).unwrap_err();
        assert_eq!(failure.problems.len(), 1);
        assert!(
            failure.problems[0]
                .what
                .contains("master/pgdata is a symbolic link")
        );
    }

    #[cfg(unix)]
    #[test]
    fn secrets_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mut file = rendered(".pgcluster/secrets/x", "y");
        file.private = true;
        write(folder.path(), &file).unwrap();
        let mode = |path: &str| {
            fs::metadata(folder.path().join(path))
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!(mode(".pgcluster/secrets/x"), 0o600);
        assert_eq!(mode(".pgcluster"), 0o700);
    }
}
