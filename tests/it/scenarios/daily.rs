//! What one does every day with a cluster that runs.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::cluster::{Cluster, Connection, Outcome, ask_url, eventually, services};

/// What every reader of a URL, a password file or a shell's line takes for something else.
const PASSWORD: &str = "p$x'\"#\\: {ü%@/&";

#[test]
fn a_running_cluster_is_used_and_cared_for() {
    let Some(cluster) = Cluster::new("daily use") else {
        return;
    };
    cluster.settings([("POSTGRES_PASSWORD", PASSWORD)]);
    cluster.up(2);

    psql_reaches_each_target(&cluster);
    urls_connect(&cluster);
    logs_are_those_of_the_node(&cluster);
    a_replica_restarts_while_the_sessions_of_others_go_on(&cluster);
    a_node_is_stopped_and_started(&cluster);
    everything_restarts_one_after_the_other(&cluster);
}

fn psql_reaches_each_target(cluster: &Cluster) {
    let ask = [
        "--",
        "-XAtc",
        "SELECT current_setting('cluster_name'), current_user",
    ];
    let docker_alone = docker_alone(cluster);
    let has_psql = Command::new("psql").arg("--version").output().is_ok();
    for (node, names) in [
        ("master", &["master"][..]),
        ("slave-2", &["slave2"]),
        ("any-replica", &["slave1", "slave2"]),
        ("pool", &["slave1", "slave2"]),
    ] {
        let words = [&["psql", node], &ask[..]].concat();
        let mut outcomes = vec![cluster.run_with_path(&docker_alone, &words)];
        if has_psql {
            outcomes.push(cluster.run_words(&words));
        }
        for outcome in outcomes.into_iter().map(|outcome| outcome.exits(0)) {
            let name = outcome.stdout.trim().strip_suffix("|postgresadmin");
            assert!(names.contains(&name.unwrap_or_default()), "{node}: {outcome}");
        }
    }
    // psql's own: 3 is an error in a script, 1 one in a command.
    let failing = ["psql", "master", "--", "-Xc", "SELECT 1/0"];
    cluster
        .run_with_path(&docker_alone, &failing)
        .exits(1)
        .says("division by zero");
    if has_psql {
        cluster.run(failing).exits(1).says("division by zero");
    }
    // Password files are gone, here and in the pool's container.
    let left = fs::read_dir(cluster.folder.join(".pgcluster")).expect("it is there");
    let names: BTreeSet<String> = left
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert!(!names.iter().any(|name| name.starts_with("now-")), "{names:?}");
    let pool = cluster.container("pgpool-loadbalancer").id;
    let listing = Outcome::of(Command::new("docker").args(["exec", &pool, "ls", "/tmp"])).exits(0);
    assert!(!listing.stdout.contains("tmp."), "{listing}");
}

/// A folder with `docker` and nothing else.
fn docker_alone(cluster: &Cluster) -> PathBuf {
    let bin = cluster.outside("bin");
    fs::create_dir(&bin).expect("it is new");
    let which = Outcome::of(Command::new("sh").args(["-c", "command -v docker"])).exits(0);
    symlink(which.stdout.trim(), bin.join("docker")).expect("a link");
    bin
}

fn urls_connect(cluster: &Cluster) {
    let name = "SELECT current_setting('cluster_name')";
    for node in ["master", "slave-1", "slave-2"] {
        let url = cluster.run(["url", node, "--with-password"]).exits(0).stdout;
        assert_eq!(ask_url(url.trim(), name), Ok(node.replace('-', "")));
    }
    let url = cluster.run(["url"]).exits(0).stdout;
    assert!(ask_url(url.trim(), name).is_err(), "no password was asked for");
    // What a shell makes of the lines is what was set.
    let lines = cluster
        .run(["url", "--format", "env", "--with-password"])
        .exits(0)
        .stdout;
    let script = format!("{lines}\nprintf %s \"$PGPASSWORD\"");
    let shell = Outcome::of(Command::new("sh").args(["-c", &script])).exits(0);
    assert_eq!(shell.stdout, PASSWORD);
}

fn logs_are_those_of_the_node(cluster: &Cluster) {
    cluster.sql("master", "DO $$ BEGIN RAISE LOG 'a mark in the log'; END $$");
    eventually("the log has the line", 10, true, || {
        cluster
            .run(["logs", "master", "--tail", "20"])
            .exits(0)
            .stdout
            .contains("a mark in the log")
    });
    let other = cluster.run(["logs", "slave-1", "pool"]).exits(0);
    assert!(!other.stdout.contains("a mark in the log"), "{other}");
    assert!(
        other.stdout.contains("postgres-slave1") && other.stdout.contains("pgpool"),
        "{other}"
    );
}

/// Sessions of the pool, with the replica that each reads from.
struct Sessions(Vec<(String, Connection)>);

impl Sessions {
    /// Opens as many as it takes to have some on each replica.
    fn on_both_replicas(cluster: &Cluster) -> Sessions {
        let mut sessions = Vec::new();
        for _ in 0..60 {
            let mut session = cluster.login("pool").connect().expect("the pool lets us in");
            let name = session
                .ask("SELECT current_setting('cluster_name')")
                .expect("an answer");
            sessions.push((name, session));
            if ["slave1", "slave2"]
                .iter()
                .all(|wanted| sessions.iter().any(|(name, _)| name == wanted))
            {
                return Sessions(sessions);
            }
        }
        panic!("60 sessions, all of them on {}", sessions[0].0);
    }

