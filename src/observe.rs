//! Looking at the running cluster: everything in parallel, every answer bounded in time, no decision.

mod watch;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::{join, join_all};

use crate::docker;
use crate::engine;
use crate::error::{Failure, Kind};
use crate::health::Watcher;
use crate::observed::{self, Answer, Backend, CacheFacts, Container, Containers, Fixed, NodeFacts, Observed};
use crate::postgres::{self, DATABASE, Endpoint, Session};
use crate::process;
use crate::project::Project;
use crate::topology::{Node, POOL_SERVICE};

pub use watch::Watch;

/// `docker ps` takes some 30 ms; an engine that needs longer than this hangs.
pub const DOCKER_LIMIT: Duration = Duration::from_secs(20);

/// `docker exec` takes some 100 ms.
const REPORT_LIMIT: Duration = Duration::from_secs(2);

/// How long a session is to wait.
type Manner = fn(Session) -> Session;

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
    let answer = engine::get(&docker::api::container_list(Some(project)), &[200]).await;
    read_containers(answer, folder, project).await
}

/// What the engine says of all containers, for who still has to read which project it is: that takes as long.
pub struct Ahead(Option<engine::Answer>);

impl Ahead {
    pub async fn ask() -> Self {
        Ahead(engine::get(&docker::api::container_list(None), &[200]).await)
    }

    /// # Errors
    /// As [`containers`].
    pub async fn containers(self, folder: &Path, project: &str) -> Result<Containers> {
        read_containers(self.0, folder, project).await
    }
}

/// From the engine's answer; where there is none that makes sense, `docker` is asked.
async fn read_containers(answer: Option<engine::Answer>, folder: &Path, project: &str) -> Result<Containers> {
    if let Some((_, body)) = answer
        && let Some(containers) = docker::api::parse_container_list(&body, project)
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

/// The servers, and of the pool what its watcher told the master a moment ago, where that is that all is well, its
/// container says nothing else, and a process of it is there for a client. Else it is asked itself.
///
/// A login to the pool is one to every node, one after the other: longer than everything else.
pub async fn servers_at_a_glance(project: &Project, containers: Containers) -> Observed {
    let (topology, keen) = (&project.topology, |session| session);
    let endpoint = endpoint(project, topology.pool_port);
    let is_open = async {
        let pool = containers.get(POOL_SERVICE);
        // Behind PgBouncer it would be that one which answers.
        pool.is_some_and(|pool| pool.answers(topology.pool_port) && !pool.is_unhealthy())
            && postgres::is_open(&endpoint).await
    };
    let (is_open, nodes) = join(is_open, nodes(project, &containers, keen)).await;
    let mut observed = Observed {
        containers,
        nodes,
        pool: Answer::NotAsked,
    };
    let told = told_by_watcher(project, &observed).filter(|_| is_open);
    observed.pool = match told.and_then(|watcher| watcher.backends(topology)) {
        Some(backends) => Answer::Got(backends),
        None => pool(project, &observed.containers, false, keen).await.0,
    };
    observed
}

async fn ask(
    project: &Project,
    containers: Containers,
    wants_cache: bool,
    manner: Manner,
) -> (Observed, Option<CacheFacts>) {
    let pool = pool(project, &containers, wants_cache, manner);
    // The pool takes longest.
    let ((pool, cache), nodes) = join(pool, nodes(project, &containers, manner)).await;
    let observed = Observed {
        containers,
        nodes,
        pool,
    };
    (observed, cache)
}

async fn nodes(
    project: &Project,
    containers: &Containers,
    manner: Manner,
) -> BTreeMap<u32, Answer<NodeFacts>> {
    let node = |node: &Node| {
        let (id, asked) = (node.id, observed::answers(containers, &node.service(), node.port));
        let mut session = manner(Session::new(endpoint(project, node.port)));
        async move {
            let answer = match asked {
                true => answer(session.facts().await),
                false => Answer::NotAsked,
            };
            (id, answer)
        }
    };
    let nodes = join_all(project.topology.nodes.iter().map(node)).await;
    nodes.into_iter().collect()
}

async fn pool(
    project: &Project,
    containers: &Containers,
    wants_cache: bool,
    manner: Manner,
) -> (Answer<BTreeMap<u32, Backend>>, Option<CacheFacts>) {
    let topology = &project.topology;
    if !observed::answers(containers, topology.entry_service(), topology.pool_port) {
        return (Answer::NotAsked, None);
    }
    let mut session = manner(Session::new(endpoint(project, topology.pool_port)));
    let backends = answer(session.backends().await);
    let cache = match wants_cache && backends.got().is_some() {
        true => session.cache_facts().await.ok(),
        false => None,
    };
    (backends, cache)
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
    let told = told_by_watcher(project, observed);
    if told.is_some() {
        return told;
    }
    let argv = docker::watcher_report(&pool.id);
    let report = process::capture(&argv, &project.topology.folder, REPORT_LIMIT).await;
    let report = report.ok().filter(|report| report.success)?;
    Watcher::parse(&report.stdout)
}

fn told_by_watcher(project: &Project, observed: &Observed) -> Option<Watcher> {
    let master = observed.facts(project.topology.master().id)?;
    Watcher::of_query(master.watcher.as_ref()?, &project.settings.pool.user)
}

fn answer<T>(result: Result<T, crate::observed::Silence>) -> Answer<T> {
    match result {
        Ok(facts) => Answer::Got(facts),
        Err(silence) => Answer::Silent(silence),
    }
}
