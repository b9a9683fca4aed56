//! Ending the pool's connections to a node that is about to stop, without a client noticing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::docker;
use crate::observe;
use crate::observed::Containers;
use crate::postgres::Session;
use crate::process;
use crate::project::Project;
use crate::topology::{self, POOL_SERVICE};

/// Inside every node's container.
const SERVER_PORT: u16 = 5432;

const RELEASE: &str = include_str!("release/release.pl");

/// A session must come to a moment when nothing is under way once in that time; then it takes some 10 ms.
const LIMIT: Duration = Duration::from_secs(10);

/// Who is not at work for long can let go of a node in this time, also when another took all of the patience.
const LEAST_LIMIT: Duration = Duration::from_secs(2);

/// For `docker exec` itself.
const EXEC_LIMIT: Duration = Duration::from_secs(10);

/// Has every session of Pgpool-II that serves a client, and has a connection to these nodes beside others, go on
/// without; gives back how many could not within `patience`, which is at least [`LIMIT`].
///
/// New ones must not get one any more: the nodes are out of the pool. One that is at work all the time is left to the
/// pool's watcher, which ends it where it hangs afterwards; and so are all where a node, the pool or its container
/// does not do its part.
pub async fn release(project: &Project, there: &Containers, ids: &[u32], patience: Duration) -> usize {
    let deadline = Instant::now() + patience.max(LIMIT);
    let mut pool = Session::fresh(observe::endpoint(project, project.topology.pool_port)).patient();
    let mut left: BTreeSet<u32> = BTreeSet::new();
    // Not at once: what one goes on, the other may have stopped.
    for id in ids {
        let holders: BTreeMap<u32, u32> = pool
            .holders(*id)
            .await
            .map(BTreeMap::from_iter)
            .unwrap_or_default();
        let limit = deadline
            .saturating_duration_since(Instant::now())
            .max(LEAST_LIMIT);
        let held = each_holder(project, there, *id, &holders, limit).await;
        left.extend(held.unwrap_or_else(|_| holders.into_keys().collect()));
    }
    left.len()
}

/// Those that did not let go, of `holders`: processes of Pgpool-II with the server's process of each.
async fn each_holder(
    project: &Project,
    there: &Containers,
    id: u32,
    holders: &BTreeMap<u32, u32>,
    limit: Duration,
) -> Result<Vec<u32>> {
    let service = topology::service(id);
    // It may be one that the wanted cluster has no more.
    let port = there.get(&service).and_then(|node| node.outer_port(SERVER_PORT));
    let server = port.map(|port| Session::fresh(observe::endpoint(project, port)));
    let Some(mut server) = server.filter(|_| !holders.is_empty()) else {
        return Ok(Vec::new());
    };
    if server.log_in().await.is_err() {
        // Nothing is known of what it would say.
        return Ok(Vec::new());
    }
    let container = there.get(POOL_SERVICE).context("the pool has no container")?;
    let processes = holders.keys().map(u32::to_string);
    let words = [limit.as_secs().to_string(), service];
    let words: Vec<String> = words.into_iter().chain(processes).collect();
    let argv = docker::perl(&container.id, RELEASE, &words);
    // The others have no client any more, or ended it themselves.
    let mut left = Vec::new();
    let end = async |line: &str| {
        let ended = match line.split(' ').collect::<Vec<_>>()[..] {
            ["left", process] => {
                left.push(process.parse()?);
                false
            }
            [process, since, until] => match holders.get(&process.parse()?) {
                Some(backend) => server.terminate(*backend, since.parse()?, until.parse()?).await == Ok(true),
                None => false,
            },
            _ => bail!("`{line}` is no process and two times"),
        };
        Ok(if ended { "ended\n" } else { "\n" }.to_owned())
    };
    process::converse(&argv, &project.topology.folder, end, limit + EXEC_LIMIT).await?;
    Ok(left)
}
