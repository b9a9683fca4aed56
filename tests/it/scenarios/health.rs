//! What Pgpool-II does not see the watcher beside it does, without pgcluster, while clients write and read.

use std::process::Command;

use crate::cluster::{Cluster, Traffic, docker, eventually};

#[test]
fn a_replica_gets_reads_only_while_it_is_well() {
    let Some(cluster) = Cluster::new("health") else {
        return;
    };
    cluster.settings([("MAX_REPLICA_LAG", "64kB")]);
    cluster.up(2);
    let traffic = Traffic::start(&cluster);
    traffic.flows_past(&[], 30);

    // What follows is the work of its successor.
    let pool = cluster.container("pgpool-loadbalancer").id;
    let watcher = || docker(["exec", &pool, "bash", "-c", PIDS_OF_THE_WATCHER]);
    let before = watcher();
    docker(["exec", &pool, "bash", "-c", &format!("kill -9 {before}")]);
    eventually("the watcher is back", 15, true, || {
        let now = watcher();
        !now.is_empty() && now != before
    });

    // A watcher that has just started asks Pgpool-II first, which waits for the frozen one.
    freeze(&cluster, "postgres-slave2");
    traffic.flows_past(&["slave2"], 30);
    left_out(&cluster, 2, "does not answer");
    cluster.docker_each("unpause", "postgres-slave2");
    cluster.replicates_again_to(2);

    cluster.sql(
        "slave-1",
        "ALTER SYSTEM SET primary_conninfo = 'host=nowhere.invalid'",
    );
    cluster.sql("slave-1", "SELECT pg_reload_conf()");
    left_out(&cluster, 1, "does not stream");
    traffic.flows_past(&["slave1"], 20);
    cluster.sql("slave-1", "ALTER SYSTEM RESET primary_conninfo");
    cluster.sql("slave-1", "SELECT pg_reload_conf()");
    cluster.replicates_again_to(2);

    // More than this cluster's limit, and less than Pgpool-II would allow by itself.
    cluster.sql("slave-2", "SELECT pg_wal_replay_pause()");
    cluster.sql(
        "master",
        "SELECT pg_logical_emit_message(true, 'lag', repeat('x', 100000))",
    );
    traffic.flows_past(&["slave2"], 20);
    cluster.sql("slave-2", "SELECT pg_wal_replay_resume()");
    eventually("reads reach it again", 20, true, || {
        cluster.try_sql("pool", "SELECT current_setting('cluster_name')") == "slave2"
    });

    traffic.ends_with_nothing_lost(&cluster);
    cluster.run(["status"]).exits(0);
}

#[test]
fn a_session_keeps_what_it_set_when_its_replica_falls_behind() {
    let Some(cluster) = Cluster::new("behind") else {
        return;
    };
    cluster.settings([("MAX_REPLICA_LAG", "64kB")]);
    cluster.up(2);
    let mut session = cluster.login("pool").connect().expect("a session");
    session.ask("SET my.own = 'mine'").expect("set");
    let ask = "SELECT current_setting('cluster_name') || ' ' || current_setting('my.own')";
    // How far replicas are behind, Pgpool-II may have seen last while they started.
    let mut before = String::new();
    eventually("it reads from a replica", 20, true, || {
        before = session.ask(ask).expect("an answer");
        ["slave1 mine", "slave2 mine"].contains(&&*before)
    });
    let reader = before.replace("slave", "slave-").replace(" mine", "");

    cluster.sql(&reader, "SELECT pg_wal_replay_pause()");
    cluster.sql(
        "master",
        "SELECT pg_logical_emit_message(true, 'lag', repeat('x', 100000))",
    );

    let mut after = before.clone();
    eventually("it reads elsewhere", 20, true, || {
        after = session.ask(ask).unwrap_or_else(|error| error);
        after != before
    });
    assert_eq!(after, "master mine");
    cluster.sql(&reader, "SELECT pg_wal_replay_resume()");
    eventually("it reads there again", 20, before, || {
        session.ask(ask).unwrap_or_else(|error| error)
    });
}

