//! Clients that are at work while a replica goes from which they do not read. Each node hears of each of their queries.

use crate::cluster::{Busy, Cluster, docker, eventually};

#[test]
fn who_reads_elsewhere_goes_on_in_session_mode() {
    let Some(cluster) = Cluster::new("busy session") else {
        return;
    };
    cluster.up(3);
    let clients = shared_out(&cluster, 3);
    let doomed = clients
        .readers()
        .iter()
        .filter(|reader| *reader == "slave3")
        .count();

    cluster
        .run(["scale", "--remove", "slave-3", "--drain-timeout", "1"])
        .exits(0)
        .says(&format!("removed: slave-3; {doomed} session"));

    let cut = clients.go_on();
    assert!(cut.iter().all(|cut| cut.starts_with("slave3:")), "{cut:?}");
    assert_eq!(cut.len(), doomed, "{cut:?}");
}

#[test]
fn nobody_is_cut_behind_pgbouncer() {
    let Some(cluster) = Cluster::new("busy transaction") else {
        return;
    };
    cluster.settings([("CONNECTION_MODE", "transaction")]);
    cluster.up(2);
    let clients = Busy::start(&cluster.login("pool"), 12);

    for replicas in ["1", "2", "1"] {
        cluster
            .run(["scale", replicas])
            .exits(0)
            .says("no session was cut");
        assert_eq!(clients.go_on(), [""; 0], "at {replicas}");
    }
    cluster.run(["restart", "slave-1"]).exits(0);
    assert_eq!(clients.go_on(), [""; 0], "after a restart");
}

/// Pgpool-II leaves clients waiting for ever then; the watcher ends those sessions.
#[test]
fn nobody_hangs_when_a_replica_stops_by_itself() {
    let Some(cluster) = Cluster::new("busy stop") else {
        return;
    };
    cluster.up(2);
    let clients = shared_out(&cluster, 2);

    docker(["restart", &cluster.container("postgres-slave2").id]);

    clients.go_on();
    cluster.replicates_again_to(2);
}

/// Some that read from each replica; so many that chance lets not all of them go on.
fn shared_out(cluster: &Cluster, replicas: u32) -> Busy {
    let mut clients = None;
    eventually("all replicas read", 30, true, || {
        let started = Busy::start(&cluster.login("pool"), 24);
        let readers = started.readers();
        clients = Some(started);
        let reads = |replica: &str| readers.iter().filter(|reader| *reader == replica).count() > 2;
        (1..=replicas).all(|number| reads(&format!("slave{number}")))
    });
    clients.expect("clients")
}
