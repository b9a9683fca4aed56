//! Stopping and starting: nothing is lost, nobody is killed.

use std::time::Duration;

use crate::cluster::{Cluster, docker, services};

#[test]
fn data_survives_down_and_up_and_no_server_is_killed() {
    let Some(cluster) = Cluster::new("restart") else {
        return;
    };
    cluster.up(2);
    cluster.writes("pool", "before the stop");
    // A client that does not go away is what makes a slow shutdown wait for ever.
    let mut client = cluster.login("pool").connect().expect("a client of the pool");
    let exits = cluster.watch_exits();

    let down = cluster.run(["down"]).exits(0);

    assert_eq!(exits.next(4), ended(2, "137"));
    assert!(down.took < Duration::from_secs(20), "{down}");
    assert!(cluster.services().is_empty());
    assert!(client.ask("SELECT 1").is_err());

    cluster.up(2);

    cluster.replicates_to(2);
    cluster.reads_everywhere(2, &["before the stop"]);
    nobody_had_to_recover(&cluster, 2);
}

#[test]
fn plain_compose_stops_and_starts_it_as_well() {
    let Some(cluster) = Cluster::new("restart by compose") else {
        return;
    };
    cluster.up(1);
    cluster.writes("pool", "before the stop");
    // They do not go away, and nobody is here to end them but the servers' own shutdown.
    let _clients = ["master", "slave-1", "pool"].map(|place| {
        let client = cluster.login(place).connect();
        client.expect("a client")
    });
    let exits = cluster.watch_exits();

    cluster.compose(["stop"]).exits(0);

    assert_eq!(exits.next(3), ended(1, "0"));

    cluster.compose(["start"]).exits(0);

    cluster.replicates_again_to(1);
    cluster.reads_everywhere(1, &["before the stop"]);
    nobody_had_to_recover(&cluster, 1);
    cluster.run(["up"]).exits(0);
}

/// As one that waits for itself in its handler of the signal.
#[test]
fn a_process_of_the_pool_that_hangs_holds_up_no_stop() {
    let Some(cluster) = Cluster::new("stop held up") else {
        return;
    };
    cluster.up(1);
    let _client = cluster.login("pool").connect().expect("a client of the pool");
    let pool = cluster.container("pgpool-loadbalancer").id;
    docker(["exec", &pool, "pkill", "-STOP", "-f", "^pgpool: postgresadmin"]);

    cluster.compose(["stop"]).exits(0).within(30);

    cluster.up(1);
    nobody_had_to_recover(&cluster, 1);
}

/// Each server in order, with 0; the pool, which has nothing to save, with another code where `down` killed it.
fn ended(replicas: u32, pool: &str) -> Vec<String> {
    let code = |service: &String| match service.starts_with("postgres") {
        true => "0",
        false => pool,
    };
    let services = services(replicas);
    let ends = services
        .iter()
        .map(|service| format!("{service} {}", code(service)));
    ends.collect()
}

fn nobody_had_to_recover(cluster: &Cluster, replicas: u32) {
    for service in services(replicas) {
        let log = cluster.last_log(&service);
        assert!(!log.is_empty(), "{service} logs nothing");
        for trouble in [
            "not properly shut down",
            "was interrupted",
            "PANIC",
            "received immediate shutdown",
        ] {
            assert!(!log.contains(trouble), "{service}: {trouble}\n{log}");
        }
    }
}
