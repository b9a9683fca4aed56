//! Deleting the data of nodes: only where the user asked for it and confirmed it, and never through a link.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use bytesize::ByteSize;

use crate::data;
use crate::docker::{self, Volumes};
use crate::error::{Failure, Kind, Problem};
use crate::observe::DOCKER_LIMIT;
use crate::process::{self, Argv};
use crate::ui::Ui;
use crate::workdir;

/// Even a very large data directory is deleted sooner.
pub const DELETE_LIMIT: Duration = Duration::from_secs(3600);

/// The data of nodes, wherever it is.
pub struct Doomed {
    pub directories: Vec<PathBuf>,
    pub volumes: Volumes,
}

impl Doomed {
    /// What the nodes that are `chosen` have.
    ///
    /// # Errors
    /// One of their folders is a link; Docker does not answer.
    pub async fn of(folder: &Path, project: &str, chosen: impl Fn(u32) -> bool) -> Result<Self> {
        let mut directories = workdir::data_directories(folder)?;
        directories.retain(|id, _| chosen(*id));
        workdir::refuse_links(folder, directories.keys().copied())?;
        let mut volumes = data::volumes(folder, project).await?;
        volumes.retain(|id, _| chosen(*id));
        Ok(Doomed {
            // The master's last: as long as a replica has data, so has the master, whenever this is interrupted.
            directories: directories.into_values().rev().flatten().collect(),
            volumes,
        })
    }

    pub fn none() -> Self {
        Doomed {
            directories: Vec::new(),
            volumes: Volumes::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.directories.is_empty() && self.volumes.is_empty()
    }

    /// Each directory and volume with its size, for people.
    pub async fn listing(&self, folder: &Path) -> Vec<String> {
        let mut lines = Vec::new();
        for directory in &self.directories {
            let size = match size_of(directory) {
                Ok(bytes) => Some(bytes),
                // It belongs to the container's user.
                Err(_) => size_by_helper(folder, directory).await,
            };
            lines.push(format!("{}  {}", below(folder, directory), shown(size)));
        }
        let sizes = sizes_of_volumes(folder, &self.volumes).await.unwrap_or_default();
        for (id, name) in self.volumes.iter().rev() {
            lines.push(format!("volume {name}  {}", shown(sizes.get(id).copied())));
        }
        lines
    }

    /// Says what will be deleted and has the cluster's name typed, unless the answer is `yes` already.
    ///
    /// # Errors
    /// [`Kind::Input`]: another answer, or nobody to ask.
    pub async fn confirm(&self, folder: &Path, project: &str, yes: bool, ui: Ui) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        ui.note("This deletes for ever:");
        for line in self.listing(folder).await {
            ui.note(&format!("  {line}"));
        }
        match yes {
            true => Ok(()),
            false => ask(project, ui).await,
        }
    }

    /// Deletes it, and sees that it is gone.
    ///
    /// # Errors
    /// A server runs on it or a container has it: then nothing is deleted. Something is still there.
    pub async fn delete(&self, folder: &Path, project: &str) -> Result<()> {
        refuse_folders_in_use(folder, &self.directories)?;
        refuse_volumes_in_use(folder, &self.volumes).await?;
        delete(folder, &self.directories).await?;
        delete_volumes(folder, project, &self.volumes).await
    }

    /// How much that was: "3 data directories deleted".
    pub fn deleted(&self) -> String {
        match (self.directories.len(), self.volumes.len()) {
            (0, 0) => "there was no data to delete".to_owned(),
            (count, 0) => format!("{count} data directories deleted"),
            (0, count) => format!("{count} volumes deleted"),
            (directories, volumes) => format!("{directories} data directories and {volumes} volumes deleted"),
        }
    }
}

/// Any container has a right to its volume, a stopped one too; Docker would delete the other volumes first.
async fn refuse_volumes_in_use(folder: &Path, volumes: &Volumes) -> Result<()> {
    if volumes.is_empty() {
        return Ok(());
    }
    let argv = docker::users_of_volumes(volumes.values());
    let users = process::run(&argv, folder, DOCKER_LIMIT).await?;
    let problems = users
        .lines()
        .map(|name| {
            Problem::new(format!(
                "the container {name} uses a volume of this cluster; nothing was deleted"
            ))
            .fix(format!(
                "`docker rm --force {name}` if it is not needed, then try again"
            ))
        })
        .collect();
    Failure::unless_empty(Kind::Input, problems)?;
    Ok(())
}

/// Servers of this data may run under another project name, when the folder was moved while they ran.
fn refuse_folders_in_use(folder: &Path, doomed: &[PathBuf]) -> Result<(), Failure> {
    let problems = doomed
        .iter()
        .filter(|path| path.parent().is_some_and(workdir::is_in_use))
        .map(|path| {
            Problem::new(format!(
                "a server still runs on {}; nothing was deleted",
                below(folder, path)
            ))
            .fix("find its container with `docker ps`, stop it, then try again")
        })
        .collect();
    Failure::unless_empty(Kind::Input, problems)
}

