//! The user's own configuration files reach the servers, each the right one, or are refused with the line.

use crate::cluster::{Cluster, Connection};

const MASTER: &str = "master/config/postgresql.conf";
const REPLICAS: &str = "slave-template/config/postgresql.conf";

#[test]
fn settings_reach_the_nodes_they_are_for() {
    let Some(cluster) = Cluster::new("tuning") else {
        return;
    };
    cluster.up(2);
    cluster.append(MASTER, "work_mem = 11MB");
    cluster.append(MASTER, "shared_buffers = 96MB");
    cluster.append(REPLICAS, "work_mem = 12MB");
    cluster.append(REPLICAS, "autovacuum_max_workers = 5");
    cluster.append("slave-2/config/local.conf", "work_mem = 13MB");

    cluster.run(["generate"]).exits(0);
    cluster.run(["up"]).exits(0);

    every_node_shows(&cluster, "work_mem", ["11MB", "12MB", "13MB"]);
    every_node_shows(&cluster, "shared_buffers", ["96MB", "128MB", "128MB"]);
    every_node_shows(&cluster, "autovacuum_max_workers", ["3", "5", "5"]);
    nothing_waits_for_a_restart(&cluster);
    cluster.replicates_to(2);

    // A restart of one replica is told before, and cuts nobody who reads from another node.
    let mut clients = [client_on(&cluster, "slave2"), client_on(&cluster, "slave2")];
    cluster.append("slave-1/config/local.conf", "shared_buffers = 80MB");
    let expected = "restart slave-1  (a restart brings shared_buffers into effect)";
    cluster.run(["up", "--dry-run"]).exits(0).says(expected);
    let master = cluster.container("postgres-master");

    cluster.run(["up"]).exits(0).says(expected);

    every_node_shows(&cluster, "shared_buffers", ["96MB", "80MB", "128MB"]);
    assert_eq!(cluster.container("postgres-master"), master);
    for client in &mut clients {
        let answer = client.ask("SELECT current_setting('cluster_name')");
        assert_eq!(answer.as_deref(), Ok("slave2"));
    }
}

/// A client of the pool whose reads go to this node.
fn client_on(cluster: &Cluster, node: &str) -> Connection {
    for _ in 0..50 {
        let mut client = cluster.login("pool").connect().expect("a client of the pool");
        if client.ask("SELECT current_setting('cluster_name')").as_deref() == Ok(node) {
            return client;
        }
    }
    panic!("the pool sends nobody to {node}");
}

/// A standby refuses to go on where the primary allows, or allowed, more connections than itself.
#[test]
fn a_limit_that_replicas_must_follow_goes_up_and_down() {
    let Some(cluster) = Cluster::new("limits") else {
        return;
    };
    cluster.settings([("PROFILE", "small")]);
    cluster.up(1);
    cluster.writes("master", "kept");

    for limit in ["240", "150"] {
        for file in [MASTER, REPLICAS] {
            cluster.append(file, &format!("max_connections = {limit}"));
        }

        cluster.run(["up", "--timeout", "30"]).exits(0);

        every_node_shows(&cluster, "max_connections", [limit, limit]);
        every_node_shows(&cluster, "work_mem", ["4MB", "4MB"]);
        nothing_waits_for_a_restart(&cluster);
        cluster.replicates_to(1);
        cluster.reads_everywhere(1, &["kept"]);
    }
}

#[test]
fn a_broken_line_is_named_and_the_old_value_holds() {
    let Some(cluster) = Cluster::new("broken line") else {
        return;
    };
    cluster.run(["generate", "1"]).exits(0);
    cluster.append(REPLICAS, "work_mem = 12MB");
    cluster.up(1);
    for (file, node, broken) in [
        (REPLICAS, "slave-1", "work_mem = lots"),
        (MASTER, "master", "wrok_mem = 14MB"),
        (MASTER, "master", "this is no setting"),
    ] {
        let good = std::fs::read_to_string(cluster.folder.join(file)).expect("it was written");
        let line = cluster.append(file, broken);
        let before = cluster.containers();

        let refused = cluster.run(["up"]);

        assert_eq!(cluster.containers(), before, "nothing was restarted");
        every_node_shows(&cluster, "work_mem", ["8MB", "12MB"]);
        cluster.replicates_to(1);
        let refused = refused
            .exits(3)
            .within(30)
            .says(node)
            .says("its configuration has an error; it goes on with the values it had")
            .says("config/postgresql.conf");
        refused.says(&format!("line {line}"));

        cluster.write(file, &good);
        cluster.run(["up"]).exits(0);
    }
    cluster.append(REPLICAS, "work_mem = 14MB");

    cluster.run(["up"]).exits(0);

    every_node_shows(&cluster, "work_mem", ["8MB", "14MB"]);
}

fn every_node_shows<const N: usize>(cluster: &Cluster, setting: &str, expected: [&str; N]) {
    let nodes = ["master", "slave-1", "slave-2"];
    let show = format!("SHOW {setting}");
    let shown: Vec<String> = nodes[..N].iter().map(|node| cluster.sql(node, &show)).collect();
    assert_eq!(shown, expected, "{setting}");
}

fn nothing_waits_for_a_restart(cluster: &Cluster) {
    for node in cluster.nodes() {
        let waiting = cluster.sql(&node, "SELECT name FROM pg_settings WHERE pending_restart");
        assert_eq!(waiting, "", "{node}");
    }
}
