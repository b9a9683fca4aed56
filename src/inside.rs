//! Reaching a server inside its container: Pgpool-II itself, in every connection mode.

use std::time::Duration;

use anyhow::Result;

use crate::docker;
use crate::error::{Failure, Kind, Problem};
use crate::observe;
use crate::postgres::InnerSession;
use crate::process;
use crate::project::Project;
use crate::settings::Login;

/// A session with the server of `service` as `login`, in which no statement takes longer than `patience`.
///
/// # Errors
/// [`Kind::NotReady`] if its container does not run, or the login does not succeed.
pub async fn session(
    project: &Project,
    service: &str,
    login: &Login,
    database: &str,
    patience: Duration,
) -> Result<InnerSession> {
    let topology = &project.topology;
    let containers = observe::containers(&topology.folder, &topology.project).await?;
    let not_ready = |problem: Problem| Failure::new(Kind::NotReady, problem);
    let container = containers
        .get(service)
        .filter(|container| container.is_running())
        .ok_or_else(|| {
            not_ready(Problem::new(format!("{service} does not run")).fix("`pgcluster up` starts it"))
        })?;
    let tunnel = process::tunnel(&docker::tunnel(&container.id), &topology.folder)?;
    let session = InnerSession::open(tunnel, login, database, patience).await;
    session.map_err(|refusal| {
        let what = format!("{service} does not let {} in: {}", login.user, refusal.message);
        not_ready(Problem::new(what).fix("see `pgcluster status`")).into()
    })
}
