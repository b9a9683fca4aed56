//! Looking at the running cluster: everything in parallel, every answer bounded in time, no decision.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::docker;
use crate::engine;
use crate::error::{Failure, Kind};
use crate::health::Watcher;
use crate::observed::{Answer, CacheFacts, Container, Containers, Fixed, NodeFacts, Observed};
use crate::postgres::{DATABASE, Endpoint, Session};
use crate::process;
use crate::project::Project;
use crate::topology::{self, Node, POOL_SERVICE};

/// Between two questions to the same server while waiting. Shorter ones slow the servers down more than they gain.
const POLL: Duration = Duration::from_millis(100);

/// The same for a pool that nothing keeps from starting any more: nobody does anything else meanwhile.
const POLL_LAST: Duration = Duration::from_millis(25);

/// The same for a replica that streams: of what is waited for, little is its own to tell.
const POLL_CALM: Duration = Duration::from_millis(300);

/// Between two looks at the containers while waiting; where the engine has no socket, each costs a process.
const POLL_CONTAINERS: Duration = Duration::from_millis(500);

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

/// A view of the cluster that keeps itself current until it is dropped.
pub struct Watch {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    view: Mutex<View>,
    changed: Notify,
}

struct View {
    observed: Observed,
    /// Grows when everything seen so far is void.
    epoch: u64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    fn all_nodes_answer(&self, nodes: usize) -> bool {
        let view = self.lock();
        let answers = view.observed.nodes.values();
        answers.filter(|answer| answer.got().is_some()).count() == nodes
    }

    /// Records what was asked in `epoch`, unless it is void by now.
    fn record(&self, epoch: u64, change: impl FnOnce(&mut Observed)) {
        let mut view = self.lock();
        if view.epoch == epoch {
            change(&mut view.observed);
        }
        drop(view);
        self.changed.notify_one();
    }
}

impl Watch {
    /// Asks every node and the pool over and over, each at its own pace, so that a slow one holds up no other.
    pub fn start(project: &Project, first: Observed) -> Self {
        let shared = Arc::new(Shared {
            view: Mutex::new(View {
                observed: first,
                epoch: 0,
            }),
            changed: Notify::new(),
        });
        let mut tasks = JoinSet::new();
        for node in &project.topology.nodes {
            let id = node.id;
            let mut session = Session::new(endpoint(project, node.port)).patient();
            let shared = Arc::clone(&shared);
            tasks.spawn(async move {
                // What is known already was asked a moment ago.
                let mut pause = POLL;
                loop {
                    tokio::time::sleep(pause).await;
                    let epoch = shared.epoch();
                    let answer = answer(session.facts().await);
                    // How far it is the master tells.
                    let streams = |facts: &NodeFacts| facts.receiver.is_some();
                    pause = if answer.got().is_some_and(streams) {
                        POLL_CALM
                    } else {
                        POLL
                    };
                    shared.record(epoch, |observed| drop(observed.nodes.insert(id, answer)));
                }
            });
        }
        let mut session = Session::new(endpoint(project, project.topology.pool_port)).patient();
        let nodes = project.topology.nodes.len();
        let pool = Arc::clone(&shared);
        tasks.spawn(async move {
            let mut pause = POLL;
            loop {
                tokio::time::sleep(pause).await;
                let epoch = pool.epoch();
                let answer = answer(session.backends().await);
                let waits_for_none = answer.got().is_none() && pool.all_nodes_answer(nodes);
                pause = if waits_for_none { POLL_LAST } else { POLL };
                pool.record(epoch, |observed| observed.pool = answer);
            }
        });
        let topology = project.topology.clone();
        let engine = Arc::clone(&shared);
        tasks.spawn(async move {
            loop {
                tokio::time::sleep(POLL_CONTAINERS).await;
                let epoch = engine.epoch();
                // A call that fails leaves the last view in place; the servers tell for themselves.
                if let Ok(containers) = containers(&topology.folder, &topology.project).await {
                    engine.record(epoch, |observed| observed.containers = containers);
                }
            }
        });
        Watch {
            shared,
            _tasks: tasks,
        }
    }

    /// Begins anew with these containers: what was heard so far may come from servers that are gone.
    pub fn forget(&self, containers: Containers) {
        let mut view = self.shared.lock();
        view.epoch += 1;
        view.observed = Observed {
            containers,
            nodes: BTreeMap::new(),
            pool: Answer::NotAsked,
        };
    }

    /// The container of one service is another now: what was heard of it, and what is on its way, is void.
    pub fn forget_one(&self, service: &str, containers: Containers) {
        let mut view = self.shared.lock();
        view.epoch += 1;
        view.observed.containers = containers;
        match service {
            POOL_SERVICE => view.observed.pool = Answer::NotAsked,
            _ => view
                .observed
                .nodes
                .retain(|id, _| topology::service(*id) != service),
        }
    }

    /// Waits for news, [`POLL_CONTAINERS`] at most, and gives the current view.
    pub async fn next(&self) -> Observed {
        let _ = tokio::time::timeout(POLL_CONTAINERS, self.shared.changed.notified()).await;
        self.now()
    }

    /// The current view.
    pub fn now(&self) -> Observed {
        self.shared.lock().observed.clone()
    }
}
