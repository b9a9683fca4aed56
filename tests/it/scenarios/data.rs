//! Data directories that are not as they should be: refused with the reason, and not one byte of them changed; or used,
//! where nothing is wrong with what is in them.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::cluster::{Cluster, Outcome, docker};

/// What every file of a node's data directory holds.
fn sums(cluster: &Cluster, folder: &str) -> String {
    cluster.as_root(&format!(
        "find {folder}/pgdata -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum; find {folder}/pgdata | wc -l"
    ))
}

#[test]
fn data_that_is_not_whole_or_not_its_own_is_refused_untouched() {
    let Some(cluster) = Cluster::new("odd data") else {
        return;
    };
    cluster.up(1);
    cluster.writes("master", "a row");
    cluster.reads_everywhere(1, &["a row"]);
    cluster.run(["down"]).exits(0);

    // Half of it is missing: a copy that was cut short.
    cluster.as_root("cp -a slave-1/pgdata good && rm slave-1/pgdata/global/pg_control");
    let before = sums(&cluster, "slave-1");
    cluster
        .run(["up", "--timeout", "10"])
        .exits(3)
        .says("slave-1: ")
        .says("pg_control");
    assert_eq!(sums(&cluster, "slave-1"), before);
    cluster.run(["down"]).exits(0);

    // What is there is no PostgreSQL's.
    cluster.as_root("rm -r slave-1/pgdata && mkdir slave-1/pgdata && echo mine >slave-1/pgdata/diary");
    cluster
        .run(["up", "--timeout", "10"])
        .exits(3)
        .says("pgdata holds no PostgreSQL data");
    assert_eq!(cluster.as_root("cat slave-1/pgdata/diary"), "mine");
    cluster.run(["down"]).exits(0);

    // Another cluster's: it has the same names, and another system identifier.
    let other = Cluster::beside(&cluster, "odd other");
    other.up(1);
    other.run(["down"]).exits(0);
    other.as_root("tar -C slave-1 -cf theirs.tar pgdata && chmod a+r theirs.tar");
    fs::copy(other.folder.join("theirs.tar"), cluster.folder.join("theirs.tar")).expect("a copy");
    cluster.as_root("rm -r slave-1/pgdata && tar -C slave-1 -xf theirs.tar");
    cluster
        .run(["up", "--timeout", "10"])
        .exits(3)
        .says("slave-1: ")
        .says("system identifier");
    cluster.run(["down"]).exits(0);

    // Its own again, by another owner, closed to everyone, and with the mark of a server that died: all is well.
    cluster.as_root(
        "rm -r slave-1/pgdata && mv good slave-1/pgdata && printf '1\\n/node/pgdata\\n' >slave-1/pgdata/postmaster.pid
         chown -R 4711:4711 slave-1/pgdata && chmod 500 slave-1/pgdata",
    );
    cluster.run(["up"]).exits(0);
    cluster.reads_everywhere(1, &["a row"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_untouched() {
    let Some(cluster) = Cluster::new("read only") else {
        return;
    };
    cluster.up(1);
    cluster.writes("master", "a row");
    cluster.run(["down"]).exits(0);
    let before = sums(&cluster, "slave-1");
    let read_only = "{type: bind, source: ./slave-1, target: /node, read_only: true}";
    cluster.write(
        "compose.override.yaml",
        &format!("services: {{postgres-slave1: {{volumes: [{read_only}]}}}}\n"),
    );

    cluster
        .run(["up", "--timeout", "20"])
        .exits(3)
        .says("slave-1: ")
        .says("the folder is read-only");

    cluster.run(["down"]).exits(0);
    assert_eq!(sums(&cluster, "slave-1"), before);
    fs::remove_file(cluster.folder.join("compose.override.yaml")).expect("it is there");
    cluster.run(["up"]).exits(0);
    cluster.reads_everywhere(1, &["a row"]);
}

#[test]
fn no_two_servers_share_a_data_directory() {
    let Some(cluster) = Cluster::new("shared") else {
        return;
    };
    cluster.up(0);
    cluster.writes("master", "mine");
    let other = Cluster::beside(&cluster, "sharing");
    other.run(["generate", "0"]).exits(0);
    fs::remove_dir_all(other.folder.join("master")).expect("it is ours");
    symlink(cluster.folder.join("master"), other.folder.join("master")).expect("a link");

    let refused = other.run(["up", "--timeout", "10"]);

    assert!(matches!(refused.code, Some(2 | 3)), "{refused}");
    refused.says("master");
    cluster.replicates_to(0);
    cluster.reads_everywhere(0, &["mine"]);
    // The same by hand: a second server on the folder of one that runs.
    let id = cluster.container("postgres-master").id;
    let image = docker(["inspect", "--format", "{{.Config.Image}}", &id]);
    let mount = format!("{}:/node", cluster.folder.join("master").display());
    let secrets = format!(
        "{}:/run/secrets:ro",
        cluster.folder.join(".pgcluster/secrets").display()
    );
    let mut second = Command::new("docker");
    second.args([
        "run",
        "--rm",
        "--network=none",
        "--volume",
        &mount,
        "--volume",
        &secrets,
    ]);
    second.args([
        "--env=NODE_NAME=second",
        "--env=POSTGRES_USER=postgresadmin",
        "--env=REPLICATION_USER=r",
    ]);
    second.args(["--entrypoint=bash", &image, "/node/master-entrypoint.sh"]);
    Outcome::of(&mut second)
        .exits(78)
        .says("another container runs on this folder");
    cluster.writes("master", "and still mine");
}
