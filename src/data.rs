//! Where the nodes' data is, in their folders or in volumes, and what must not be begun beside it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::docker::{self, Volumes};
use crate::engine;
use crate::error::{Failure, Kind, Problem};
use crate::observe::DOCKER_LIMIT;
use crate::observed::{self, Containers};
use crate::process;
use crate::project::Project;
use crate::settings::DataPlace;
use crate::topology::{self, MASTER_SERVICE};
use crate::workdir::{self, Written};

/// The volumes of a project's nodes.
///
/// # Errors
/// Docker is missing, or does not answer.
pub async fn volumes(folder: &Path, project: &str) -> Result<Volumes> {
    if let Some((_, body)) = engine::get(&docker::api::volume_list(project), &[200]).await
        && let Some(volumes) = docker::api::parse_volume_list(&body)
    {
        return Ok(volumes);
    }
    let argv = docker::volumes(project);
    let finished = process::capture(&argv, folder, DOCKER_LIMIT).await?;
    if !finished.success {
        return Err(Failure::new(Kind::Machine, docker::engine_away(&finished.stderr)).into());
    }
    docker::parse_volumes(&finished.stdout)
        .with_context(|| format!("cannot read the output of {}", argv.pasteable()))
}

/// As many replicas as there are volumes of, in a folder that lost its Compose file and has no other data.
pub async fn replicas_in_volumes(folder: &Path) -> Option<u32> {
    let told = workdir::written(folder).ok()?.is_some()
        || !workdir::data_directories(folder).ok()?.is_empty()
        || !workdir::is_project(folder);
    if told {
        return None;
    }
    let volumes = volumes(folder, &topology::project_name(folder)).await.ok()?;
    volumes.into_keys().max()
}

/// The folder on whose file system the data lies.
pub async fn place(project: &Project) -> PathBuf {
    let folder = &project.topology.folder;
    match project.settings.data {
        DataPlace::Directory => folder.clone(),
        DataPlace::Volume => {
            let root = process::run(&docker::root_folder(), folder, DOCKER_LIMIT).await;
            PathBuf::from(root.unwrap_or_default().trim())
        }
    }
}

/// Refuses to begin an empty cluster while the data of this one is somewhere else: it was made with another `DATA`, or
/// in volumes while the folder had another path.
///
/// Docker is asked where the Compose file tells of volumes; without such a file it is `to_start` that decides, as
/// writing files needs no Docker.
///
/// # Errors
/// [`Kind::Input`] with what holds the data and the way out; [`Kind::Machine`] if Docker has to be asked and cannot.
pub async fn refuse_elsewhere(project: &Project, to_start: bool) -> Result<()> {
    let topology = &project.topology;
    let folder = &topology.folder;
    let written = workdir::written(folder)?;
    let may_have_volumes = written.as_ref().map_or(to_start, |written| written.in_volumes);
    let mut problems = Vec::new();
    match project.settings.data {
        DataPlace::Volume => {
            let directories = whole_directories(folder)?;
            if !directories.is_empty() {
                problems.push(
                    Problem::new(format!(
                        "DATA: `volume`, and this cluster's data is in {}: it would not be used",
                        directories.join(", ")
                    ))
                    .fix(WAY_BACK.replace("OTHER", "directory")),
                );
            }
        }
        DataPlace::Directory if may_have_volumes => {
            let volumes = volumes(folder, &topology.project).await?;
            if !volumes.is_empty() {
                problems.push(
                    Problem::new(format!(
                        "DATA: `directory`, and this cluster's data is in the volumes {}: it would not be used",
                        list(&volumes)
                    ))
                    .fix(WAY_BACK.replace("OTHER", "volume")),
                );
            }
        }
        DataPlace::Directory => {}
    }
    let elsewhere = |written: &Written| written.in_volumes && written.project != topology.project;
    if let Some(written) = written.filter(elsewhere) {
        let left = volumes(folder, &written.project).await?;
        if !left.is_empty() {
            problems.push(
                Problem::new(format!(
                    "docker-compose.yml is that of {}, whose data is in the volumes {}: they belong to the path this \
                     folder had, and a cluster in {} would be empty",
                    written.project,
                    list(&left),
                    folder.display()
                ))
                .fix("move the folder back; or remove docker-compose.yml, to begin anew here"),
            );
        }
    }
    Failure::unless_empty(Kind::Input, problems)?;
    Ok(())
}

const WAY_BACK: &str = "set DATA=OTHER again; or dump the databases (pg_dumpall), delete the old data \
                        (`pgcluster down --remove-volumes`), then start and restore them";

/// Refuses a master without data, which would be made anew, and empty, beside replicas that hold everything.
///
/// # Errors
/// [`Kind::Input`] with what is missing.
pub fn refuse_orphans_in_folders(project: &Project) -> Result<()> {
    if project.settings.data == DataPlace::Directory {
        let directories = whole_directories(&project.topology.folder)?;
        let master = format!("{}/pgdata", topology::title(0));
        if let Some(replica) = directories.first()
            && !directories.contains(&master)
        {
            return Err(orphaned(&master, replica).into());
        }
    }
    Ok(())
}

/// The same for data in volumes, which a container of the node image looks into; not while the master runs.
///
/// # Errors
/// As [`refuse_orphans_in_folders`], or Docker's.
pub async fn refuse_orphans_in_volumes(project: &Project, containers: &Containers) -> Result<()> {
    let topology = &project.topology;
    if observed::runs(containers, MASTER_SERVICE) || project.settings.data == DataPlace::Directory {
        return Ok(());
    }
    let volumes = volumes(&topology.folder, &topology.project).await?;
    if volumes.keys().all(|id| *id == 0) {
        return Ok(());
    }
    let look = docker::data_in_volumes(&volumes, &project.rendering.images.node);
    let output = process::run(&look, &topology.folder, DOCKER_LIMIT).await?;
    let mut whole = docker::parse_data_in_volumes(&output);
    whole.sort_unstable();
    match whole.first() {
        Some(replica) if *replica != 0 => {
            let master = format!(
                "the data in the volume {}_{}",
                topology.project,
                topology::title(0)
            );
            Err(orphaned(&master, &format!("the volume {}", volumes[replica])).into())
        }
        _ => Ok(()),
    }
}

fn orphaned(master: &str, replica: &str) -> Failure {
    Failure::new(
        Kind::Input,
        Problem::new(format!(
            "{master} is missing, and {replica} holds the data of a cluster: a new master would be empty"
        ))
        .fix(format!(
            "put {master} back; or, to begin anew, run `pgcluster down --remove-volumes` first"
        )),
    )
}

/// Complete data directories in the node folders, from the project folder, the master's first.
fn whole_directories(folder: &Path) -> Result<Vec<String>> {
    let whole = |(id, paths): (u32, Vec<PathBuf>)| {
        let found = paths.iter().any(|path| path.ends_with("pgdata"));
        found.then(|| format!("{}/pgdata", topology::title(id)))
    };
    Ok(workdir::data_directories(folder)?
        .into_iter()
        .filter_map(whole)
        .collect())
}

fn list(volumes: &Volumes) -> String {
    volumes
        .values()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}
