//! Letting clients go on elsewhere before a replica leaves the pool: no new session is sent to it, and those that it has
//! are waited for.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::execute;
use crate::observe;
use crate::observed::Containers;
use crate::plan::Step;
use crate::postgres::{self, Session};
use crate::project::Project;
use crate::render::{self, POOL_BACKENDS};
use crate::workdir;

/// Each look asks Pgpool-II for a row a process and node.
const POLL: Duration = Duration::from_millis(200);

/// Looks in a row that must find nobody: who was logging in when the weights changed has been given a node, and is
/// seen when it is connected.
const QUIET: u32 = 5;

/// Lets the replicas `ids` run empty; gives back how many sessions were left at the end of `limit`.
///
/// `on_count` is told of every change of that number. The pool's list of nodes is in the end what it was; until it is
/// read again, these nodes get no new sessions.
///
/// # Errors
/// The file cannot be written, or the pool does not answer.
pub async fn drain(
    project: &Project,
    there: &Containers,
    ids: &[u32],
    limit: Duration,
    mut on_count: impl FnMut(usize),
) -> Result<usize> {
    let deadline = Instant::now() + limit;
    let mut rendered = project.rendering.files.iter();
    let lasting = rendered.find(|file| file.path == POOL_BACKENDS);
    let lasting = lasting.context("the pool has no list of nodes")?;
    let mut draining = lasting.clone();
    draining.content = render::draining(&lasting.content, ids);
    workdir::write(&project.topology.folder, &draining)?;
    let result = empty(project, there, ids, deadline, &mut on_count).await;
    // Whatever came, what stands there afterwards is what `up` wants.
    workdir::write(&project.topology.folder, lasting)?;
    result
}

async fn empty(
    project: &Project,
    there: &Containers,
    ids: &[u32],
    deadline: Instant,
    on_count: &mut impl FnMut(usize),
) -> Result<usize> {
    execute::correct(project, there, &Step::ReloadPool).await?;
    let port = project.topology.pool_port;
    // Ours are sessions as any other: one that was begun earlier may read from a node that is to run empty.
    postgres::hang_up().await;
    let mut session = Session::fresh(observe::endpoint(&project.settings, port));
    // Pgpool-II reads the file a moment after it has said that it will.
    while session.weighs(ids).await.unwrap_or(true) && Instant::now() < deadline {
        tokio::time::sleep(POLL).await;
    }
    if project.topology.mode.has_bouncer() {
        execute::reconnect_all(project, there).await?;
    }
    let (mut last, mut quiet) = (None, 0);
    loop {
        let left = session.assigned(ids).await;
        if let Ok(left) = left
            && last != Some(left)
        {
            on_count(left);
            last = Some(left);
        }
        quiet = if left == Ok(0) { quiet + 1 } else { 0 };
        if quiet == QUIET {
            return Ok(0);
        }
        if Instant::now() >= deadline {
            // Where the pool has no process free to answer, nothing is known of them.
            return Ok(last.unwrap_or(0));
        }
        tokio::time::sleep(POLL).await;
    }
}
