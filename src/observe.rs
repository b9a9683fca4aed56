//! Looking at the running cluster: everything in parallel, every answer bounded in time, no decision.

mod watch;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::join_all;

use crate::docker;
use crate::engine;
use crate::error::{Failure, Kind};
use crate::health::Watcher;
use crate::observed::{Answer, CacheFacts, Container, Containers, Fixed, Observed};
use crate::postgres::{DATABASE, Endpoint, Session};
use crate::process;
use crate::project::Project;
use crate::topology::Node;

pub use watch::Watch;

/// `docker ps` takes some 30 ms; an engine that needs longer than this hangs.
pub const DOCKER_LIMIT: Duration = Duration::from_secs(20);

/// `docker exec` takes some 100 ms.
const REPORT_LIMIT: Duration = Duration::from_secs(2);

/// Where a node answers on this machine.
pub fn endpoint(project: &Project, port: u16) -> Endpoint {
    let settings = &project.settings;
    Endpoint {
        tls: project.tls.clone(),
        host: settings.host(),
        port,
        login: settings.admin.clone(),
        database: DATABASE.to_owned(),
    }
}

/// The project's containers.
///
/// # Errors
/// Docker is missing, its engine does not answer, or answers something else.
pub async fn containers(folder: &Path, project: &str) -> Result<Containers> {
    if let Some((_, body)) = engine::get(&docker::api::container_list(project), &[200]).await
        && let Some(containers) = docker::api::parse_container_list(&body)
    {
        return Ok(containers);
    }
    let argv = docker::containers(project);
    let finished = process::capture(&argv, folder, DOCKER_LIMIT).await?;
    if !finished.success {
        return Err(Failure::new(Kind::Machine, docker::engine_away(&finished.stderr)).into());
    }
    docker::parse_containers(&finished.stdout)
        .with_context(|| format!("cannot read the output of {}", argv.pasteable()))
}

/// Clients connected to PgBouncer, and those of them that wait for a server connection.
///
/// # Errors
/// Its console does not answer.
pub async fn bouncer_clients(folder: &Path, container: &str) -> Result<(u32, u32)> {
    let output = process::run(
        &docker::bouncer_console(container, "SHOW POOLS"),
        folder,
        DOCKER_LIMIT,
    )
    .await?;
    docker::parse_bouncer_pools(&output).context("PgBouncer's SHOW POOLS makes no sense")
}

/// One look at everything whose container runs.
///
/// # Errors
/// As [`containers`]; servers that do not answer are part of the result.
pub async fn once(project: &Project) -> Result<Observed> {
    let containers = containers(&project.topology.folder, &project.topology.project).await?;
    Ok(servers(project, containers).await)
}

/// Asks the servers of the containers that run.
pub async fn servers(project: &Project, containers: Containers) -> Observed {
    ask(project, containers, false, |session| session).await.0
}

/// The same for what is decided by it: a server that is slow must not pass for one that does not serve.
pub async fn servers_patiently(project: &Project, containers: Containers) -> Observed {
    ask(project, containers, false, Session::patient).await.0
}

/// The servers, and what Pgpool-II says of its query cache, if that is wanted and it answers.
pub async fn servers_and_cache(
    project: &Project,
    containers: Containers,
    wants_cache: bool,
) -> (Observed, Option<CacheFacts>) {
    ask(project, containers, wants_cache, |session| session).await
}

async fn ask(
    project: &Project,
    containers: Containers,
    wants_cache: bool,
    manner: fn(Session) -> Session,
) -> (Observed, Option<CacheFacts>) {
    let topology = &project.topology;
    let answers = |service: &str, port: u16| {
        let container = containers.get(service);
        container.is_some_and(|container| container.answers(port))
    };
    let node = |node: &Node| {
        let (id, asked) = (node.id, answers(&node.service(), node.port));
        let mut session = manner(Session::new(endpoint(project, node.port)));
        async move {
            let answer = match asked {
                true => answer(session.facts().await),
                false => Answer::NotAsked,
            };
            (id, answer)
        }
    };
    let pool = async {
        match answers(topology.entry_service(), topology.pool_port) {
            true => {
                let mut session = manner(Session::new(endpoint(project, topology.pool_port)));
                let backends = answer(session.backends().await);
                let cache = match wants_cache && backends.got().is_some() {
                    true => session.cache_facts().await.ok(),
                    false => None,
                };
                (backends, cache)
            }
            false => (Answer::NotAsked, None),
        }
    };
    // The pool takes longest.
    let (pool, nodes) = futures_util::future::join(pool, join_all(topology.nodes.iter().map(node))).await;
    let observed = Observed {
        containers,
        nodes: nodes.into_iter().collect(),
        pool: pool.0,
    };
    (observed, pool.1)
}

/// What these nodes say of the settings that need a restart; one that does not answer is left out.
pub async fn fixed_settings(project: &Project, nodes: &[&Node]) -> BTreeMap<u32, Vec<Fixed>> {
    let ask = |node: &Node| {
        let (id, mut session) = (node.id, Session::new(endpoint(project, node.port)));
        async move { Some((id, session.fixed_settings().await.ok()?)) }
    };
    let answers = join_all(nodes.iter().map(|node| ask(node))).await;
    answers.into_iter().flatten().collect()
}

/// What the watcher in the pool's container thinks of the nodes; `None` where it gives no report in time.
///
/// The master tells, and only where it does not, a process in the container.
pub async fn watcher(project: &Project, observed: &Observed, pool: &Container) -> Option<Watcher> {
    let query = observed
        .facts(project.topology.master().id)
        .and_then(|facts| facts.watcher.as_ref());
    let told = query.and_then(|query| Watcher::of_query(query, &project.settings.pool.user));
    if told.is_some() {
        return told;
    }
    let argv = docker::watcher_report(&pool.id);
    let report = process::capture(&argv, &project.topology.folder, REPORT_LIMIT).await;
    let report = report.ok().filter(|report| report.success)?;
    Watcher::parse(&report.stdout)
}

fn answer<T>(result: Result<T, crate::observed::Silence>) -> Answer<T> {
    match result {
        Ok(facts) => Answer::Got(facts),
        Err(silence) => Answer::Silent(silence),
    }
}
