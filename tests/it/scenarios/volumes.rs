//! `DATA=volume`: the same promises for data in named volumes of Docker.

use super::interruption::{has_cloned_afresh, stopped_in_a_base_backup};
use crate::cluster::{Cluster, docker, eventually};

const NOTHING: Vec<String> = Vec::new();

#[test]
fn data_in_volumes_stays_is_used_again_and_goes_when_told() {
    let Some(cluster) = Cluster::new("in volumes") else {
        return;
    };
    cluster.settings([("DATA", "volume")]);
    cluster.up(1);
    cluster.replicates_to(1);
    cluster.writes("pool", "a: at first");
    for node in ["master", "slave-1"] {
        assert!(cluster.holds(node, "pgdata") && !cluster.exists(&format!("{node}/pgdata")));
    }

    // An edited file reaches a server through its mount.
    cluster.append("master/config/postgresql.conf", "work_mem = 9MB");
    cluster.run(["up"]).exits(0);
    assert_eq!(cluster.sql("master", "SHOW work_mem"), "9MB");

    // Two servers on one data directory would ruin it.
    let second = format!("{}-second", cluster.project().expect("it is rendered"));
    let run = [
        "run",
        "--detach",
        "--no-deps",
        "--name",
        &second,
        "postgres-master",
    ];
    cluster.compose(run).exits(0);
    let state = [
        "inspect",
        "--format",
        "{{.State.Status}} {{.State.ExitCode}}",
        &second,
    ];
    eventually("the second one refuses", 20, "exited 78".to_owned(), || {
        docker(state)
    });
    docker(["rm", &second]);

    cluster.run(["down"]).exits(0);
    cluster.run(["up"]).exits(0);
    cluster.replicates_to(1);
    cluster.reads_everywhere(1, &["a: at first"]);

    let project = cluster.project().expect("it is rendered");
    let (master, replica) = (format!("{project}_master"), format!("{project}_slave-1"));
    cluster.up(0).says(&format!("kept: the volume {replica}"));
    cluster.writes("pool", "b: without the replica");
    cluster.up(1);
    cluster.replicates_to(1);
    cluster.reads_everywhere(1, &["a: at first", "b: without the replica"]);
    let log = cluster.log("postgres-slave1");
    assert!(!log.contains("cloning"), "its own data was not used:\n{log}");

    cluster.settings([("DATA", "directory")]);
    let (files, containers) = (cluster.files(), cluster.containers());
    for command in [&["up"][..], &["generate"]] {
        let refused = cluster.run_words(command);
        assert_eq!(cluster.files().changed_since(&files), NOTHING);
        assert_eq!(cluster.containers(), containers);
        refused
            .exits(2)
            .says("DATA")
            .says(&master)
            .says("set DATA=volume again");
    }
    cluster.settings([("DATA", "volume")]);

    // Another cluster's, and one that the user's override would make.
    let other = format!("{project}x_master");
    let mine = format!("{project}_mine");
    let label = |project: &str| format!("com.docker.compose.project={project}");
    let others_label = label(&format!("{project}x"));
    docker([
        "volume",
        "create",
        "--label",
        &others_label,
        "--label",
        "pgcluster.node=master",
        &other,
    ]);
    docker(["volume", "create", "--label", &label(&project), &mine]);
    let removed = cluster.run(["down", "--remove-volumes", "--yes"]);
    let left = cluster.volumes();
    let others_is_left = docker(["volume", "ls", "-q", "--filter", &format!("name=^{other}$")]) == other;
    docker(["volume", "rm", &other, &mine]);
    assert_eq!(left, [mine]);
    assert!(others_is_left);
    removed
        .exits(0)
        .says(&master)
        .says("MiB")
        .says("2 volumes deleted");
    assert!(cluster.services().is_empty());

    // What was deleted does not stand in the way of the other kind.
    cluster.settings([("DATA", "directory")]);
    cluster.up(0);
    assert!(cluster.exists("master/pgdata"));
    cluster.settings([("DATA", "volume")]);
    cluster
        .run(["up"])
        .exits(2)
        .says("master/pgdata")
        .says("set DATA=directory again");
}

#[test]
fn a_clone_into_a_volume_that_was_cut_short_counts_for_nothing() {
    let Some(cluster) = Cluster::new("half a volume") else {
        return;
    };
    cluster.settings([("DATA", "volume")]);
    let up = stopped_in_a_base_backup(&cluster);
    up.kill_now();
    // Down and up, so that nothing is remembered but what is in the volumes.
    cluster.run(["down"]).exits(0);
    assert!(cluster.holds("slave-1", "pgdata.new"));

    cluster.up(1);

    has_cloned_afresh(&cluster);

    // With the master's volume lost, the replica's holds everything.
    cluster.run(["down"]).exits(0);
    let project = cluster.project().expect("it is rendered");
    docker(["volume", "rm", &format!("{project}_master")]);
    let replica = vec![format!("{project}_slave-1")];
    let refused = cluster.run(["up"]);
    assert_eq!(cluster.volumes(), replica);
    refused
        .exits(2)
        .says(&replica[0])
        .says("a new master would be empty");
    assert!(cluster.containers().is_empty());
}
