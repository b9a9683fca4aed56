//! Replicas that come and go under load: who notices, and what is left behind.

use crate::cluster::{Cluster, Connection, Work, Workers, eventually, services};

/// In sessions that end now and then: session mode waits for them, so that nobody is cut.
#[test]
fn nobody_is_dropped_in_session_mode() {
    scales_under_load("session", 20, true);
}

/// Sessions that never end: PgBouncer gives each transaction whatever connection is there.
#[test]
fn nobody_is_dropped_in_transaction_mode() {
    scales_under_load("transaction", usize::MAX, true);
}

#[test]
fn nobody_is_dropped_in_statement_mode() {
    scales_under_load("statement", usize::MAX, false);
}

fn scales_under_load(mode: &str, a_session: usize, in_blocks: bool) {
    let Some(cluster) = Cluster::new(&format!("elastic {mode}")) else {
        return;
    };
    cluster.settings([("CONNECTION_MODE", mode)]);
    cluster.up(1);
    let untouched = ["postgres-master", "postgres-slave1", "pgpool-loadbalancer"];
    let before = untouched.map(|service| cluster.container(service));
    let work = Work {
        workers: 24,
        a_session,
        in_blocks,
    };
    let workers = Workers::start(&cluster, work);

    for replicas in [5, 1, 5, 1] {
        let outcome = cluster
            .run(["scale", &replicas.to_string(), "--json", "--timeout", "240"])
            .exits(0);
        assert!(
            outcome
                .stdout
                .contains("\"sessions_cut\": 0,\n  \"pool_restarted\": false"),
            "{}",
            outcome.stdout
        );
        workers.go_on();
        assert_eq!(workers.failures(), [""; 0], "at {replicas} replicas");
        let mut wanted = services(replicas);
        if mode != "session" {
            wanted.insert(0, "pgbouncer".to_owned());
        }
        assert_eq!(
            cluster.services(),
            wanted,
            "no container is left, and none is missing"
        );
        // With every slot in use, and no other.
        eventually("all stream", 30, Cluster::healthy(replicas), || {
            cluster.replication()
        });
        if replicas == 5 {
            reads_reach(&cluster, "postgres-slave5");
        }
    }

    assert_eq!(workers.stop(), [""; 0]);
    assert_eq!(
        before,
        untouched.map(|service| cluster.container(service)),
        "they ran on"
    );
}

#[test]
fn nobody_is_dropped_when_a_replica_restarts() {
    restarts_under_load("session", 20);
}

#[test]
fn nobody_is_dropped_when_a_replica_restarts_behind_pgbouncer() {
    restarts_under_load("transaction", usize::MAX);
}

fn restarts_under_load(mode: &str, a_session: usize) {
    let Some(cluster) = Cluster::new(&format!("restarts {mode}")) else {
        return;
    };
    cluster.settings([("CONNECTION_MODE", mode)]);
    cluster.up(2);
    let work = Work {
        workers: 16,
        a_session,
        in_blocks: true,
    };
    let workers = Workers::start(&cluster, work);

    cluster
        .run(["restart", "slave-1", "--drain-timeout", "120", "--timeout", "240"])
        .exits(0);
    workers.go_on();
    assert_eq!(workers.failures(), [""; 0], "after a restart");
    reads_reach(&cluster, "postgres-slave1");
    cluster
        .run(["stop", "slave-2", "--drain-timeout", "120"])
        .exits(0);
    workers.go_on();
    assert_eq!(workers.failures(), [""; 0], "after a stop");
    cluster.run(["start", "slave-2", "--timeout", "240"]).exits(0);
    workers.go_on();
    reads_reach(&cluster, "postgres-slave2");

    assert_eq!(workers.stop(), [""; 0]);
    cluster.replicates_again_to(2);
}

/// Of the statements that the workers read with, some end there from now on.
#[track_caller]
fn reads_reach(cluster: &Cluster, host: &str) {
    let reads = || {
        let nodes = cluster.try_sql("pool", "SHOW POOL_NODES");
        let node = nodes.lines().find(|line| line.contains(host)).unwrap_or_default();
        let count = node.split('|').nth(8);
        count
            .and_then(|reads| reads.parse::<u64>().ok())
            .unwrap_or_default()
    };
    let before = reads();
    eventually("the replica reads", 60, true, || reads() > before);
}

/// A session that never ends is cut when its time is over: that is told, and nobody else notices.
#[test]
fn in_session_mode_it_is_told_how_many_were_cut() {
    let Some(cluster) = Cluster::new("cut") else {
        return;
    };
    cluster.up(2);
    let (mut sessions, mut readers) = (Vec::new(), Vec::new());
    // A process of the pool that has served nobody yet may know fewer nodes.
    eventually("both replicas read", 30, true, || {
        sessions = (0..12)
            .map(|_| cluster.login("pool").connect().expect("a session"))
            .collect();
        let ask = |session: &mut Connection| session.ask("SELECT current_setting('cluster_name')");
        readers = sessions
            .iter_mut()
            .map(|session| ask(session).expect("an answer"))
            .collect();
        ["slave1", "slave2"]
            .iter()
            .all(|replica| readers.contains(&replica.to_string()))
    });
    let doomed = readers.iter().filter(|reader| *reader == "slave1").count();

    let outcome = cluster
        .run(["scale", "--remove", "slave-1", "--drain-timeout", "2"])
        .exits(0);

    outcome
        .says(&format!("{doomed} session"))
        .says("cut")
        .says("removed: slave-1");
    for (session, reader) in sessions.iter_mut().zip(&readers) {
        let answer = session.ask("SELECT 1");
        assert_eq!(
            answer.is_ok(),
            reader != "slave1",
            "a session that read from {reader}: {answer:?}"
        );
    }
    assert_eq!(
        cluster.services(),
        ["pgpool-loadbalancer", "postgres-master", "postgres-slave2"]
    );
    // The gap stays until there are more again, and is filled with what is there.
    cluster.run(["up"]).exits(0);
    assert!(!cluster.services().contains(&"postgres-slave1".to_owned()));
    cluster.run(["scale", "2"]).exits(0).says("added: slave-1");
    cluster.replicates_to(2);
}