/// Pgpool-II's main process may wait for ever for a server that has gone without a word, and takes no node back then.
#[test]
fn a_pool_that_takes_no_node_back_starts_anew() {
    let Some(cluster) = Cluster::new("stuck pool") else {
        return;
    };
    cluster.up(1);
    cluster.docker_each("stop", "postgres-slave1");
    left_out(&cluster, 1, "is away");
    let pool = cluster.container("pgpool-loadbalancer").id;
    let stop = "kill -STOP $(head -n 1 /run/pgcluster/pgpool.pid)";
    docker(["exec", &pool, "bash", "-c", stop]);

    cluster.docker_each("start", "postgres-slave1");

    eventually("the pool starts anew", 120, true, || {
        cluster
            .log("pgpool-loadbalancer")
            .contains("restarting the pool: it takes no node back")
    });
    cluster.replicates_again_to(1);
}

#[test]
fn whatever_stops_and_starts_in_any_order_is_up_in_the_pool_afterwards() {
    let Some(cluster) = Cluster::new("any order") else {
        return;
    };
    cluster.up(1);
    let traffic = Traffic::start(&cluster);
    let [master, slave, pool] = ["postgres-master", "postgres-slave1", "pgpool-loadbalancer"]
        .map(|service| cluster.container(service).id);

    for order in [
        [&pool, &slave, &master],
        [&slave, &pool, &master],
        [&master, &pool, &slave],
    ] {
        docker(["kill", &master, &slave, &pool]);
        for container in order {
            docker(["start", container]);
        }
        cluster.replicates_again_to(1);
    }
    docker(["restart", &pool, &slave, &master]);
    cluster.replicates_again_to(1);
    cluster.compose(["restart"]).exits(0);
    cluster.replicates_again_to(1);

    // The pool begins while a node is frozen: Pgpool-II alone would wait for it.
    freeze(&cluster, "postgres-slave1");
    docker(["restart", &pool]);
    traffic.flows_past(&["slave1"], 30);
    docker(["unpause", &slave]);
    cluster.replicates_again_to(1);

    // A frozen master is waited for: nobody takes its place.
    freeze(&cluster, "postgres-master");
    for _ in 0..3 {
        cluster.run(["status"]).exits(3).says("master: ");
    }
    assert_eq!(cluster.sql("slave-1", "SELECT pg_is_in_recovery()"), "t");
    docker(["unpause", &master]);
    traffic.flows_past(&[], 30);
    cluster.replicates_again_to(1);
    assert_eq!(cluster.sql("slave-1", "SELECT pg_is_in_recovery()"), "t");

    traffic.ends_with_nothing_lost(&cluster);
}

/// Without a process for each process, which on a busy machine takes longer than the watcher does.
const PIDS_OF_THE_WATCHER: &str = "for process in /proc/[0-9]*; do \
    { mapfile -d '' -t words <$process/cmdline; } 2>/dev/null; \
    if [[ ${words[*]} == 'bash /pool/pool-watch.sh'* ]]; then echo ${process#/proc/}; fi; \
    done | sort | tr '\\n' ' '";

/// A busy machine may need a second attempt: "unable to freeze".
#[track_caller]
fn freeze(cluster: &Cluster, service: &str) {
    let id = cluster.container(service).id;
    eventually("the container is paused", 20, true, || {
        let _ = Command::new("docker").args(["pause", &id]).output();
        cluster.container(service).state == "paused"
    });
}

/// The pool leaves the replica out, and `status` says why.
#[track_caller]
fn left_out(cluster: &Cluster, replica: u32, reason: &str) {
    eventually("the pool leaves it out", 30, true, || {
        let down = format!("postgres-slave{replica} down/");
        cluster.replication().contains(&down)
    });
    let told = format!("slave-{replica}: the pool leaves it out: it {reason}");
    eventually("status says why", 10, true, || {
        cluster.run(["status"]).output().contains(&told)
    });
}
