//! Waiting with open eyes: every node asked again and again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::{answer, containers, endpoint};
use crate::observed::{Answer, Containers, NodeFacts, Observed};
use crate::postgres::{NOT_YET, Session};
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

    /// For this long, or until the master says that a replica of this name streams, or what was heard in `epoch` is void.
    async fn rest(&self, pause: Duration, epoch: u64, name: Option<&str>) {
        let end = Instant::now() + pause;
        let joined = |name: &str| {
            let view = self.lock();
            view.observed
                .facts(0)
                .is_some_and(|master| master.sender(name).is_some())
        };
        while Instant::now() < end {
            tokio::time::sleep(POLL.min(end - Instant::now())).await;
            if self.epoch() != epoch || name.is_some_and(joined) {
                return;
            }
        }
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
    /// Asks every node and the pool over and over, each at its own pace, so that a slow one holds up no other. Many
    /// nodes are asked as often in all as a few: while they start, each question takes from what starts them.
    ///
    /// Only the services that are `ours` are asked: on the port of one that is stopped may be another program, which must
    /// not get a password.
    pub fn start(project: &Project, first: Observed, ours: impl Fn(&str, u16) -> bool) -> Self {
        let shared = Arc::new(Shared {
            view: Mutex::new(View {
                observed: first,
                epoch: 0,
            }),
            changed: Notify::new(),
        });
        let mut tasks = JoinSet::new();
        let nodes = project.topology.nodes.len();
        let slower = u32::try_from(nodes / 4).unwrap_or(u32::MAX).max(1);
        let asked = |node: &&Node| ours(&node.service(), node.port);
        for node in project.topology.nodes.iter().filter(asked) {
            let (id, name) = (node.id, node.name());
            let mut session = Session::new(endpoint(project, node.port)).patient();
            let shared = Arc::clone(&shared);
            tasks.spawn(async move {
                // What is known already was asked a moment ago.
                let (mut pause, mut calm, mut epoch) = (POLL, false, shared.epoch());
                loop {
                    shared.rest(pause, epoch, Some(&*name).filter(|_| !calm)).await;
                    epoch = shared.epoch();
                    let answer = answer(session.facts().await);
                    // How far it is the master tells.
                    let streams = |facts: &NodeFacts| facts.receiver.is_some();
                    calm = answer.got().is_some_and(streams);
                    pause = match (id, calm) {
                        (0, _) => POLL,
                        (_, false) => POLL * slower,
                        (_, true) => POLL_CALM * slower,
                    };
                    shared.record(epoch, |observed| drop(observed.nodes.insert(id, answer)));
                }
            });
        }
        let port = project.topology.pool_port;
        if ours(project.topology.entry_service(), port) {
            let mut session = Session::new(endpoint(project, port)).patient();
            let pool = Arc::clone(&shared);
            tasks.spawn(async move {
                let mut pause = POLL;
                loop {
                    tokio::time::sleep(pause).await;
                    let epoch = pool.epoch();
                    let answer = answer(session.backends().await);
                    let starts = matches!(&answer, Answer::Silent(silence) if silence.reason == NOT_YET);
                    let is_last = starts && pool.all_nodes_answer(nodes);
                    pause = if is_last { POLL_LAST } else { POLL };
                    pool.record(epoch, |observed| observed.pool = answer);
                }
            });
        }
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