    /// Those that read from `replica` still do.
    fn of_go_on(&mut self, replica: &str) {
        for (name, session) in self.0.iter_mut().filter(|(name, _)| name == replica) {
            assert_eq!(session.ask("SELECT 1"), Ok("1".to_owned()), "a session on {name}");
        }
    }
}

fn a_replica_restarts_while_the_sessions_of_others_go_on(cluster: &Cluster) {
    let mut sessions = Sessions::on_both_replicas(cluster);
    let before = cluster.containers();

    cluster.run(["restart", "slave-1"]).exits(0);

    sessions.of_go_on("slave2");
    cluster.replicates_to(2);
    let restarted: Vec<String> = cluster
        .containers()
        .into_iter()
        .filter(|(service, container)| before[service] != *container)
        .map(|(service, _)| service)
        .collect();
    assert_eq!(restarted, ["postgres-slave1"]);
}

fn a_node_is_stopped_and_started(cluster: &Cluster) {
    let mut sessions = Sessions::on_both_replicas(cluster);
    let exits = cluster.watch_exits();
    cluster
        .run(["stop", "slave-1"])
        .exits(0)
        .says("`pgcluster start slave-1`");
    // At once, not when the pool's own checks find out: until then it would let nobody in.
    let replication = cluster.replication();
    assert!(
        replication.contains("pool postgres-slave1 down/"),
        "{replication}"
    );
    assert_eq!(exits.next(1), ["postgres-slave1 0"]);
    sessions.of_go_on("slave2");
    cluster.run(["stop", "slave-1"]).exits(0).says("stopped already");
    cluster.run(["status"]).exits(3);
    cluster.writes("pool", "while slave-1 is stopped");
    cluster
        .run(["psql", "slave-1"])
        .exits(3)
        .says("slave-1 does not run");

    cluster.run(["start", "slave-1"]).exits(0);
    cluster.replicates_to(2);
    cluster.reads_everywhere(2, &["while slave-1 is stopped"]);
    cluster.run(["start", "slave-1"]).exits(0).says("runs already");

    cluster.run(["stop", "master"]).exits(2).says("pass --yes");
    assert_eq!(cluster.container("postgres-master").state, "running");
    cluster.run(["stop", "master", "--yes"]).exits(0);
    cluster
        .run(["restart", "slave-2"])
        .exits(3)
        .says("`pgcluster start master` first");
    cluster.run(["start", "master"]).exits(0);
    cluster.replicates_to(2);
}

fn everything_restarts_one_after_the_other(cluster: &Cluster) {
    cluster.append("master/config/postgresql.conf", "work_mem = 9MB");
    cluster.run(["restart"]).exits(2).says("`pgcluster up`");
    cluster.run(["up"]).exits(0);
    let before = cluster.containers();

    cluster.run(["restart"]).exits(0);

    cluster.replicates_to(2);
    let containers = cluster.containers();
    assert!(
        containers
            .iter()
            .all(|(service, container)| before[service] != *container)
    );
    let mut order = services(2);
    order.sort_by_key(|service| containers[service].started.clone());
    assert_eq!(
        order,
        [
            "postgres-slave1",
            "postgres-slave2",
            "postgres-master",
            "pgpool-loadbalancer"
        ]
    );
}

#[test]
fn doctor_finds_what_was_broken_on_purpose() {
    let Some(cluster) = Cluster::new("doctor") else {
        return;
    };
    cluster
        .run(["doctor"])
        .exits(0)
        .says("only the machine was looked at");
    cluster.up(1);
    assert_eq!(troubles(&cluster, 0), [""; 0]);

    cluster.sql(
        "master",
        "SELECT pg_create_physical_replication_slot('forgotten', true)",
    );
    cluster.append("master/config/postgresql.conf", "work_mem = 9MB");
    assert_eq!(troubles(&cluster, 0), ["warning edits ", "warning slots master"]);

    cluster.write("master/config/local.conf", "fsync = off\n");
    cluster.write("slave-1/config/local.conf", "autovacuum = off\n");
    cluster.run(["up"]).exits(0);
    assert_eq!(
        troubles(&cluster, 3),
        [
            "error durability master",
            "warning autovacuum slave-1",
            "warning slots master"
        ]
    );
    cluster
        .run(["doctor"])
        .exits(3)
        .says("fsync is off: a crash of the machine can destroy the data");

    cluster.docker_each("stop", "postgres-slave1");
    let found = troubles(&cluster, 3);
    assert!(found.contains(&"error health slave-1".to_owned()), "{found:?}");
    cluster.run(["down"]).exits(0);
    cluster
        .run(["doctor"])
        .exits(0)
        .says("only the machine was looked at");
}

/// Whatever is not ok, as `severity check node`, sorted.
fn troubles(cluster: &Cluster, code: i32) -> Vec<String> {
    let outcome = cluster.run(["doctor", "--json"]).exits(code);
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|e| panic!("{e}: {outcome}"));
    assert_eq!(report["healthy"], code == 0);
    let checks = report["checks"].as_array().expect("a list").iter();
    let mut found: Vec<String> = checks
        .filter(|check| check["severity"] != "ok")
        .map(|check| {
            let text = |key: &str| check[key].as_str().unwrap_or_default();
            assert!(!text("fix").is_empty(), "{check}");
            format!("{} {} {}", text("severity"), text("check"), text("node"))
        })
        .collect();
    found.sort();
    found
}
