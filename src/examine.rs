//! Asks what only `doctor` wants to know: as [`crate::observe`], in parallel and bounded, with no decision.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;

use crate::docker;
use crate::doctor::NodeFacts;
use crate::observe::{DOCKER_LIMIT, endpoint};
use crate::observed::{self, Containers, Silence};
use crate::postgres::Session;
use crate::process;
use crate::project::Project;
use crate::settings::DataPlace;
use crate::topology::{MASTER_SERVICE, Node};
use crate::workdir;

/// A server under load may miss the first time.
const ATTEMPTS: usize = 4;

/// What each server whose container runs says, or why it says nothing.
pub async fn nodes(project: &Project, containers: &Containers) -> Vec<(String, Result<NodeFacts, Silence>)> {
    let running = |node: &&Node| observed::answers(containers, &node.service(), node.port);
    let ask = |node: &Node| {
        let title = node.title();
        let mut endpoint = endpoint(project, node.port);
        // Collations are seen in their own database only.
        project.settings.database.clone_into(&mut endpoint.database);
        let mut session = Session::new(endpoint);
        async move {
            let mut answer = timed(&mut session).await;
            for _ in 1..ATTEMPTS {
                if answer.as_ref().is_err_and(|silence| !silence.refused) {
                    answer = timed(&mut session).await;
                }
            }
            (title, answer)
        }
    };
    join_all(project.topology.nodes.iter().filter(running).map(ask)).await
}

async fn timed(session: &mut Session) -> Result<NodeFacts, Silence> {
    // The login takes longer than the question.
    session.log_in().await?;
    let before = now();
    let mut facts = session.trouble().await?;
    let after = now();
    facts.skew = if facts.clock > after {
        facts.clock - after
    } else {
        (facts.clock - before).min(0.0)
    };
    Ok(facts)
}

/// Seconds since 1970.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.as_ref().map_or(0.0, Duration::as_secs_f64)
}

/// Bytes in the databases of the master, where it answers in time.
pub async fn data_size(project: &Project) -> Option<u64> {
    let master = project.topology.master();
    Session::new(endpoint(project, master.port))
        .data_size()
        .await
        .ok()
}

/// Bytes that are free where the data lies.
pub async fn free_space(project: &Project, containers: &Containers) -> Option<u64> {
    let folder = &project.topology.folder;
    if project.settings.data == DataPlace::Directory {
        return workdir::free_space(folder).ok();
    }
    // A volume is in the engine's machine, which may be another.
    let master = containers.get(MASTER_SERVICE)?;
    let words = ["df", "--block-size=1", "--output=avail", &project.settings.pgdata].map(Into::into);
    let argv = docker::exec(&master.id, false, &[], &words);
    let output = process::run(&argv, folder, DOCKER_LIMIT).await.ok()?;
    output.lines().last()?.trim().parse().ok()
}

/// Bytes of memory that the engine has.
pub async fn memory(project: &Project) -> Option<u64> {
    let output = process::run(&docker::memory(), &project.topology.folder, DOCKER_LIMIT).await;
    output.ok()?.trim().parse().ok()
}
