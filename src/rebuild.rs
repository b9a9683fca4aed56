//! Giving a replica new data: what it has is set aside, never deleted unasked, and it clones again.

use std::time::Duration;

use anyhow::Result;

use crate::data;
use crate::deletion::DELETE_LIMIT;
use crate::docker::{self, NodePlace};
use crate::error::{Failure, Kind, Problem};
use crate::execute;
use crate::observe::DOCKER_LIMIT;
use crate::observed::Containers;
use crate::process;
use crate::project::Project;
use crate::settings::DataPlace;
use crate::topology;
use crate::workdir::OLD_DATA;

/// Stops a replica, outside the pool already, and sets its data aside, for it to clone again when it starts.
///
/// # Errors
/// Something that was set aside before is still there: nothing was changed then. The engine did not do it.
pub async fn set_aside(project: &Project, there: &Containers, id: u32) -> Result<()> {
    refuse_kept(project, id).await?;
    let service = topology::service(id);
    if there
        .get(&service)
        .is_some_and(|container| !container.has_stopped())
    {
        execute::on_container(project, there, "stop", &service).await?;
    }
    if has(project, id, "pgdata").await? {
        in_node(
            project,
            id,
            &["mv", "-T", "/node/pgdata", &format!("/node/{OLD_DATA}")],
            DOCKER_LIMIT,
        )
        .await?;
    }
    Ok(())
}

/// What was set aside before is nobody's to overwrite.
///
/// # Errors
/// [`Kind::NotReady`] where there is some.
pub async fn refuse_kept(project: &Project, id: u32) -> Result<()> {
    match has(project, id, OLD_DATA).await? {
        true => Err(in_the_way(id).into()),
        false => Ok(()),
    }
}

/// Deletes what [`set_aside`] kept, if there is any; only after the user confirmed it.
///
/// # Errors
/// The engine did not do it.
pub async fn delete_old(project: &Project, id: u32) -> Result<()> {
    if has(project, id, OLD_DATA).await? {
        in_node(
            project,
            id,
            &["rm", "-rf", "--", &format!("/node/{OLD_DATA}")],
            DELETE_LIMIT,
        )
        .await?;
    }
    Ok(())
}

/// Where what a replica had is kept, for people.
pub fn kept(project: &Project, id: u32) -> String {
    match project.settings.data {
        DataPlace::Directory => format!("{}/{OLD_DATA}", topology::title(id)),
        DataPlace::Volume => format!("{OLD_DATA} in the volume of {}", topology::title(id)),
    }
}

fn in_the_way(id: u32) -> Failure {
    let title = topology::title(id);
    Failure::new(
        Kind::NotReady,
        Problem::new(format!(
            "{title} has to be cloned again, and {OLD_DATA}, what it had before the last time, is still there"
        ))
        .fix(format!(
            "`pgcluster rebuild {title} --remove-volumes` deletes that and clones it"
        )),
    )
}

async fn has(project: &Project, id: u32, name: &str) -> Result<bool> {
    match project.settings.data {
        DataPlace::Directory => {
            let path = project.topology.folder.join(topology::title(id)).join(name);
            Ok(path.symlink_metadata().is_ok())
        }
        DataPlace::Volume => {
            let Some(argv) = argv(project, id, &["find", "/node", "-maxdepth", "1", "-name", name]).await?
            else {
                return Ok(false);
            };
            let found = process::run(&argv, &project.topology.folder, DOCKER_LIMIT).await?;
            Ok(!found.trim().is_empty())
        }
    }
}

async fn in_node(project: &Project, id: u32, words: &[&str], limit: Duration) -> Result<()> {
    if let Some(argv) = argv(project, id, words).await? {
        process::run(&argv, &project.topology.folder, limit).await?;
    }
    Ok(())
}

/// `words` where the node's data is; nothing where it has no volume.
async fn argv(project: &Project, id: u32, words: &[&str]) -> Result<Option<process::Argv>> {
    let topology = &project.topology;
    let place = match project.settings.data {
        DataPlace::Directory => Some(NodePlace::Folder(topology.folder.join(topology::title(id)))),
        DataPlace::Volume => {
            let mut volumes = data::volumes(&topology.folder, &topology.project).await?;
            volumes.remove(&id).map(NodePlace::Volume)
        }
    };
    let image = &project.rendering.images.node;
    Ok(place.map(|place| docker::in_node(&place, image, words)))
}
