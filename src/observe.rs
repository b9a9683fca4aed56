//! Looking at the running cluster: everything in parallel, every answer bounded in time, no decision.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::docker;
use crate::error::{Failure, Kind};
use crate::observed::{Answer, Containers, Observed};
use crate::postgres::{DATABASE, Endpoint, Session};
use crate::process;
use crate::project::Project;
use crate::settings::Settings;
use crate::topology::{Node, POOL_SERVICE};

/// Between two questions to the same server while waiting. Shorter ones slow the servers down more than they gain.
const POLL: Duration = Duration::from_millis(100);

/// Between two calls of `docker ps` while waiting; each costs a process.
const POLL_CONTAINERS: Duration = Duration::from_millis(500);

/// `docker ps` takes some 30 ms; an engine that needs longer than this hangs.
pub const DOCKER_LIMIT: Duration = Duration::from_secs(20);

/// Where a node answers on this machine.
pub fn endpoint(settings: &Settings, port: u16) -> Endpoint {
    Endpoint {
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
    let argv = docker::containers(project);
    let finished = process::capture(&argv, folder, DOCKER_LIMIT).await?;
    if !finished.success {
        return Err(Failure::new(Kind::Machine, docker::engine_away(&finished.stderr)).into());
    }
    docker::parse_containers(&finished.stdout)
        .with_context(|| format!("cannot read the output of {}", argv.pasteable()))
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
    let (settings, topology) = (&project.settings, &project.topology);
    let runs = |service: &str| {
        containers
            .get(service)
            .is_some_and(|container| container.is_running())
    };
    let node = |node: &Node| {
        let (id, asked) = (node.id, runs(&node.service()));
        let mut session = Session::new(endpoint(settings, node.port));
        async move {
            let answer = match asked {
                true => answer(session.facts().await),
                false => Answer::NotAsked,
            };
            (id, answer)
        }
    };
    let pool = async {
        match runs(POOL_SERVICE) {
            true => answer(
                Session::new(endpoint(settings, topology.pool_port))
                    .backends()
                    .await,
            ),
            false => Answer::NotAsked,
        }
    };
    let (nodes, pool) = futures_util::future::join(join_all(topology.nodes.iter().map(node)), pool).await;
    Observed {
        containers,
        nodes: nodes.into_iter().collect(),
        pool,
    }
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
    observed: Mutex<Observed>,
    changed: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Observed> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut Observed)) {
        change(&mut self.lock());
        self.changed.notify_one();
    }
}

impl Watch {
    /// Asks every node and the pool over and over, each at its own pace, so that a slow one holds up no other.
    pub fn start(project: &Project, first: Observed) -> Self {
        let shared = Arc::new(Shared {
            observed: Mutex::new(first),
            changed: Notify::new(),
        });
        let mut tasks = JoinSet::new();
        for node in &project.topology.nodes {
            let id = node.id;
            let mut session = Session::new(endpoint(&project.settings, node.port));
            let shared = Arc::clone(&shared);
            tasks.spawn(async move {
                loop {
                    let answer = answer(session.facts().await);
                    shared.update(|observed| drop(observed.nodes.insert(id, answer)));
                    tokio::time::sleep(POLL).await;
                }
            });
        }
        let mut session = Session::new(endpoint(&project.settings, project.topology.pool_port));
        let pool = Arc::clone(&shared);
        tasks.spawn(async move {
            loop {
                let answer = answer(session.backends().await);
                pool.update(|observed| observed.pool = answer);
                tokio::time::sleep(POLL).await;
            }
        });
        let topology = project.topology.clone();
        let engine = Arc::clone(&shared);
        tasks.spawn(async move {
            loop {
                // A call that fails leaves the last view in place; the servers tell for themselves.
                if let Ok(containers) = containers(&topology.folder, &topology.project).await {
                    engine.update(|observed| observed.containers = containers);
                }
                tokio::time::sleep(POLL_CONTAINERS).await;
            }
        });
        Watch {
            shared,
            _tasks: tasks,
        }
    }

    /// Puts a fresh list of containers in place of the last one.
    pub fn replace_containers(&self, containers: Containers) {
        self.shared.update(|observed| observed.containers = containers);
    }

    /// Waits for news, [`POLL_CONTAINERS`] at most, and gives the current view.
    pub async fn next(&self) -> Observed {
        let _ = tokio::time::timeout(POLL_CONTAINERS, self.shared.changed.notified()).await;
        self.shared.lock().clone()
    }
}
