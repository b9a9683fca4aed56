//! Connections that sessions of this process left, for the next session with the same login: a login costs each server
//! a process, and the pool one on every node.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::task::JoinHandle;

use super::{Client, Endpoint, Error};

/// For saying goodbye.
const LIMIT: Duration = Duration::from_millis(100);

static KEPT: Mutex<Vec<(Endpoint, Link)>> = Mutex::new(Vec::new());

/// A connection, and the task that carries it.
pub struct Link {
    pub client: Client,
    pub task: JoinHandle<Result<(), Error>>,
}

/// Keeps a connection on which nothing is under way and nothing was set or written.
pub fn keep(endpoint: Endpoint, link: Link) {
    lock().push((endpoint, link));
}

/// One that lives, as far as is known.
pub fn take(endpoint: &Endpoint) -> Option<Link> {
    let mut kept = lock();
    kept.retain(|(_, link)| !link.client.is_closed());
    let found = kept.iter().position(|(other, _)| is_same(other, endpoint))?;
    Some(kept.swap_remove(found).1)
}

/// Ends all of them in the way that servers expect, and log nothing about.
pub async fn hang_up() {
    let tasks: Vec<_> = lock().drain(..).map(|(_, link)| link.task).collect();
    let _ = tokio::time::timeout(LIMIT, futures_util::future::join_all(tasks)).await;
}

fn is_same(a: &Endpoint, b: &Endpoint) -> bool {
    (a.host, a.port, &a.database, &a.login.user) == (b.host, b.port, &b.database, &b.login.user)
        && a.login.password.expose_secret() == b.login.password.expose_secret()
}

fn lock() -> MutexGuard<'static, Vec<(Endpoint, Link)>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}
