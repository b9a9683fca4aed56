//! Ending the pool's connections to a node that is about to stop, without a client noticing.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use futures_util::future::join_all;

use crate::docker;
use crate::observe;
use crate::observed::{Containers, Silence, container_id};
use crate::postgres::{Holders, Session};
use crate::process;
use crate::project::Project;
use crate::topology::{self, POOL_SERVICE};

/// Inside every node's container.
const SERVER_PORT: u16 = 5432;

const RELEASE: &str = include_str!("release/release.pl");

/// A session must come to a moment when nothing is under way once in that time; then it takes some 10 ms.
const LIMIT: Duration = Duration::from_secs(10);

/// For `docker exec` itself.
const EXEC_LIMIT: Duration = Duration::from_secs(10);

/// Has every session of Pgpool-II that serves a client, and has a connection to these nodes beside others, go on
/// without; gives back how many could not within `patience`, which is at least [`LIMIT`].
///
/// New ones must not get one any more: the nodes are out of the pool. One that is at work all the time is left to the
/// pool's watcher, which ends it where it hangs afterwards; and so are all where a node, the pool or its container
/// does not do its part.
pub async fn release(project: &Project, there: &Containers, ids: &[u32], patience: Duration) -> usize {
    let mut pool = Session::fresh(observe::endpoint(project, project.topology.pool_port)).patient();
    let mut servers = servers(project, there, ids).await;
    let ids: Vec<u32> = servers.keys().copied().collect();
    let holders = pool.holders(&ids).await.unwrap_or_default();
    let left = each_holder(project, there, &mut servers, &holders, patience.max(LIMIT)).await;
    left.map_or(holders.len(), |left| left.len())
}

/// A session with each of these nodes; one that does not answer is left out, as nothing is known of what it would say.
async fn servers(project: &Project, there: &Containers, ids: &[u32]) -> BTreeMap<u32, Session> {
    let answers = async |id: &u32| {
        // It may be one that the wanted cluster has no more.
        let port = there.get(&topology::service(*id))?.outer_port(SERVER_PORT)?;
        let mut server = Session::fresh(observe::endpoint(project, port));
        server.log_in().await.ok().map(|()| (*id, server))
    };
    join_all(ids.iter().map(answers))
        .await
        .into_iter()
        .flatten()
        .collect()
}

/// Those that did not let go, of `holders`.
async fn each_holder(
    project: &Project,
    there: &Containers,
    servers: &mut BTreeMap<u32, Session>,
    holders: &Holders,
    limit: Duration,
) -> Result<Vec<u32>> {
    if holders.is_empty() {
        return Ok(Vec::new());
    }
    let container = container_id(there, POOL_SERVICE)?;
    let hosts: Vec<String> = servers.keys().map(|id| topology::service(*id)).collect();
    let words = [limit.as_secs().to_string(), hosts.join(",")];
    let processes = holders.keys().map(u32::to_string);
    let words: Vec<String> = words.into_iter().chain(processes).collect();
    let argv = docker::perl(container, RELEASE, &words);
    let mut left = Vec::new();
    let reply = async |line: &str| {
        let (word, yes) = match line.split(' ').collect::<Vec<_>>()[..] {
            ["left", process] => {
                left.push(process.parse()?);
                ("", false)
            }
            ["end", process] => {
                let end = async |server: &mut Session, backend| server.terminate(backend).await;
                ("ended", all(servers, holders, process.parse()?, end).await)
            }
            [process, since] => {
                let since = since.parse()?;
                let quiet = async |server: &mut Session, backend| server.is_quiet(backend, since).await;
                ("quiet", all(servers, holders, process.parse()?, quiet).await)
            }
            _ => bail!("`{line}` is no process with a time or a word"),
        };
        Ok(format!("{}\n", if yes { word } else { "" }))
    };
    process::converse(&argv, &project.topology.folder, reply, limit + EXEC_LIMIT).await?;
    Ok(left)
}

/// Whether that holds for the server's side of each connection of this process.
async fn all(
    servers: &mut BTreeMap<u32, Session>,
    holders: &Holders,
    process: u32,
    holds: impl AsyncFn(&mut Session, u32) -> Result<bool, Silence>,
) -> bool {
    let Some(backends) = holders.get(&process) else {
        return false;
    };
    let asked = servers.iter_mut().filter_map(|(id, server)| {
        let backend = *backends.get(id)?;
        Some(holds(server, backend))
    });
    let answers = join_all(asked).await;
    !answers.is_empty() && answers.iter().all(|answer| *answer == Ok(true))
}
