//! Replicas that come and replicas that go: what is done for their data and their clients, before and beside starting
//! and stopping them.

use std::future::Future;
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::copying::{self, CloneBy, Copied};
use crate::drain;
use crate::error::{Failure, Kind, Problem};
use crate::execute;
use crate::observe;
use crate::observed::{Containers, Observed};
use crate::plan::{Planned, Step};
use crate::postgres::Session;
use crate::project::Project;
use crate::quorum;
use crate::settings::Settings;
use crate::topology;
use crate::ui::{Board, Mark};

/// How servers are brought up, by every command that does.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Manner {
    /// Seconds without any progress after which it gives up
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// Seconds that sessions which read from a removed replica have to end, and others to let go of it
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub drain_timeout: u64,
    /// How a replica without data gets it
    #[arg(long, value_enum, value_name = "HOW", default_value = "basebackup")]
    pub clone: CloneBy,
    /// Let others reach the ports although passwords are those of the documentation
    #[arg(long)]
    pub insecure: bool,
}

impl Manner {
    /// What does not go with these settings, before anything is done.
    ///
    /// # Errors
    /// [`copying::refuse`]'s; [`Kind::Input`] with the keys where whoever has read the documentation would get in, unless
    /// `--insecure` was given.
    pub fn refuse(&self, settings: &Settings) -> Result<(), Failure> {
        copying::refuse(settings, self.clone)?;
        let known = settings.default_passwords();
        if self.insecure || settings.bind.is_loopback() || known.is_empty() {
            return Ok(());
        }
        Err(Failure::new(
            Kind::Input,
            Problem::new(format!(
                "BIND_ADDRESS lets others reach the ports, and the documentation has the value of {}",
                known.join(", ")
            ))
            .fix(
                "before the first start set others in .env, in a running cluster `pgcluster rotate`; or set \
                 BIND_ADDRESS=127.0.0.1; or pass --insecure",
            ),
        ))
    }
}

/// The replicas that begin without data are given it, where that is wished; gives back those that run already.
///
/// # Errors
/// As [`copying::copy`].
pub async fn copy(
    project: &Project,
    observed: &Observed,
    steps: &[Planned],
    board: &mut Board,
    manner: &Manner,
) -> Result<Vec<String>> {
    if manner.clone == CloneBy::Basebackup {
        return Ok(Vec::new());
    }
    let nodes = copying::newcomers(project, steps)?;
    if nodes.is_empty() {
        return Ok(Vec::new());
    }
    for node in &nodes {
        board.show(&node.title(), Mark::Working, 0, "copying the master's files");
    }
    match copying::copy(project, observed, &nodes).await? {
        Copied::Started => return Ok(nodes.iter().map(|node| node.service()).collect()),
        Copied::Ready => {}
        Copied::Not(reason) => board.note(&format!(
            "not copied: {reason}; each replica streams a base backup"
        )),
    }
    Ok(Vec::new())
}

/// Takes these replicas, which stay in the wanted cluster, out of the pool, and lets `leave` stop them; gives back how
/// many sessions were ended.
///
/// Until then no list of nodes gives them a share: the watcher would put back one that is well.
///
/// # Errors
/// Those of `leave`; the pool does not do it.
pub async fn take_out(
    project: &Project,
    there: &Containers,
    ids: &[u32],
    board: &mut Board,
    limit: Duration,
    leave: impl Future<Output = Result<()>>,
) -> Result<usize> {
    if ids.is_empty() {
        leave.await?;
        return Ok(0);
    }
    let out = async {
        let cut = run_empty(project, there, ids, board, limit).await?;
        let held = detach(project, there, ids, board, limit).await?;
        leave.await?;
        anyhow::Ok(cut + held)
    };
    let cut = out.await;
    // Whatever came, what stands there afterwards is what `up` wants, and who comes back has its share.
    drain::restore(project)?;
    let reloaded = execute::correct(project, there, &Step::ReloadPool).await;
    let cut = cut?;
    reloaded?;
    Ok(cut)
}

/// Lets these replicas, which the wanted cluster has not, run empty, and takes them out of the pool.
///
/// # Errors
/// As [`take_out`].
pub async fn drain(
    project: &Project,
    there: &Containers,
    ids: &[u32],
    board: &mut Board,
    manner: &Manner,
) -> Result<usize> {
    if ids.is_empty() {
        return Ok(0);
    }
    let limit = Duration::from_secs(manner.drain_timeout);
    let cut = run_empty(project, there, ids, board, limit).await;
    drain::restore(project)?;
    let cut = cut?;
    // While it has their lines, the watcher attaches those again that still stream.
    execute::correct(project, there, &Step::ReloadPool).await?;
    Ok(cut + detach(project, there, ids, board, limit).await?)
}

/// Says how many sessions could not let go of them in time.
async fn detach(
    project: &Project,
    there: &Containers,
    ids: &[u32],
    board: &mut Board,
    limit: Duration,
) -> Result<usize> {
    board.show(
        "pool",
        Mark::Working,
        0,
        "the other sessions let go of what leaves",
    );
    let held = execute::detach(project, there, ids, limit).await?;
    if held > 0 {
        board.note(&format!(
            "{held} sessions may end: a long answer from another node, or work without a pause, did not let them go on \
             without what leaves"
        ));
    }
    Ok(held)
}

/// Says how many sessions did not end in time.
async fn run_empty(
    project: &Project,
    there: &Containers,
    ids: &[u32],
    board: &mut Board,
    limit: Duration,
) -> Result<usize> {
    let shown = |left: usize| {
        let text = format!("waiting for {left} sessions that read from what leaves");
        board.show("pool", Mark::Working, 0, &text);
    };
    let cut = drain::drain(project, there, ids, limit, shown).await?;
    if cut > 0 {
        board.note(&format!(
            "{cut} sessions end: they still read from a replica that leaves after {} s (--drain-timeout)",
            limit.as_secs()
        ));
    }
    Ok(cut)
}

/// Where the user has commits wait for replicas, so many must stay.
pub async fn refuse_below_quorum(project: &Project, there: &Containers) -> Result<()> {
    let topology = &project.topology;
    let ids = there
        .keys()
        .filter_map(|service| topology::replica_of_service(service));
    if ids.clone().all(|id| topology.has(id)) {
        return Ok(());
    }
    let mut session = Session::new(observe::endpoint(project, topology.master().port)).patient();
    let names = session.own_synchronous_names().await;
    let names = names.map_err(|silence| anyhow!("the master does not answer: {}", silence.reason))?;
    let left = topology.replicas().iter().map(|node| node.id).collect();
    Ok(quorum::refuse_below(&names, &left)?)
}
