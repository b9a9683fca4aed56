//! `status` tells how it is, quickly, also when it is bad.

use serde_json::Value;

use crate::cluster::{Cluster, Outcome};

#[test]
fn every_trouble_has_a_row_and_a_finding() {
    let Some(cluster) = Cluster::new("status") else {
        return;
    };
    cluster.run(["status"]).exits(2);
    cluster.up(2);
    let healthy = cluster.run(["status"]).exits(0).within(3);
    for node in ["master", "slave-1", "slave-2", "pool"] {
        assert_eq!(rows_of(&healthy, node), 1, "{node}: {healthy}");
    }
    let json = parsed(&cluster.run(["status", "--json"]).exits(0));
    assert_eq!(names(&json["nodes"]), ["master", "slave-1", "slave-2"]);
    assert_eq!(
        (&json["healthy"], &json["findings"]),
        (&true.into(), &Value::Array(Vec::new()))
    );

    cluster.docker_each("pause", "postgres-slave2");
    has_a_finding_for(&cluster, "slave-2");
    cluster.run(["up"]).exits(0);
    assert_eq!(cluster.container("postgres-slave2").state, "running");
    cluster.replicates_to(2);

    cluster.docker_each("stop", "postgres-master");
    has_a_finding_for(&cluster, "master");
    cluster.run(["up"]).exits(0);
    cluster.replicates_to(2);

    cluster.docker_each("pause", "pgpool-loadbalancer");
    has_a_finding_for(&cluster, "pool");
    cluster.run(["up"]).exits(0);
    cluster.replicates_to(2);

    // It streams, and shows nothing of what it gets.
    cluster.sql("slave-2", "SELECT pg_wal_replay_pause()");
    let database = cluster.login("master").database("postgres");
    database.ask("DELETE FROM pgcluster.marker").expect("a marker");
    cluster
        .run(["up"])
        .exits(3)
        .says("not proved within 20 s: a replica does not replay what the master wrote");
    cluster.sql("slave-2", "SELECT pg_wal_replay_resume()");
    cluster.run(["up"]).exits(0);

    cluster.run(["down"]).exits(0);
    for node in ["master", "slave-1", "slave-2", "pool"] {
        has_a_finding_for(&cluster, node);
    }
}

fn has_a_finding_for(cluster: &Cluster, node: &str) {
    let shown = cluster.run(["status"]).exits(3).within(3);
    for row in ["master", "slave-1", "slave-2", "pool"] {
        assert_eq!(rows_of(&shown, row), 1, "{row}: {shown}");
    }
    assert!(shown.stderr.contains(&format!("{node}: ")), "{node}: {shown}");
    let told = cluster.run(["status", "--json"]).exits(3).within(3);
    let json = parsed(&told);
    assert_eq!(names(&json["nodes"]), ["master", "slave-1", "slave-2"]);
    assert_eq!(json["healthy"], false);
    assert!(names(&json["findings"]).contains(&node), "{told}");
}

fn parsed(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}"))
}

fn names(list: &Value) -> Vec<&str> {
    let items = list.as_array().expect("a list").iter();
    items
        .map(|item| item["node"].as_str().expect("a node's name"))
        .collect()
}

fn rows_of(outcome: &Outcome, node: &str) -> usize {
    outcome
        .stdout
        .lines()
        .filter(|line| line.split_whitespace().next() == Some(node))
        .count()
}