/// Has the cluster's name typed.
///
/// # Errors
/// [`Kind::Input`]: another answer, or nobody to ask.
pub async fn ask(project: &str, ui: Ui) -> Result<()> {
    let question = format!("Type the cluster's name, {project}, to go on:");
    // In a thread of its own, so that Ctrl-C ends the waiting for an answer.
    let answer = tokio::task::spawn_blocking(move || ui.ask(&question)).await?;
    let problem = match answer {
        Some(answer) if answer == project => return Ok(()),
        Some(_) => Problem::new("that is not the cluster's name; nothing was deleted or stopped")
            .fix(format!("type {project}, or pass --yes")),
        None => Problem::new("--remove-volumes deletes data, and there is no terminal to confirm it on")
            .fix("pass --yes if you are sure"),
    };
    Err(Failure::new(Kind::Input, problem).into())
}

fn shown(size: Option<u64>) -> String {
    size.map_or("size unknown".to_owned(), |bytes| ByteSize(bytes).to_string())
}

/// Node → bytes in its volume; nothing where no image is left to look with.
async fn sizes_of_volumes(folder: &Path, volumes: &Volumes) -> Option<BTreeMap<u32, u64>> {
    if volumes.is_empty() {
        return None;
    }
    let image = any_image(folder).await.ok()?;
    let argv = docker::sizes_of_volumes(volumes, &image);
    let output = process::run(&argv, folder, DOCKER_LIMIT).await.ok()?;
    Some(docker::parse_sizes(&output))
}

/// Bytes in the files below `directory`; links are counted as themselves.
fn size_of(directory: &Path) -> io::Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        total += match metadata.is_dir() {
            true => size_of(&entry.path())?,
            false => metadata.len(),
        };
    }
    Ok(total)
}

async fn size_by_helper(folder: &Path, directory: &Path) -> Option<u64> {
    let image = any_image(folder).await.ok()?;
    let argv = docker::helper(folder, &image, &["du", "-sb", &below(folder, directory)]);
    let output = process::run(&argv, folder, DOCKER_LIMIT).await.ok()?;
    output.split_whitespace().next()?.parse().ok()
}

/// Deletes the directories, as the container's root where this user may not, and sees that they are gone.
async fn delete(folder: &Path, doomed: &[PathBuf]) -> Result<()> {
    // `remove_dir_all` follows no link, not even one that is put there meanwhile.
    let mine = |path: &PathBuf| !path.exists() || fs::remove_dir_all(path).is_ok();
    let (_, left): (Vec<PathBuf>, Vec<PathBuf>) = doomed.iter().cloned().partition(mine);
    if !left.is_empty() {
        let image = any_image(folder).await?;
        let names: Vec<String> = left.iter().map(|path| below(folder, path)).collect();
        let mut words = vec!["rm", "-rf", "--"];
        words.extend(names.iter().map(String::as_str));
        let argv: Argv = docker::helper(folder, &image, &words);
        process::run(&argv, folder, DELETE_LIMIT).await?;
    }
    let problems = doomed
        .iter()
        .filter(|path| path.symlink_metadata().is_ok())
        .map(|path| Problem::new(format!("{} is still there", path.display())).fix("delete it as root"))
        .collect();
    Failure::unless_empty(Kind::Failed, problems)?;
    Ok(())
}

/// Deletes the volumes, the master's last, and sees that they are gone.
async fn delete_volumes(folder: &Path, project: &str, volumes: &Volumes) -> Result<()> {
    let (master, replicas): (Vec<_>, Vec<_>) = volumes.iter().partition(|(id, _)| **id == 0);
    for group in [replicas, master] {
        let names: Vec<&String> = group.into_iter().map(|(_, name)| name).collect();
        if !names.is_empty() {
            process::run(&docker::remove_volumes(&names), folder, DELETE_LIMIT).await?;
        }
    }
    if volumes.is_empty() {
        return Ok(());
    }
    let left = data::volumes(folder, project).await?;
    let problems = volumes
        .values()
        .filter(|name| left.values().any(|left| left == *name))
        .map(|name| {
            Problem::new(format!("the volume {name} is still there")).fix(format!("docker volume rm {name}"))
        })
        .collect();
    Failure::unless_empty(Kind::Failed, problems)?;
    Ok(())
}

/// An image of ours: any can list and delete files.
async fn any_image(folder: &Path) -> Result<String> {
    let output = process::run(&docker::own_images(), folder, DOCKER_LIMIT).await?;
    output.lines().next().map(str::to_owned).context(
        "the data belongs to the containers' user, and there is no pgcluster image left to delete it with: \
         delete it as root, or run `pgcluster up` once",
    )
}

/// The path from the project folder, with forward slashes.
fn below(folder: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(folder).unwrap_or(path);
    relative.to_string_lossy().replace('\\', "/")
}
