//! What the commands that are called often cost, in counts rather than in times: a machine is now fast, now slow, and a
//! process, a request or a login too many stays one.

use crate::cluster::{Cluster, LOG_EVERYTHING, Meter};

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

    // Each server is asked once; what Pgpool-II logs in for comes on top, once for each client of it.
    let status = check(&cluster, &meter, &["status"]);
    assert_eq!(
        status,
        Counts {
            requests: 1,
            logins: [2, 2, 2],
            statements: [1, 1, 1]
        },
        "{ADVICE}"
    );

    // To the master four logins prove those of `.env`; of the rest, each server needs one.
    let again = check(&cluster, &meter, &["up"]);
    assert_eq!(
        again,
        Counts {
            requests: 5,
            logins: [6, 2, 2],
            statements: [8, 2, 2]
        },
        "{ADVICE}"
    );
}

#[derive(Debug, PartialEq)]
struct Counts {
    /// To the engine.
    requests: usize,
    /// To each of [`NODES`].
    logins: [usize; 3],
    statements: [usize; 3],
}

/// Runs a command that must start no process at all.
#[track_caller]
fn check(cluster: &Cluster, meter: &Meter, words: &[&str]) -> Counts {
    let before = NODES.map(|node| cluster.asked(node));
    let cost = meter.run(cluster, words);
    assert!(cost.calls.is_empty(), "{:?}: {ADVICE}", cost.calls);
    let after = NODES.map(|node| cluster.asked(node));
    let grown =
        |of: fn(&(usize, usize)) -> usize| std::array::from_fn(|node| of(&after[node]) - of(&before[node]));
    Counts {
        requests: cost.requests,
        logins: grown(|asked| asked.0),
        statements: grown(|asked| asked.1),
    }
}
