//! Files written so that a reader, or a power cut, finds the old one or the new one.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use crate::points;
use crate::render::Rendered;
use crate::topology::{PRIVATE_FOLDER, STAGED};

/// Threads that each wait for the disk.
const SYNCS_AT_ONCE: usize = 16;

/// Puts a file in place in one step: readers see the old content or the new, never a part.
///
/// # Errors
/// The disk is full, the folder is read-only, and the like.
pub fn write(folder: &Path, file: &Rendered) -> Result<()> {
    write_all(folder, &[file])
}

/// The same for many, each in one step and in this order; none is in place before all are on the disk.
///
/// # Errors
/// As [`write`].
pub fn write_all(folder: &Path, files: &[&Rendered]) -> Result<()> {
    let mut staged = Vec::new();
    for file in files {
        let target = folder.join(&file.path);
        let temporary = stage(folder, &target, file).with_context(|| cannot_write(&target))?;
        staged.push((target, temporary));
    }
    sync(&staged)?;
    points::pass("files are staged");
    for (target, temporary) in staged {
        temporary
            .persist(&target)
            .with_context(|| cannot_write(&target))?;
        points::pass("a file is in place");
    }
    Ok(())
}

/// Removes what a process that was killed had staged in these folders; only who holds the lock may.
pub fn sweep(folders: &BTreeSet<PathBuf>) {
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok());
    for entry in entries.flatten().flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && entry.file_name().to_string_lossy().starts_with(STAGED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A file with the content, mode and owner that `target` is to have, beside it.
fn stage(folder: &Path, target: &Path, file: &Rendered) -> io::Result<NamedTempFile> {
    let parent = target.parent().unwrap_or(folder);
    create_folders(parent, file.private)?;
    let mut temporary = tempfile::Builder::new().prefix(STAGED).tempfile_in(parent)?;
    temporary.write_all(&file.content)?;
    match fs::metadata(target) {
        // A file of the user's keeps what the user gave it, and a secret never does.
        Ok(old) if !file.path.starts_with(PRIVATE_FOLDER) => {
            temporary.as_file().set_permissions(old.permissions())?;
        }
        _ => set_mode(temporary.as_file(), file.private)?,
    }
    set_owner(temporary.path(), if target.exists() { target } else { parent });
    Ok(temporary)
}

/// Waits until the disk has them, for many at the same time: a file system's journal then commits them together,
/// where one after the other each waits for a commit of its own.
fn sync(staged: &[(PathBuf, NamedTempFile)]) -> Result<()> {
    let each = staged.len().div_ceil(SYNCS_AT_ONCE).max(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = staged
            .chunks(each)
            .map(|part| {
                scope.spawn(move || {
                    part.iter().try_for_each(|(target, file)| {
                        file.as_file().sync_all().with_context(|| cannot_write(target))
                    })
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })
}

fn cannot_write(target: &Path) -> String {
    format!("cannot write {}", target.display())
}

/// A file that only this user can read, where nobody else may look either; deleted when what is returned is dropped.
///
/// # Errors
/// As [`write`].
pub fn write_for_now(folder: &Path, content: &[u8]) -> Result<tempfile::TempPath> {
    let private = folder.join(PRIVATE_FOLDER);
    let attempt = || -> io::Result<tempfile::TempPath> {
        create_folders(&private, true)?;
        let mut file = tempfile::Builder::new().prefix("now-").tempfile_in(&private)?;
        file.write_all(content)?;
        Ok(file.into_temp_path())
    };
    attempt().with_context(|| format!("cannot write into {}", private.display()))
}

/// Like `create_dir_all`, with modes that the container's user can pass through whatever the umask is.
pub fn create_folders(folder: &Path, private: bool) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        create_folders(parent, private)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    set_owner(folder, folder.parent().unwrap_or(folder));
    set_folder_mode(folder, private)
}

/// What root writes into a user's folder belongs to the user; nobody else can give a file away.
#[cfg(unix)]
fn set_owner(path: &Path, like: &Path) {
    use std::os::unix::fs::{MetadataExt, chown};
    if let Ok(owner) = fs::metadata(like) {
        let _ = chown(path, Some(owner.uid()), Some(owner.gid()));
    }
}

/// Whether others than the owner may read or change a file.
#[cfg(unix)]
pub fn is_exposed(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn set_owner(_: &Path, _: &Path) {}

#[cfg(not(unix))]
pub fn is_exposed(_: &Path) -> bool {
    false
}

#[cfg(unix)]
fn set_mode(file: &File, private: bool) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(if private { 0o600 } else { 0o644 }))
}

#[cfg(unix)]
fn set_folder_mode(folder: &Path, private: bool) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(
        folder,
        fs::Permissions::from_mode(if private { 0o700 } else { 0o755 }),
    )
}

/// Windows: a file inherits the access list of the user's folder, which others cannot read.
#[cfg(not(unix))]
fn set_mode(_: &File, _: bool) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn set_folder_mode(_: &Path, _: bool) -> io::Result<()> {
    Ok(())
}
