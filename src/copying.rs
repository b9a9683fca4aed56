//! Replicas from a copy of the master's files, made while it runs (`--clone=copy`): as fast as the disk, and at once
//! where the file system shares blocks between files.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::future::join_all;

use crate::docker;
use crate::error::{Failure, Kind, Problem};
use crate::execute;
use crate::observe;
use crate::observed::Observed;
use crate::plan::{Planned, Step};
use crate::postgres::Session;
use crate::process;
use crate::project::Project;
use crate::settings::{DataPlace, Settings};
use crate::topology::Node;
use crate::workdir;

const COPY: &str = include_str!("copying/copy-data.sh");

/// Copying goes at the disk's pace; this bounds what hangs.
const LIMIT: Duration = Duration::from_secs(6 * 3600);

/// How a replica that has no data gets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum CloneBy {
    /// Each new replica streams a base backup from the master
    #[default]
    Basebackup,
    /// The master's files are copied on this machine's disk
    Copy,
}

/// Refuses where the data is not in folders.
///
/// # Errors
/// [`Kind::Input`].
pub fn refuse(settings: &Settings, by: CloneBy) -> Result<(), Failure> {
    if by == CloneBy::Copy && settings.data == DataPlace::Volume {
        let what = "--clone=copy copies between the folders of the nodes, and DATA is `volume`";
        return Err(Failure::new(Kind::Input, Problem::new(what).fix("leave it out")));
    }
    Ok(())
}

/// The replicas of `steps` that begin without data.
pub fn newcomers<'a>(project: &'a Project, steps: &[Planned]) -> Result<Vec<&'a Node>> {
    let topology = &project.topology;
    let there = workdir::data_directories(&topology.folder)?;
    let has_data = |node: &Node| {
        let directories = there.get(&node.id);
        directories.is_some_and(|paths| paths.iter().any(|path| path.ends_with("pgdata")))
    };
    let starts = |node: &&Node| {
        let start = Step::Start {
            service: node.service(),
        };
        steps.iter().any(|planned| planned.step == start) && !has_data(node)
    };
    Ok(topology.replicas().iter().filter(starts).collect())
}

/// What became of a wish to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// The replicas have their data, and run.
    Started,
    /// The replicas have their data.
    Ready,
    /// The replicas have to clone by themselves, and why.
    Not(&'static str),
}

/// Gives these replicas their data, and starts them meanwhile, where their scripts know how to wait for it.
///
/// # Errors
/// The copy failed: these replicas are stopped then. What was copied is not used: one that starts removes it.
pub async fn copy(project: &Project, observed: &Observed, nodes: &[&Node]) -> Result<Copied> {
    let topology = &project.topology;
    let master = topology.master();
    if observed.facts(master.id).is_none_or(|facts| facts.in_recovery) {
        return Ok(Copied::Not("the master does not run yet"));
    }
    let mut session = Session::new(observe::endpoint(project, master.port)).patient();
    let failed = |problem: Problem| Failure::new(Kind::Failed, problem);
    if session.has_tablespaces().await.map_err(failed)? {
        return Ok(Copied::Not("the master has tablespaces"));
    }
    let names: Vec<String> = nodes.iter().map(|node| node.name()).collect();
    // While the container that copies starts.
    let beginning = tokio::spawn(async move {
        // Before the copy begins, so that the WAL from its beginning is kept: one that has lost its WAL keeps none.
        for name in &names {
            session.drop_slot(name).await?;
            session.create_slot(name).await?;
        }
        session.start_backup().await.map_err(failed)?;
        anyhow::Ok(session)
    });
    let folders: Vec<String> = nodes.iter().map(|node| node.title()).collect();
    let mut words = vec!["bash", "-c", COPY, "copy-data"];
    words.extend(folders.iter().map(String::as_str));
    let argv = docker::helper_with_input(&topology.folder, &project.rendering.images.node, &words);
    let services: Vec<String> = nodes.iter().map(|node| node.service()).collect();
    let services: Vec<&str> = services.iter().map(String::as_str).collect();
    let (mut beginning, mut backup, mut copied) = (Some(beginning), None, Copied::Ready);
    let reply = async |line: &str| match line {
        "ready" => {
            let begun = beginning.take().context("it was ready before")?;
            backup = Some(begun.await??);
            Ok("\n".to_owned())
        }
        "copying" => {
            // Processors are idle meanwhile. Where it fails, so does starting them afterwards, which tells why.
            if execute::start(project, &services).await.is_ok() {
                copied = Copied::Started;
            }
            Ok(String::new())
        }
        "copied" => {
            let session: &mut Session = backup.as_mut().context("it copied before it was told to")?;
            // It ends with an empty line.
            Ok(session.stop_backup().await.map_err(failed)? + "\n\n")
        }
        _ => bail!("the copy said `{line}`"),
    };
    match process::converse(&argv, &topology.folder, reply, LIMIT).await {
        Ok(()) => Ok(copied),
        Err(error) => {
            stop(project, &services).await;
            Err(not_copied(error))
        }
    }
}

/// They would clone by themselves, and what kept the copy from its end (a full disk) may be in their way too. Where they
/// cannot be stopped, why the copy failed matters more.
async fn stop(project: &Project, services: &[&str]) {
    let topology = &project.topology;
    if let Ok(there) = observe::containers(&topology.folder, &topology.project).await {
        let stops = services
            .iter()
            .map(|service| execute::on_container(project, &there, "stop", service));
        join_all(stops).await;
    }
}

/// As what the user asked for, and what he can do.
fn not_copied(error: anyhow::Error) -> anyhow::Error {
    let mut failure = match error.downcast::<Failure>() {
        Ok(failure) => failure,
        Err(error) => return error.context("the master's files were not copied"),
    };
    for problem in &mut failure.problems {
        problem.what = format!("the master's files were not copied: {}", problem.what);
        problem.fix.get_or_insert_with(|| {
            "run the same again, which begins afresh, or without --clone=copy, which streams a base backup".to_owned()
        });
    }
    failure.into()
}