#[test]
fn scaling_says_what_it_cannot_do() {
    let Some(cluster) = Cluster::new("scale refused") else {
        return;
    };
    cluster.run(["scale", "2"]).exits(2).says("pgcluster up");
    cluster.run(["generate", "2"]).exits(0);
    cluster.append(
        "master/config/postgresql.conf",
        "synchronous_standby_names = 'ANY 2 (slave1, slave2)'",
    );
    cluster.up(2);
    let before = cluster.replication();

    cluster
        .run(["scale", "1"])
        .exits(2)
        .says("synchronous_standby_names")
        .says("keep as many replicas");
    cluster
        .run(["scale", "1", "--remove", "slave-7"])
        .exits(2)
        .says("slave-7");
    cluster.run(["scale", "101"]).exits(2).says("0 to 100");
    cluster.run(["rebuild", "master"]).exits(2).says("only a replica");
    cluster
        .run(["scale", "1", "--remove-volumes"])
        .exits(2)
        .says("--yes");

    assert_eq!(cluster.replication(), before);
    let again = cluster.run(["up", "--dry-run"]).exits(0);
    again.says("nothing to do");
}

/// What a copy of the files of a server that writes is worth.
#[test]
fn copied_replicas_are_whole() {
    let Some(cluster) = Cluster::new("copied") else {
        return;
    };
    cluster.up(1);
    cluster.sql("master", "CREATE EXTENSION amcheck");
    cluster.sql(
        "master",
        "CREATE TABLE big AS SELECT id, md5(id::text) AS text FROM generate_series(1, 300000) AS id",
    );
    cluster.sql("master", "CREATE INDEX ON big (text)");
    let workers = Workers::start(
        &cluster,
        Work {
            workers: 8,
            a_session: 20,
            in_blocks: true,
        },
    );

    let outcome = cluster.run(["scale", "3", "--clone", "copy"]).exits(0);

    assert!(!outcome.stderr.contains("not copied"), "{}", outcome.stderr);
    for service in ["postgres-slave2", "postgres-slave3"] {
        let log = cluster.log(service);
        assert!(!log.contains("cloning"), "{service} was to be copied:\n{log}");
    }
    assert_eq!(workers.stop(), [""; 0]);
    cluster.replicates_again_to(3);
    let sums = "SELECT (SELECT md5(string_agg(text, ',' ORDER BY id)) FROM big),
        (SELECT count(*) || md5(string_agg(worker || ':' || step, ',' ORDER BY worker, step)) FROM work)";
    let wanted = cluster.sql("master", sums);
    for place in ["slave-2", "slave-3"] {
        eventually(&format!("{place} has all rows"), 30, wanted.clone(), || {
            cluster.try_sql(place, sums)
        });
        for relation in ["big", "work"] {
            assert_eq!(
                cluster.sql(place, &format!("SELECT * FROM verify_heapam('{relation}')")),
                ""
            );
        }
        cluster.sql(place, "SELECT bt_index_check('big_text_idx', true)");
    }
    // Every block of every file, as it is on the disk.
    cluster.run(["stop", "slave-2"]).exits(0);
    let check = cluster.as_root("/usr/lib/postgresql/17/bin/pg_checksums --check -D slave-2/pgdata");
    assert!(check.contains("Bad checksums:  0"), "{check}");
}

/// What a replica had is kept, and only deleted when that is asked for.
#[test]
fn a_replica_is_rebuilt() {
    let Some(cluster) = Cluster::new("rebuild") else {
        return;
    };
    cluster.up(2);
    cluster.writes("pool", "a");

    cluster
        .run(["rebuild", "slave-1"])
        .exits(0)
        .says("kept: slave-1/pgdata.old");

    cluster.replicates_to(2);
    assert!(cluster.log("postgres-slave1").contains("cloned"));
    let before = cluster.replication();
    cluster
        .run(["rebuild", "slave-1"])
        .exits(3)
        .says("pgdata.old")
        .says("--remove-volumes");
    assert_eq!(
        cluster.replication(),
        before,
        "it was refused before anything was done"
    );
    // The server of one that is frozen must be gone before its data is moved.
    let server = cluster.container("postgres-slave1").id;
    cluster.docker_each("pause", "postgres-slave1");
    cluster
        .run([
            "rebuild",
            "slave-1",
            "--remove-volumes",
            "--yes",
            "--clone",
            "copy",
        ])
        .exits(0);
    cluster.replicates_to(2);
    assert!(!cluster.exists("slave-1/pgdata.old"));
    assert_eq!(cluster.container("postgres-slave1").id, server);
    assert_eq!(
        cluster
            .log("postgres-slave1")
            .matches("starting PostgreSQL")
            .count(),
        3
    );
    cluster.reads_everywhere(2, &["a"]);
}
