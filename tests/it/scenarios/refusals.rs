//! What cannot work is refused at once, with its reason, and changes nothing.

use std::net::TcpListener;

use crate::cluster::{Cluster, eventually};

#[test]
fn data_of_another_major_version_is_refused_untouched() {
    let Some(cluster) = Cluster::new("older data") else {
        return;
    };
    cluster.up(1);
    cluster.writes("master", "precious");
    cluster.run(["down"]).exits(0);
    for node in ["master", "slave-1"] {
        cluster.as_root(&format!("echo 16 >{node}/pgdata/PG_VERSION"));
        let before = cluster.data_hashes(node);

        let refused = cluster.run(["up"]);

        assert_eq!(cluster.data_hashes(node), before);
        refused
            .exits(3)
            .within(30)
            .says(node)
            .says("PostgreSQL 16")
            .says("17");
        cluster.run(["down"]).exits(0);
        cluster.as_root(&format!("echo 17 >{node}/pgdata/PG_VERSION"));
    }

    cluster.run(["up"]).exits(0);

    cluster.replicates_to(1);
    cluster.reads_everywhere(1, &["precious"]);
}

#[test]
fn a_port_that_is_taken_is_named_and_nothing_starts() {
    let Some(cluster) = Cluster::new("taken port") else {
        return;
    };
    for key in ["MASTER_PORT", "SLAVE1_PORT", "PGPOOL_PORT"] {
        let port: u16 = cluster.setting(key).parse().expect("a port");
        let _listener = TcpListener::bind(("127.0.0.1", port)).expect("it was free");

        let refused = cluster.run(["up", "--replicas", "1"]);

        assert!(cluster.containers().is_empty());
        refused.exits(5).within(10).says(key).says(&port.to_string());
    }
}

#[test]
fn a_password_changed_in_env_is_refused_and_the_old_one_goes_on() {
    let Some(cluster) = Cluster::new("changed passwords") else {
        return;
    };
    cluster.up(1);
    cluster.writes("pool", "precious");
    for (key, old) in [
        ("POSTGRES_PASSWORD", "admin123"),
        ("REPLICATION_PASSWORD", "password"),
        ("POOL_PASSWORD", "poolcheck123"),
    ] {
        let before = cluster.containers();
        cluster.settings([(key, "another one")]);

        let refused = cluster.run(["up"]);

        cluster.settings([(key, old)]);
        assert_eq!(cluster.containers(), before);
        cluster.reads_everywhere(1, &["precious"]);
        refused.exits(3).within(30).says(key);

        cluster.run(["up"]).exits(0);
        cluster.replicates_to(1);
    }
    // Whatever was refused left no trace that a restart would bring out.
    cluster.run(["down"]).exits(0);
    cluster.run(["up"]).exits(0);
    cluster.replicates_to(1);
}

#[test]
fn of_two_ups_at_once_one_works_and_the_other_names_it() {
    let Some(cluster) = Cluster::new("two at once") else {
        return;
    };
    let running = [cluster.start_up(1), cluster.start_up(1)];

    let mut ended: Vec<_> = running.into_iter().map(|up| up.ends()).collect();

    cluster.replicates_to(1);
    ended.sort_by_key(|outcome| outcome.code);
    let second = ended.remove(1);
    ended.remove(0).exits(0);
    // It may as well have waited.
    if second.code != Some(0) {
        second.exits(4).says("pgcluster up").says("process ");
    }
}

#[test]
fn a_down_while_an_up_works_is_refused_and_names_it() {
    let Some(cluster) = Cluster::new("down meanwhile") else {
        return;
    };
    let up = cluster.start_up(1);
    eventually("the master has a container", 20, true, || {
        cluster.services().contains(&"postgres-master".to_owned())
    });

    let down = cluster.run(["down", "--remove-volumes", "--yes"]);

    up.ends().exits(0);
    cluster.replicates_to(1);
    down.exits(4).says("pgcluster up").says("process ");
}

#[test]
fn a_newline_in_a_password_changes_not_one_byte() {
    let Some(cluster) = Cluster::new("newline") else {
        return;
    };
    for broken in ["first\nsecond-line", "first\\nsecond-line"] {
        cluster.write(".env", &format!("POSTGRES_PASSWORD=\"{broken}\"\n"));
        let before = cluster.files();

        let refused = cluster.run(["up", "--replicas", "1"]);

        assert_eq!(cluster.files().changed_since(&before), Vec::<String>::new());
        assert!(cluster.containers().is_empty());
        assert!(
            !refused.output().contains("second-line"),
            "the value is secret: {refused}"
        );
        refused.exits(2).says("POSTGRES_PASSWORD");
    }
}
