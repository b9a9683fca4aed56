//! Ending the pool's connections to a node that is about to stop, without a client noticing.

use std::collections::BTreeMap;
use std::time::Duration;

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

/// For `docker exec` itself.
const EXEC_LIMIT: Duration = Duration::from_secs(10);

/// Has every session of Pgpool-II that serves a client, and has a connection to this node beside others, go on without.
///
/// New ones must not get one any more: the node is out of the pool. One that is at work all the time is left to the
/// pool's watcher, which ends it where it hangs afterwards; and so are all where the node, the pool or its container
/// does not do its part.
pub async fn release(project: &Project, there: &Containers, id: u32) {
    let _ = each_holder(project, there, id).await;
}

async fn each_holder(project: &Project, there: &Containers, id: u32) -> Result<()> {
    let endpoint = |port| observe::endpoint(project, port);
    let service = topology::service(id);
    // It may be one that the wanted cluster has no more.
    let Some(port) = there.get(&service).and_then(|node| node.outer_port(SERVER_PORT)) else {
        return Ok(());
    };
    let mut pool = Session::fresh(endpoint(project.topology.pool_port)).patient();
    let holders = pool.holders(id).await.unwrap_or_default();
    let holders: BTreeMap<u32, u32> = holders.into_iter().collect();
    let mut server = Session::fresh(endpoint(port));
    if holders.is_empty() || server.log_in().await.is_err() {
        return Ok(());
    }
    let container = there.get(POOL_SERVICE).context("the pool has no container")?;
    let processes = holders.keys().map(u32::to_string);
    let words = [LIMIT.as_secs().to_string(), service];
    let words: Vec<String> = words.into_iter().chain(processes).collect();
    let argv = docker::perl(&container.id, RELEASE, &words);
    let end = async |line: &str| {
        let [process, since, until] = line.split(' ').collect::<Vec<_>>()[..] else {
            bail!("`{line}` is no process and two times");
        };
        let ended = match holders.get(&process.parse()?) {
            Some(backend) => server.terminate(*backend, since.parse()?, until.parse()?).await,
            None => Ok(false),
        };
        Ok(if ended == Ok(true) { "ended\n" } else { "\n" }.to_owned())
    };
    process::converse(&argv, &project.topology.folder, end, LIMIT + EXEC_LIMIT).await
}
