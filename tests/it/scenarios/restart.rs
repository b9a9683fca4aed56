//! Stopping and starting: nothing is lost, nobody is killed.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, docker, eventually, services};

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

/// And what serves them stays until then, the replicas that they read from too.
#[test]
fn transactions_behind_pgbouncer_come_to_their_end() {
    let Some(cluster) = Cluster::new("stop with transactions") else {
        return;
    };
    cluster.settings([("CONNECTION_MODE", "transaction")]);
    cluster.up(1);
    let [mut reads, mut writes] = [0, 1].map(|_| cluster.login("pool").connect().expect("a client"));
    let [read, write] = [
        "SELECT current_setting('cluster_name')",
        "CREATE TABLE made_at_the_end AS SELECT 1",
    ];
    for (client, statement, answer) in [(&mut reads, read, "slave1"), (&mut writes, write, "")] {
        client.ask("BEGIN").expect("a transaction");
        assert_eq!(client.ask(statement).as_deref(), Ok(answer));
    }

    let down = cluster.start(&["down"]);

    eventually("nobody new is let in", 10, true, || {
        cluster.login("pool").ask("SELECT 1").is_err()
    });
    // Longer than a server takes to stop, and shorter than PgBouncer waits.
    let told = Instant::now();
    while told.elapsed() < Duration::from_secs(3) {
        assert_eq!(reads.ask(read).as_deref(), Ok("slave1"));
    }
    for client in [&mut reads, &mut writes] {
        client.ask("COMMIT").expect("its end");
    }
    down.ends().exits(0);

    cluster.up(1);
    assert_eq!(cluster.sql("master", "SELECT * FROM made_at_the_end"), "1");
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
