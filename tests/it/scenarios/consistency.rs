//! Each level of READ_CONSISTENCY shows what it promises, with a replica that is late.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::cluster::{Cluster, Connection, eventually};
use crate::ledger::{Load, Sees};

const READ: &str = "SELECT v FROM t";

#[test]
fn each_level_shows_what_it_promises() {
    let Some(cluster) = Cluster::new("consistency") else {
        return;
    };
    cluster.up(1);
    cluster.sql("master", "CREATE TABLE t (v int); INSERT INTO t VALUES (0)");
    shows(&cluster, "slave-1", "0");

    // Eventual: a write is read in its transaction, and later where the replica is late.
    let mut session = late(&cluster);
    assert_eq!(
        session
            .ask("BEGIN; UPDATE t SET v = 1; SELECT v FROM t; COMMIT")
            .as_deref(),
        Ok("1")
    );
    assert_eq!(session.ask(READ).as_deref(), Ok("0"));
    catches_up(&cluster, "1");

    // Session: whoever wrote reads it, and nobody else.
    cluster.settings([("READ_CONSISTENCY", "session")]);
    cluster.up(1);
    let mut session = late(&cluster);
    assert_eq!(session.ask("UPDATE t SET v = 2").as_deref(), Ok(""));
    assert_eq!(session.ask(READ).as_deref(), Ok("2"));
    assert_eq!(cluster.sql("pool", READ), "1");
    catches_up(&cluster, "2");

    // Strict: a commit ends when everyone can read it.
    cluster.settings([("READ_CONSISTENCY", "strict")]);
    cluster.up(1);
    assert_eq!(commits_wait_for(&cluster), "FIRST 1 (slave1)");
    let mut session = late(&cluster);
    std::thread::scope(|scope| {
        let write = scope.spawn(move || session.ask("UPDATE t SET v = 3"));
        waits(&cluster);
        assert!(!write.is_finished());
        assert_eq!(cluster.sql("pool", READ), "2");
        cluster.sql("slave-1", "SELECT pg_wal_replay_resume()");
        assert_eq!(write.join().expect("no panic").as_deref(), Ok(""));
        assert_eq!(cluster.sql("slave-1", READ), "3");
    });
    let mut writer = cluster.login("pool").connect().expect("a session");
    let mut reader = cluster.login("slave-1").connect().expect("a session");
    for value in 4..50 {
        writer
            .ask(&format!("UPDATE t SET v = {value}"))
            .expect("a commit");
        assert_eq!(reader.ask(READ), Ok(value.to_string()));
    }

    nobody_is_waited_for_in_vain(&cluster);

    cluster.settings([("READ_CONSISTENCY", "eventual")]);
    cluster.up(1);
    assert_eq!(commits_wait_for(&cluster), "");
    assert_eq!(cluster.sql("master", "SHOW synchronous_commit"), "on");
}

/// The same with many sessions at once, and a server that is killed meanwhile.
#[test]
fn each_level_keeps_its_promise_under_load() {
    let Some(cluster) = Cluster::new("consistent") else {
        return;
    };
    for (level, sees, victim) in [
        ("session", Sees::ItsOwn, "postgres-master"),
        ("strict", Sees::Everything, "postgres-slave1"),
    ] {
        cluster.settings([("READ_CONSISTENCY", level)]);
        cluster.up(2);
        let ledger = cluster.ledger(Load {
            sees,
            ..Load::default()
        });
        ledger.goes_on(200, 30);
        cluster.crash(victim);
        ledger.goes_on(200, 60);
        cluster.replicates_again_to(2);
        let report = ledger.close();
        let verdict = cluster.audit(&report, 2);
        assert!(verdict.is_clean(), "{level}: {verdict:?}");
    }
}

/// Where commits wait: a replica comes, dies, and is removed.
fn nobody_is_waited_for_in_vain(cluster: &Cluster) {
    let done = AtomicBool::new(false);
    let away = "SELECT string_agg(name, ',') FROM regexp_matches(current_setting('synchronous_standby_names'), 'slave\\d', 'g')
        AS listed (names), unnest(names) AS name
        WHERE name NOT IN (SELECT application_name FROM pg_stat_replication WHERE state = 'streaming')";
    std::thread::scope(|scope| {
        let (login, done) = (cluster.login("master"), &done);
        let watch = scope.spawn(move || {
            let mut master = login.connect().expect("a session");
            while !done.load(Ordering::Relaxed) {
                assert_eq!(
                    master.ask(away).as_deref(),
                    Ok(""),
                    "commits wait for one that does not stream"
                );
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let up = cluster.run(["up", "--replicas", "2"]);
        done.store(true, Ordering::Relaxed);
        watch.join().expect("nobody was waited for in vain");
        up.exits(0);
    });
    assert_eq!(commits_wait_for(cluster), "FIRST 2 (slave1, slave2)");

    cluster.docker_each("stop", "postgres-slave2");
    let login = cluster.login("master");
    std::thread::scope(|scope| {
        let write = scope.spawn(move || login.ask("UPDATE t SET v = 100"));
        waits(cluster);
        eventually("status names who holds up the commit", 30, true, || {
            let status = cluster.run(["status"]);
            status.code == Some(3) && status.output().contains("commits wait for slave-2 (1 now)")
        });
        cluster.up(1);
        assert_eq!(write.join().expect("no panic").as_deref(), Ok(""));
    });
    assert_eq!(commits_wait_for(cluster), "FIRST 1 (slave1)");
    cluster.replicates_to(1);
}

/// A session through the pool with the replica, which replays nothing from now on.
fn late(cluster: &Cluster) -> Connection {
    cluster.sql("slave-1", "SELECT pg_wal_replay_pause()");
    eventually("replay pauses", 15, "paused".to_owned(), || {
        cluster.sql("slave-1", "SELECT pg_get_wal_replay_pause_state()")
    });
    cluster.login("pool").connect().expect("a session")
}

fn catches_up(cluster: &Cluster, value: &str) {
    cluster.sql("slave-1", "SELECT pg_wal_replay_resume()");
    shows(cluster, "slave-1", value);
}

fn shows(cluster: &Cluster, place: &str, value: &str) {
    eventually("the replica shows it", 15, value.to_owned(), || {
        cluster.try_sql(place, READ)
    });
}

fn waits(cluster: &Cluster) {
    eventually("a commit waits for a replica", 15, "1".to_owned(), || {
        cluster.sql(
            "master",
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
        )
    });
}

fn commits_wait_for(cluster: &Cluster) -> String {
    cluster.sql("master", "SHOW synchronous_standby_names")
}
