//! The query cache serves whom it should, and nobody for longer than it should.

use serde_json::Value;

use crate::cluster::{Cluster, eventually};

const HINTED: &str = "/*FORCE QUERY CACHE*/ SELECT v FROM t";

#[test]
fn results_are_kept_for_those_who_ask_and_no_longer_than_right() {
    let Some(cluster) = Cluster::new("cache") else {
        return;
    };
    // So long that it plays no part but where it is shortened.
    cluster.settings([("QUERY_CACHE", "hint"), ("QUERY_CACHE_TTL", "600")]);
    let warned = cluster.up(1);
    assert!(
        warned
            .stderr
            .contains("QUERY_CACHE=hint: a client that sends several"),
        "{warned}"
    );
    cluster.sql(
        "master",
        "CREATE TABLE t (v text); INSERT INTO t VALUES ('1'); CREATE ROLE bob LOGIN PASSWORD 'bob'",
    );
    cluster.sql("master", "CREATE DATABASE other");
    let other = cluster.login("master").database("other");
    other
        .ask("CREATE TABLE t (v text); INSERT INTO t VALUES ('of another database')")
        .expect("the other database");
    sees(&cluster, "1");

    // A plain query is never kept, one with the hint is; what it cannot see, it does not see.
    for (query, expected) in [("SELECT v FROM t", "2"), (HINTED, "1")] {
        assert_eq!(cluster.sql("pool", query), "1");
        write_behind(&cluster, "2");
        assert_eq!(cluster.sql("pool", query), expected, "{query}");
        write_behind(&cluster, "1");
    }
    write_behind(&cluster, "2");
    let differs = cluster.run(["cache", "verify", "SELECT v FROM t"]).exits(3);
    assert!(differs.stdout.starts_with("the cache: 1 rows"), "{differs}");
    differs.says("served: 1").says("master: 2");

    // It is kept for that user in that database.
    let bobs = cluster
        .login("pool")
        .user("bob")
        .password(Some("bob"))
        .ask(HINTED);
    assert_eq!(bobs, Err("42501: permission denied for table t".to_owned()));
    let others = cluster.login("pool").database("other").ask(HINTED);
    assert_eq!(others.as_deref(), Ok("of another database"));

    cluster.run(["cache", "flush"]).exits(0);
    assert_eq!(cluster.sql("pool", HINTED), "2");
    cluster
        .run(["cache", "verify", HINTED])
        .exits(0)
        .says("the cache: 1 rows")
        .says("the master says the same");

    // A write through the pool drops it; one that is taken back leaves nothing behind.
    cluster.sql("pool", "UPDATE t SET v = '3'");
    sees(&cluster, "3");
    assert_eq!(cluster.sql("pool", HINTED), "3");
    let mut session = cluster.login("pool").connect().expect("a session");
    for (statement, expected) in [
        ("BEGIN", ""),
        ("UPDATE t SET v = 'never'", ""),
        (HINTED, "never"),
        ("ROLLBACK", ""),
        (HINTED, "3"),
    ] {
        assert_eq!(session.ask(statement).as_deref(), Ok(expected), "{statement}");
    }
    assert_eq!(cluster.sql("pool", HINTED), "3");
    cluster
        .run(["cache", "verify", "UPDATE t SET v = 'x'"])
        .exits(2)
        .says("the query writes");
    cluster
        .run(["cache", "verify", "SELECT nowhere"])
        .exits(2)
        .says("the query is refused");
    assert_eq!(cluster.sql("master", "SELECT v FROM t"), "3");

    says(&cluster, "cache: hint, for 600 s;");
    eventually("status counts the hits", 30, true, || {
        let status = cluster.run(["status", "--json"]).stdout;
        let status: Value = serde_json::from_str(&status).expect("JSON");
        status["cache"]["mode"] == "hint" && status["cache"]["hits"].as_u64() >= Some(4)
    });

    everything_is_kept_and_ends(&cluster);
}

/// The same cluster, where every query is kept for a short time.
fn everything_is_kept_and_ends(cluster: &Cluster) {
    cluster.settings([("QUERY_CACHE", "all"), ("QUERY_CACHE_TTL", "3")]);
    cluster.sql(
        "master",
        "CREATE FUNCTION log_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER it AFTER UPDATE ON t EXECUTE FUNCTION log_it();
         CREATE TABLE key (id int PRIMARY KEY);
         CREATE TABLE child (id int REFERENCES key ON DELETE CASCADE)",
    );
    let warned = cluster.up(1);
    for warning in [
        "for up to 3 s: postgresdb: triggers may write to other tables unseen: t",
        "foreign keys cascade to it unseen: child",
    ] {
        assert!(warned.stderr.contains(warning), "{warning}: {warned}");
    }
    says(cluster, "triggers may write");
    eventually("a plain query is kept, and then no more", 60, true, || {
        let before = cluster.sql("pool", "SELECT v FROM t");
        let value = if before == "4" { "5" } else { "4" };
        write_behind(cluster, value);
        let kept = cluster.sql("pool", "SELECT v FROM t") == before;
        eventually("its time ends", 15, value.to_owned(), || {
            cluster.sql("pool", "SELECT v FROM t")
        });
        kept
    });

    // No time is short enough for this.
    cluster.sql("master", "CREATE SCHEMA tenant; CREATE TABLE tenant.t (v text)");
    let before = cluster.containers();
    cluster.run(["up"]).exits(2).says("t in public, tenant");
    assert_eq!(cluster.containers(), before);
    says(cluster, "t in public, tenant");
}

/// `status` says so; a machine with much to do may take it longer than it waits for a server.
fn says(cluster: &Cluster, text: &str) {
    eventually(text, 30, true, || cluster.run(["status"]).output().contains(text));
}

/// Changes it where the pool cannot see it, and waits until the replica has it.
fn write_behind(cluster: &Cluster, value: &str) {
    cluster.sql("master", &format!("UPDATE t SET v = '{value}'"));
    sees(cluster, value);
}

fn sees(cluster: &Cluster, value: &str) {
    eventually("the replica has it", 15, value.to_owned(), || {
        cluster.try_sql("slave-1", "SELECT v FROM t")
    });
}
