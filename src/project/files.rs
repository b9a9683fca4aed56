//! The files of the project that are the user's: where they are, and what is written of them at first.

use std::path::{Path, PathBuf};

use super::{FileCause, FileChange};
use crate::assets::Sources;
use crate::render::Rendered;

pub fn env_path(folder: &Path, env_file: Option<&Path>) -> PathBuf {
    match env_file {
        // Relative to where the user stands, as every path on a command line.
        Some(path) => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        None => folder.join(".env"),
    }
}

pub fn seed(sources: &Sources, path: &str) -> Vec<u8> {
    sources
        .missing_seeds
        .iter()
        .find(|(seed, _)| seed == path)
        .map(|(_, content)| content.clone())
        .unwrap_or_default()
}

/// Where writing changes the file itself, also when a link leads to it. An absolute path that is joined to the
/// project folder stays what it is.
pub fn real_path(path: &Path) -> String {
    let real = if path.is_symlink() {
        std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
    } else {
        path.to_owned()
    };
    real.to_string_lossy().into_owned()
}

pub fn first_use(sources: &Sources, with_env: bool) -> Vec<FileChange> {
    sources
        .missing_seeds
        .iter()
        .filter(|(path, _)| with_env || path != ".env")
        .map(|(path, content)| FileChange {
            file: Rendered {
                path: path.clone(),
                content: content.as_slice().into(),
                // It holds the passwords.
                private: path == ".env",
            },
            cause: FileCause::FirstUse,
        })
        .collect()
}
