//! What the commands that are called often cost, in counts rather than in times: a machine is now fast, now slow, and a
//! process, a request or a login too many stays one.

use crate::cluster::{Cluster, LOG_EVERYTHING, Meter, eventually};

/// What to do when a count has grown.
const ADVICE: &str = "this command now costs more: fetch what it needs together with what it asks already, keep a \
                      connection or ask the engine over its socket; raise the count here only where users get \
                      something for it, and say so in the commit";

const NODES: [&str; 3] = ["postgres-master", "postgres-slave1", "postgres-slave2"];

#[test]
fn what_is_called_often_stays_cheap() {
    let Some(cluster) = Cluster::new("costs") else {
        return;
    };
    let Some(meter) = Meter::new() else {
        return;
    };
    cluster.run(["generate", "2"]).exits(0);
    for folder in ["master", "slave-template"] {
        cluster.append(&format!("{folder}/config/postgresql.conf"), LOG_EVERYTHING);
    }

    let mut first = meter.run(&cluster, &["up", "--replicas", "2"]);
    // On a busy machine the pool begins before its replicas do: these are attached by a command in its container.
    first.calls.retain(|call| !call.starts_with("exec "));
    assert_eq!(first.calls, ["compose up", "compose version"], "{ADVICE}");

    // Until then `status` would run a process to ask the watcher, and log in to the pool.
    eventually(
        "the watcher tells the master that all nodes are in",
        60,
        true,
        || {
            let tells = "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'SELECT ''pool-watch  0i 1i 2i.%'";
            cluster.sql("master", tells) == "t"
        },
    );
    // Each server is asked once, the primary for more, and nobody logs in to the pool.
    let limit = Counts {
        requests: 1,
        logins: [1, 2],
        statements: [2, 2],
    };
    check(&cluster, &meter, &["status"], &limit);
    // The master's first four logins prove those of `.env`, by a statement each.
    let limit = Counts {
        requests: 5,
        logins: [5, 4],
        statements: [9, 5],
    };
    check(&cluster, &meter, &["up"], &limit);
}

/// Servers: the master, and all replicas together.
#[derive(Debug)]
struct Counts {
    /// To the engine.
    requests: usize,
    logins: [usize; 2],
    statements: [usize; 2],
}

impl Counts {
    fn all(&self) -> [usize; 5] {
        let ([a, b], [c, d]) = (self.logins, self.statements);
        [self.requests, a, b, c, d]
    }
}

/// Runs a command that must start no process at all, and cost no more than `limit`.
#[track_caller]
fn check(cluster: &Cluster, meter: &Meter, words: &[&str], limit: &Counts) {
    let asked = || {
        let [(logins, statements), first, second] = NODES.map(|node| cluster.asked(node));
        ([logins, first.0 + second.0], [statements, first.1 + second.1])
    };
    let before = asked();
    let cost = meter.run(cluster, words);
    assert!(cost.calls.is_empty(), "{words:?}: {:?}: {ADVICE}", cost.calls);
    let after = asked();
    let counts = Counts {
        requests: cost.requests,
        logins: [0, 1].map(|i| after.0[i] - before.0[i]),
        statements: [0, 1].map(|i| after.1[i] - before.1[i]),
    };
    println!("{words:?}: {counts:?}");
    let grown = counts
        .all()
        .into_iter()
        .zip(limit.all())
        .any(|(count, limit)| count > limit);
    assert!(
        !grown,
        "{words:?}: {counts:?}, and the limit is {limit:?}: {ADVICE}"
    );
}
