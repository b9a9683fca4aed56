//! The project folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Cluster;

/// Path → bytes and time of the last change.
pub struct Files(BTreeMap<String, (Vec<u8>, SystemTime)>);

impl Files {
    /// Names of files that came, went, or were written.
    pub fn changed_since(&self, before: &Files) -> Vec<String> {
        let names: BTreeSet<&String> = self.0.keys().chain(before.0.keys()).collect();
        let changed = names
            .into_iter()
            .filter(|name| self.0.get(*name) != before.0.get(*name));
        changed.cloned().collect()
    }
}

impl Cluster {
    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.folder.join(path), text).unwrap_or_else(|e| panic!("{path}: {e}"));
    }

    /// Adds a line at the end, and gives back its number.
    pub fn append(&self, path: &str, line: &str) -> usize {
        let old = fs::read_to_string(self.folder.join(path)).unwrap_or_default();
        self.write(path, &format!("{old}{line}\n"));
        old.lines().count() + 1
    }

    /// Gives it the downloads that the repository's image was built with, where there are any.
    pub fn has_the_downloads(&self) {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("slave-template/vendor");
        let to = self.folder.join("slave-template/vendor");
        fs::create_dir_all(&to).expect("a folder");
        for file in fs::read_dir(from).into_iter().flatten().flatten() {
            fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
        }
    }

    pub fn text(&self, path: &str) -> String {
        let path = self.folder.join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub fn exists(&self, path: &str) -> bool {
        self.folder.join(path).symlink_metadata().is_ok()
    }

    /// Whether the node has this beside or as its data directory, in its folder or in its volume.
    pub fn holds(&self, node: &str, name: &str) -> bool {
        match self.setting("DATA").as_str() {
            "volume" => self
                .in_volume(node, "ls -a /volume")
                .lines()
                .any(|found| found == name),
            _ => self.exists(&format!("{node}/{name}")),
        }
    }

    /// All files but data directories and the lock, which names the process that had it last.
    pub fn files(&self) -> Files {
        let mut files = BTreeMap::new();
        walk(&self.folder, &self.folder, &mut files);
        Files(files)
    }

    /// Hashes of all files in the data directory of `node`.
    pub fn data_hashes(&self, node: &str) -> String {
        let hashes = self.as_root(&format!(
            "find {node}/pgdata -type f -print0 | sort -z | xargs -0 sha256sum"
        ));
        assert!(hashes.contains("PG_VERSION"), "{node} has no data");
        hashes
    }

    /// A place beside the project folder.
    pub fn outside(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.parent.path())
            .expect("it is there")
            .join(name)
    }
}

fn walk(root: &Path, folder: &Path, files: &mut BTreeMap<String, (Vec<u8>, SystemTime)>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let below = path
            .strip_prefix(root)
            .expect("it is below")
            .display()
            .to_string();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("pgdata") || below.starts_with(".pgcluster/lock") {
            continue;
        }
        let metadata = path.symlink_metadata().expect("metadata");
        if metadata.is_dir() {
            walk(root, &path, files);
        } else {
            files.insert(
                below,
                (
                    fs::read(&path).expect("a file"),
                    metadata.modified().expect("a time"),
                ),
            );
        }
    }
}
