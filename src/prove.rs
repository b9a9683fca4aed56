//! The proof that replication is live and the pool routes: by writing and reading, not by believing a status.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::join_all;

use crate::error::{Failure, Kind, Problem};
use crate::observe;
use crate::observed::{Observed, Silence};
use crate::postgres::{self, Session};
use crate::project::Project;
use crate::topology::Node;

/// How long the whole may take, repeated while the pool settles.
const LIMIT: Duration = Duration::from_secs(20);

/// Between two attempts.
const RETRY: Duration = Duration::from_millis(200);

/// Between two reads of the marker on a replica.
const POLL: Duration = Duration::from_millis(20);

/// Proves the cluster and says how, in one line.
///
/// The marker is written through the pool, unless one is there that was written since the last server started: a
/// cluster that is already proved is not changed.
///
/// # Errors
/// [`Kind::NotReady`], with what did not hold.
pub async fn prove(project: &Project, observed: &Observed) -> Result<String> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let proof = tokio::time::timeout(left, attempt(project, observed)).await;
        match proof.unwrap_or_else(|_| Err("a replica does not replay what the master wrote".to_owned())) {
            Ok(proof) => return Ok(proof),
            // The pool is away for moments after a node came or went.
            Err(_) if Instant::now() + RETRY < deadline => tokio::time::sleep(RETRY).await,
            Err(what) => {
                let problem = Problem::new(format!("not proved within {} s: {what}", LIMIT.as_secs()))
                    .fix("see `pgcluster status`, then run `pgcluster up` again");
                return Err(Failure::new(Kind::NotReady, problem).into());
            }
        }
    }
}

async fn attempt(project: &Project, observed: &Observed) -> Result<String, String> {
    let (settings, topology) = (&project.settings, &project.topology);
    let session = |port| Session::new(observe::endpoint(project, port)).patient();
    let mut master = session(topology.master().port);
    let mut pool = session(topology.pool_port);
    let silent = |who: &str| {
        let who = who.to_owned();
        move |silence: Silence| format!("{who}: {}", silence.reason)
    };

    let last_start = topology
        .nodes
        .iter()
        .filter_map(|node| observed.facts(node.id))
        .map(|facts| facts.started_at)
        .fold(0.0, f64::max);
    let marked = |node: &Node| observed.facts(node.id).is_some_and(|facts| facts.marked);
    let written = match marked(topology.master()) {
        true => master.read_marker().await.map_err(silent("master"))?,
        false => None,
    };
    // Which node a session reads from is decided when it begins; so this is asked before what counts as a write.
    let reader = pool.reader().await.ok();
    let marker = match written {
        Some((marker, written_at)) if written_at > last_start => {
            if !pool.writes_reach_primary().await.map_err(silent("pool"))? {
                return Err("a write through the pool would not reach the master".to_owned());
            }
            marker
        }
        _ => {
            master.prepare_marker().await.map_err(silent("master"))?;
            let marker = postgres::new_marker().map_err(|error| error.to_string())?;
            let writer = pool.write_marker(&marker).await.map_err(silent("pool"))?;
            expect_node(&writer, &[topology.master()], "a write through the pool")?;
            marker
        }
    };

    let readers = topology.replicas().iter().map(|replica| {
        let mut session = session(replica.port);
        let (marker, mut marked) = (&marker, marked(replica));
        async move {
            let silent = |silence: Silence| format!("{}: {}", replica.title(), silence.reason);
            loop {
                marked = marked || session.has_marker().await.map_err(silent)?;
                let read = match marked {
                    true => session.read_marker().await.map_err(silent)?,
                    false => None,
                };
                if read.is_some_and(|(read, _)| read == *marker) {
                    return Ok::<_, String>(());
                }
                tokio::time::sleep(POLL).await;
            }
        }
    });
    for result in join_all(readers).await {
        result?;
    }

    let total = topology.nodes.len();
    let right = |reader: &String| match topology.replicas() {
        [] => *reader == topology.master().name(),
        replicas => replicas.iter().any(|replica| replica.name() == *reader),
    };
    let reader = match reader.filter(right) {
        Some(reader) => reader,
        // One that was begun earlier may have found fewer nodes, and where a session reads what it wrote, this one
        // reads from the master by now.
        None => Session::fresh(observe::endpoint(project, topology.pool_port))
            .patient()
            .reader()
            .await
            .map_err(silent("pool"))?,
    };
    if topology.replicas().is_empty() {
        expect_node(&reader, &[topology.master()], "a read through the pool")?;
        return Ok(format!(
            "a write and a read through the pool reached the master; the pool sees {total} of {total} nodes up"
        ));
    }
    let replicas: Vec<&Node> = topology.replicas().iter().collect();
    let read = if expect_node(&reader, &replicas, "a read").is_ok() {
        format!("a read through the pool landed on {reader}")
    } else if behind(&mut pool, settings.max_replica_lag)
        .await
        .map_err(silent("pool"))?
    {
        "reads may go to the master until each replica has caught up with its writes".to_owned()
    } else {
        return Err(format!("a read through the pool landed on `{reader}`"));
    };
    Ok(format!(
        "a marker written through the pool on master was read back on {}, each streaming \
         through its own slot; {read}; the pool sees {total} of {total} nodes up",
        match replicas.len() {
            1 => "1 replica".to_owned(),
            count => format!("{count} replicas"),
        }
    ))
}

/// Whether Pgpool finds a replica further behind than `limit` bytes: who would read from that reads from the master.
async fn behind(pool: &mut Session, limit: u64) -> Result<bool, Silence> {
    let delays = pool.pool_delays().await?;
    Ok(delays.into_iter().any(|delay| delay > limit))
}

fn expect_node(name: &str, expected: &[&Node], what: &str) -> Result<(), String> {
    if expected.iter().any(|node| node.name() == name) {
        Ok(())
    } else {
        Err(format!("{what} landed on `{name}`"))
    }
}
