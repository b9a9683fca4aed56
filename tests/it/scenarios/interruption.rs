//! `up` is cut short at any moment: the next one converges.

use std::time::Duration;

use crate::cluster::{Cluster, Running, docker, eventually};

#[test]
fn an_up_that_is_killed_is_continued_by_the_next() {
    let Some(cluster) = Cluster::new("killed") else {
        return;
    };
    for (moment, with_children) in [
        (300, false),
        (800, true),
        (1500, false),
        (2500, true),
        (3500, false),
    ] {
        let moment = Duration::from_millis(moment);
        let first = cluster.start_up(1);

        let killed = match with_children {
            true => first.kill_with_children_after(moment),
            false => first.kill_after(moment),
        };
        // With the number: the first may have been killed before it was written down.
        cluster.up(1);

        is_whole(&cluster);
        println!(
            "after {moment:?} it had ended by itself: {}",
            killed.code.is_some()
        );
        cluster.run(["down", "--remove-volumes", "--yes"]).exits(0);
    }
}

#[test]
fn ctrl_c_says_what_it_leaves_and_the_next_up_goes_on() {
    let Some(cluster) = Cluster::new("interrupted") else {
        return;
    };
    let first = cluster.start_up(1);
    eventually("the master has a container", 20, true, || {
        cluster.services().contains(&"postgres-master".to_owned())
    });

    let interrupted = first.interrupt();

    interrupted
        .exits(130)
        .within(20)
        .says("interrupted")
        .says("pgcluster up")
        .says("pgcluster down");
    cluster.run(["up"]).exits(0);
    is_whole(&cluster);
}

/// What is killed by an order the engine leaves alone.
#[test]
fn a_server_that_ends_while_up_waits_is_started_again() {
    let Some(cluster) = Cluster::new("ended") else {
        return;
    };
    cluster.up(1);
    cluster.run(["down"]).exits(0);
    let up = cluster.start_up(1);
    eventually("the replica runs", 30, true, || {
        let containers = cluster.containers();
        let replica = containers.get("postgres-slave1");
        replica.is_some_and(|container| container.state == "running")
    });

    cluster.docker_each("kill", "postgres-slave1");

    up.ends().exits(0);
    is_whole(&cluster);
}

#[test]
fn a_replica_killed_in_its_base_backup_clones_afresh() {
    let Some(cluster) = Cluster::new("half a clone") else {
        return;
    };
    let up = stopped_in_a_base_backup(&cluster);
    up.interrupt().exits(130);

    cluster.docker_each("kill", "postgres-slave1");
    cluster.run(["up"]).exits(0);

    has_cloned_afresh(&cluster);
}

/// Its replica waits for the data, and sees that none comes.
#[test]
fn a_replica_whose_copy_nobody_wants_any_more_clones_by_itself() {
    let Some(cluster) = Cluster::new("half a copy") else {
        return;
    };
    let scale = halted_while_it_copies(&cluster);

    scale.kill_now();

    eventually("the replica has cloned", 30, true, || {
        cluster.log("postgres-slave1").contains("[slave1] cloned")
    });
    cluster.run(["scale", "1"]).exits(0);
    is_whole(&cluster);
}

/// What is in the way of a copy may be in the way of a base backup, and that would begin again and again.
#[test]
fn a_copy_that_fails_leaves_no_replica_running() {
    let Some(cluster) = Cluster::new("no copy") else {
        return;
    };
    let scale = halted_while_it_copies(&cluster);

    docker(["kill", &cluster.copier()]);
    scale.go_on();

    scale
        .ends()
        .exits(1)
        .says("the master's files were not copied")
        .says("without --clone=copy");
    assert_eq!(cluster.container("postgres-slave1").state, "exited");
    cluster.run(["scale", "1", "--clone", "copy"]).exits(0);
    is_whole(&cluster);
    assert!(!cluster.log("postgres-slave1").contains("[slave1] cloned"));
}

/// A `scale` that does not go on, while the data of replica 1 is copied and its container waits for that.
fn halted_while_it_copies(cluster: &Cluster) -> Running<'_> {
    cluster.up(0);
    let scale = cluster.start(&["scale", "1", "--clone", "copy"]);
    eventually("the replica has a container", 30, true, || {
        cluster.services().contains(&"postgres-slave1".to_owned())
    });
    // Compose starts it all the same.
    scale.halt();
    eventually("it waits for its data", 30, true, || {
        cluster.log("postgres-slave1").contains("waiting for the data")
    });
    assert!(!cluster.holds("slave-1", "pgdata"));
    scale
}

/// An `up` whose replica 1 is paused in the middle of its clone.
pub fn stopped_in_a_base_backup(cluster: &Cluster) -> Running<'_> {
    cluster.up(0);
    // Some 300 MB, so that there is a middle.
    cluster.sql(
        "master",
        "CREATE TABLE ballast AS
            SELECT id, (SELECT string_agg(md5(id::text || part), '') FROM generate_series(1, 30) part)
            FROM generate_series(1, 280000) id",
    );
    let backup = "SELECT count(*) FROM pg_stat_progress_basebackup WHERE phase LIKE 'streaming%'";
    let up = cluster.start_up(1);
    eventually("the base backup streams", 30, "1".to_owned(), || {
        cluster.sql("master", backup)
    });
    cluster.docker_each("pause", "postgres-slave1");
    let in_the_middle = cluster.holds("slave-1", "pgdata.new") && !cluster.holds("slave-1", "pgdata");
    assert!(
        in_the_middle,
        "the backup was complete before it could be stopped: make the table larger"
    );
    up
}

pub fn has_cloned_afresh(cluster: &Cluster) {
    is_whole(cluster);
    assert_eq!(cluster.sql("slave-1", "SELECT count(*) FROM ballast"), "280000");
    assert!(cluster.log("postgres-slave1").contains("cloned"));
}

fn is_whole(cluster: &Cluster) {
    cluster.replicates_to(1);
    for node in ["master", "slave-1"] {
        assert!(
            !cluster.holds(node, "pgdata.new"),
            "{node}: something half made is left"
        );
    }
    cluster.writes("pool", "a row");
    cluster.reads_everywhere(1, &["a row"]);
}
