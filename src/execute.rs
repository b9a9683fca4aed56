//! Carries out steps. It takes no decision: what is to be done, and in which order, comes from [`crate::reconcile`].

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::docker;
use crate::error::{Failure, Kind, Problem};
use crate::handover;
use crate::observe;
use crate::observed::{Containers, container_id};
use crate::plan::{Planned, Step};
use crate::postgres::Session;
use crate::process::{self, Argv};
use crate::project::Project;
use crate::rebuild;
use crate::release;
use crate::topology::{self, BOUNCER_SERVICE, MASTER_SERVICE, POOL_SERVICE};
use crate::workdir;

/// Stopping a server may take its whole grace period of 60 s.
const STOP_LIMIT: Duration = Duration::from_secs(90);

/// The same, and making the new container.
const REPLACE_LIMIT: Duration = Duration::from_secs(120);

/// A PCP command answers in some 20 ms, after `docker exec` has taken 80 ms.
const PCP_LIMIT: Duration = Duration::from_secs(10);
/// Transactions of clients mostly take less.
const RENEW_LIMIT: Duration = Duration::from_secs(5);
/// A server ends a login that hangs after its `authentication_timeout`, 60 s.
const LOGINS_LIMIT: Duration = Duration::from_secs(70);
/// A pool all of whose processes have clients lets nobody in to ask it.
const ANSWER_LIMIT: Duration = Duration::from_secs(6);
const PCP_POLL: Duration = Duration::from_millis(200);

/// Builds the missing images, handing every line of the build's output to `on_line`.
///
/// # Errors
/// The build failed: the command and its last output, or the name in EXTRA_PACKAGES that Debian does not know.
pub async fn build(project: &Project, steps: &[Planned], mut on_line: impl FnMut(&str)) -> Result<()> {
    let images = &project.rendering.images;
    let mut services = Vec::new();
    for planned in steps {
        if let Step::Build { images: wanted } = &planned.step {
            let both = [(&images.node, MASTER_SERVICE), (&images.pool, POOL_SERVICE)];
            services.extend(
                both.iter()
                    .filter(|(image, _)| wanted.contains(image))
                    .map(|(_, service)| *service),
            );
        }
    }
    if services.is_empty() {
        return Ok(());
    }
    let topology = &project.topology;
    let mut unknown = None;
    let argv = workdir::compose(&topology.folder, &topology.project).build(&services);
    let built = process::stream(&argv, &topology.folder, |line| {
        on_line(line);
        unknown = unknown.take().or_else(|| docker::unknown_package(line));
    })
    .await;
    let extra: Vec<&str> = project.settings.extra_packages.split_whitespace().collect();
    match unknown.filter(|name| built.is_err() && extra.contains(&name.as_str())) {
        None => built,
        Some(name) => Err(Failure::new(
            Kind::Input,
            Problem::new(format!("EXTRA_PACKAGES: Debian has no package `{name}`")).fix(
                "correct the name: https://packages.debian.org/search?keywords=postgresql-17 has them all",
            ),
        )
        .into()),
    }
}

/// Brings the containers to what is wanted, with one call of Compose, except for those that wait for their turn; tells
/// whether anything was to be done. Those that are removed have left the pool before: [`crate::turnover::drain`], and
/// those `started` run since [`crate::turnover::copy`].
///
/// # Errors
/// A command that failed, with its last output.
pub async fn containers(
    project: &Project,
    there: &Containers,
    steps: &[Planned],
    started: &[String],
) -> Result<bool> {
    let topology = &project.topology;
    let (mut starts, mut removes) = (Vec::new(), false);
    for planned in steps {
        match &planned.step {
            Step::SetSynchronous { .. } => correct(project, there, &planned.step).await?,
            Step::Unpause { service } => on_container(project, there, "unpause", service).await?,
            Step::Revive { service } => on_container(project, there, "restart", service).await?,
            Step::Start { service } if started.contains(service) => {}
            Step::Start { service } => starts.push(service.as_str()),
            Step::Remove { .. } => removes = true,
            _ => {}
        }
    }
    // Of itself Compose would recreate these too.
    let waits = there
        .iter()
        .filter(|(service, _)| !starts.contains(&service.as_str()))
        .any(|(service, container)| {
            let wanted = project.rendering.specs.get(service);
            wanted.is_some_and(|wanted| *wanted != container.spec)
        });
    if !starts.is_empty() || removes {
        let compose = workdir::compose(&topology.folder, &topology.project);
        let argv = match (waits, starts.is_empty()) {
            (false, _) => compose.up(),
            (true, false) => compose.up_only(&starts),
            (true, true) => compose.up_without_changes(),
        };
        process::stream(&argv, &topology.folder, |_| {}).await?;
    }
    Ok(!steps.is_empty())
}

/// Starts the containers of these services, made anew where they are not as wanted, and touches no other.
///
/// # Errors
/// Those of Compose.
pub async fn start(project: &Project, services: &[&str]) -> Result<()> {
    let topology = &project.topology;
    let argv = workdir::compose(&topology.folder, &topology.project).start(services);
    finish(project, &argv, REPLACE_LIMIT).await
}

