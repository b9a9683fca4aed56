//! Letting clients go on elsewhere before a replica leaves the pool: no new session is sent to it, and those that it has
//! are waited for.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::execute;
use crate::observe;
use crate::observed::{self, Containers};
use crate::plan::Step;
use crate::postgres::{self, Session};
use crate::project::Project;
use crate::render::{self, POOL_BACKENDS, Rendered};
use crate::topology::BOUNCER_SERVICE;
use crate::workdir;

/// Each look asks Pgpool-II for a row a process and node.
const POLL: Duration = Duration::from_millis(200);

/// Looks in a row that must find nobody: a session is counted a moment after it was given its node.
const QUIET: u32 = 2;

/// Lets the replicas `ids` run empty; gives back how many sessions were left at the end of `limit`.
///
/// `on_count` is told of every change of that number. The pool's list of nodes is afterwards one in which they get no
/// new sessions, until [`restore`] is called. That is for when they are detached or no longer in the lasting list: each
/// of Pgpool-II's processes reads it when it serves its next client, however late, and for all of them.
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
    let mut draining = lasting(project)?.clone();
    draining.content = render::draining(&draining.content, ids).into();
    workdir::write(&project.topology.folder, &draining)?;
    // By what runs: the mode may be about to change.
    let has_bouncer = observed::runs(there, BOUNCER_SERVICE);
    loop {
        no_new_ones(project, there, ids, deadline).await?;
        let waits = empty(project, ids, deadline, &mut on_count);
        let left = match has_bouncer {
            true => beside_renewal(project, there, deadline, waits).await?,
            false => waits.await,
        };
        if let Some(left) = left {
            return Ok(left);
        }
    }
}

/// Waits, and has PgBouncer close what it has meanwhile: its connections end in no other way.
async fn beside_renewal<T>(
    project: &Project,
    there: &Containers,
    deadline: Instant,
    waits: impl Future<Output = T>,
) -> Result<T> {
    let limit = deadline.saturating_duration_since(Instant::now());
    tokio::pin!(waits);
    tokio::select! {
        ended = &mut waits => Ok(ended),
        renewed = execute::renew(project, there, limit) => {
            renewed?;
            Ok(waits.await)
        }
    }
}

/// Writes the pool's list of nodes as `up` wants it.
///
/// # Errors
/// The file cannot be written.
pub fn restore(project: &Project) -> Result<()> {
    workdir::write(&project.topology.folder, lasting(project)?)
}

fn lasting(project: &Project) -> Result<&Rendered> {
    let mut files = project.rendering.files.iter();
    let lasting = files.find(|file| file.path == POOL_BACKENDS);
    lasting.context("the pool has no list of nodes")
}

/// From here on only those read from them that are connected.
async fn no_new_ones(project: &Project, there: &Containers, ids: &[u32], deadline: Instant) -> Result<()> {
    execute::correct(project, there, &Step::ReloadPool).await?;
    // Ours are sessions as any other: one that was begun earlier may read from a node that is to run empty.
    postgres::hang_up().await;
    let mut session = pool(project);
    // Pgpool-II reads the file a moment after it has said that it will.
    while session.weighs(ids).await.unwrap_or(true) && Instant::now() < deadline {
        tokio::time::sleep(POLL).await;
    }
    // Who is logging in may have been given one of them before.
    execute::logins_over(project, there, &[]).await
}

/// How many sessions were left at the deadline; nothing where new ones are sent to these nodes again.
async fn empty(
    project: &Project,
    ids: &[u32],
    deadline: Instant,
    mut on_count: impl FnMut(usize),
) -> Option<usize> {
    let mut session = pool(project);
    let (mut last, mut quiet) = (None, 0);
    loop {
        let left = session.assigned(ids).await;
        if let Ok(left) = left
            && last != Some(left)
        {
            on_count(left);
            last = Some(left);
        }
        if Instant::now() >= deadline {
            // Where the pool has no process free to answer, nothing is known of them.
            return Some(last.unwrap_or(0));
        }
        if session.weighs(ids).await == Ok(true) {
            // A process that had read the old list, and was slow to take it over, has put it in force again.
            return None;
        }
        quiet = if left == Ok(0) { quiet + 1 } else { 0 };
        if quiet >= QUIET {
            return Some(0);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn pool(project: &Project) -> Session {
    Session::fresh(observe::endpoint(project, project.topology.pool_port)).patient()
}
