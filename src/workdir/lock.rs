//! One `pgcluster` at a time in a folder.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::write::create_folders;
use crate::error::{Failure, Kind, Problem};
use crate::topology::PRIVATE_FOLDER;

/// Held as long as this process works in the folder; the system releases it even after a crash.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    holder: PathBuf,
}

impl Lock {
    /// Takes the folder's lock for `command`.
    ///
    /// # Errors
    /// [`Kind::Locked`] with the holder's command and process, if another `pgcluster` has it.
    pub fn take(folder: &Path, command: &str) -> Result<Self> {
        let private = folder.join(PRIVATE_FOLDER);
        create_folders(&private, true).with_context(|| format!("cannot create {}", private.display()))?;
        let path = private.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        // The holder's name is in a file of its own: Windows lets nobody read a locked one.
        let holder = private.join("lock-holder");
        match file.try_lock() {
            Ok(()) => {
                let text = format!("`pgcluster {command}`, process {}", std::process::id());
                fs::write(&holder, text).with_context(|| format!("cannot write {}", holder.display()))?;
                Ok(Lock { _file: file, holder })
            }
            Err(TryLockError::WouldBlock) => {
                let who = holder_of(&holder).unwrap_or_else(|| "another pgcluster".to_owned());
                Err(Failure::new(
                    Kind::Locked,
                    Problem::new(format!("{who} is at work in {}", folder.display()))
                        .fix("wait until it ends, or stop it, then try again"),
                )
                .into())
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Whoever has it next is not to pass for this one.
        let _ = fs::write(&self.holder, "");
    }
}

/// The text of the one that has the lock, which it writes a moment after it has got it.
fn holder_of(holder: &Path) -> Option<String> {
    for _ in 0..20 {
        match fs::read_to_string(holder) {
            Ok(text) if !text.is_empty() => return Some(text),
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    None
}

/// Whether a server runs on the node folder: its container holds a lock on it as long as it lives.
///
/// Where containers run in a virtual machine (macOS, Windows) their locks are not seen from here.
pub fn is_in_use(node: &Path) -> bool {
    File::open(node).is_ok_and(|folder| matches!(folder.try_lock(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_second_lock_names_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::take(folder.path(), "up").unwrap();
        let error = Lock::take(folder.path(), "down").unwrap_err();
        assert_eq!(crate::error::exit_code(&error), 4);
        assert!(error.to_string().contains("`pgcluster up`, process"), "{error}");
        drop(first);
        Lock::take(folder.path(), "down").unwrap();
    }

    /// The name of the holder comes after its lock.
    #[test]
    fn a_holder_that_has_not_said_its_name_yet_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Lock::take(folder.path(), "up").unwrap();
        let holder = folder.path().join(PRIVATE_FOLDER).join("lock-holder");
        let text = fs::read_to_string(&holder).unwrap();
        fs::remove_file(&holder).unwrap();
        let second = std::thread::scope(|scope| {
            let second = scope.spawn(|| Lock::take(folder.path(), "down").unwrap_err());
            let begin = Instant::now();
            while !second.is_finished() && begin.elapsed() < Duration::from_millis(100) {
                std::thread::yield_now();
            }
            fs::write(&holder, &text).unwrap();
            second.join().unwrap()
        });
        assert!(second.to_string().contains("`pgcluster up`, process"), "{second}");
    }
}