/// One correction in a running server.
///
/// # Errors
/// The server or Pgpool did not do it; it may do it when asked again.
pub async fn correct(project: &Project, there: &Containers, step: &Step) -> Result<()> {
    let node = |id: u32| {
        let node = project.topology.nodes.iter().find(|node| node.id == id);
        node.with_context(|| format!("there is no {}", topology::title(id)))
    };
    let session = |id: u32| -> Result<Session> {
        Ok(Session::new(observe::endpoint(project, node(id)?.port)).patient())
    };
    match step {
        Step::CreateSlot { id } => session(0)?.create_slot(&topology::name(*id)).await,
        Step::DropSlot { name } => session(0)?.drop_slot(name).await,
        Step::SetSynchronous { names } => session(0)?.set_synchronous(names).await,
        Step::Reload { id } => {
            handover::certificate(project, there, node(*id)?).await?;
            session(*id)?.reload().await
        }
        Step::Replace { service } | Step::Start { service } => start(project, &[service]).await,
        Step::Restart { id } => on_container(project, there, "restart", &topology::service(*id)).await,
        Step::ReloadPool => pcp(project, there, "pcp_reload_config", &[]).await,
        Step::Attach { id } => pool_node(project, there, "attach", *id).await,
        // Whoever takes it out means to stop it, or does not know when it stops.
        Step::Detach { id } => detach(project, there, &[*id], Duration::ZERO).await.map(drop),
        Step::Rebuild { id } => {
            rebuild::set_aside(project, there, *id).await?;
            on_container(project, there, "start", &topology::service(*id)).await
        }
        Step::Reconnect => renew(project, there, RENEW_LIMIT).await,
        // Takes as long as the clients want: [`crate::drain`].
        Step::Drain { .. }
        | Step::Write { .. }
        | Step::Build { .. }
        | Step::CreateExtension { .. }
        | Step::Unpause { .. }
        | Step::Revive { .. }
        | Step::Remove { .. } => Ok(()),
    }
}

/// A command of Pgpool's control protocol.
///
/// # Errors
/// It was not done within [`PCP_LIMIT`].
pub async fn pcp(project: &Project, there: &Containers, command: &str, options: &[&str]) -> Result<()> {
    let pool = container_id(there, POOL_SERVICE)?;
    control(project, &docker::pcp(pool, command, options)).await
}

async fn pool_node(project: &Project, there: &Containers, verb: &str, id: u32) -> Result<()> {
    let pool = container_id(there, POOL_SERVICE)?;
    control(project, &docker::pool_node(pool, verb, id)).await
}

/// Pgpool's control process may be away for about a second after each change: asked again until it answers.
async fn control(project: &Project, argv: &Argv) -> Result<()> {
    let deadline = Instant::now() + PCP_LIMIT;
    loop {
        match finish(project, argv, PCP_LIMIT).await {
            Err(_) if Instant::now() < deadline => tokio::time::sleep(PCP_POLL).await,
            result => return result,
        }
    }
}

/// Lets PgBouncer close the connections that it has, each when no client is using it; waits for that, no longer than
/// `limit`. A client that does not let its connection go in time is no error.
///
/// # Errors
/// PgBouncer does not answer.
pub async fn renew(project: &Project, there: &Containers, limit: Duration) -> Result<()> {
    let bouncer = container_id(there, BOUNCER_SERVICE)?;
    let argv = docker::bouncer_renew(bouncer, limit.as_secs().max(1));
    finish(project, &argv, limit + PCP_LIMIT).await
}

/// Takes nodes out of the pool, so that what is done to them now ends nobody's login, and no session that reads elsewhere
/// and lets go of them within `patience`; gives back how many of these did not.
///
/// # Errors
/// The pool does not do it.
pub async fn detach(project: &Project, there: &Containers, ids: &[u32], patience: Duration) -> Result<usize> {
    let deadline = Instant::now() + LOGINS_LIMIT;
    let entry = observe::endpoint(project, project.topology.pool_port);
    let mut pool = Session::fresh(entry).patient();
    let mut left = ids.to_vec();
    while !left.is_empty() && Instant::now() < deadline {
        for id in &left {
            pool_node(project, there, "detach", *id).await?;
        }
        logins_over(project, there, &left).await?;
        // A login that had begun before marks a node as up again when it reaches it.
        let up = still_up(&mut pool).await;
        left.retain(|id| up.contains(id));
    }
    Ok(release::release(project, there, ids, patience).await)
}

/// A pool that does not answer is asked again, as that is not a word about its nodes; one that never does holds up nobody.
async fn still_up(pool: &mut Session) -> Vec<u32> {
    let deadline = Instant::now() + ANSWER_LIMIT;
    loop {
        match pool.backends().await {
            Ok(backends) => {
                let up = backends.values().filter(|backend| backend.is_up());
                return up.map(|backend| backend.id).collect();
            }
            Err(_) if Instant::now() < deadline => tokio::time::sleep(PCP_POLL).await,
            Err(_) => return Vec::new(),
        }
    }
}

/// Waits until those `detached` are out of the pool and every login that is going on then is over; see [`docker::logins_over`].
///
/// # Errors
/// The pool's container does not do it.
pub async fn logins_over(project: &Project, there: &Containers, detached: &[u32]) -> Result<()> {
    let pool = container_id(there, POOL_SERVICE)?;
    let argv = docker::logins_over(pool, LOGINS_LIMIT.as_secs(), detached);
    finish(project, &argv, LOGINS_LIMIT + PCP_LIMIT).await
}

/// A word such as `stop` or `restart` for the container of a service.
///
/// # Errors
/// It has none, or the engine did not do it.
pub async fn on_container(project: &Project, there: &Containers, verb: &str, service: &str) -> Result<()> {
    let container = container_id(there, service)?;
    finish(project, &docker::container(verb, container), STOP_LIMIT).await
}

async fn finish(project: &Project, argv: &Argv, limit: Duration) -> Result<()> {
    process::run(argv, &project.topology.folder, limit)
        .await
        .map(drop)
}
