//! `route` tells where a statement really goes, and executes nothing.

use serde_json::Value;

use crate::cluster::Cluster;

#[test]
fn route_tells_what_then_happens() {
    let Some(cluster) = Cluster::new("routing") else {
        return;
    };
    cluster.up(1);
    cluster.sql(
        "master",
        "CREATE TABLE t (v int); INSERT INTO t VALUES (1); CREATE UNLOGGED TABLE u (v int); INSERT INTO u VALUES (1);
         CREATE FUNCTION next_number() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    );
    cluster.reads_everywhere_of_t();

    // Each tells the node it runs on, and the pool has told it before.
    for (from, place, reason) in [
        ("FROM t", "slave1", "it reads only"),
        ("FROM t WHERE now() > '2000-01-01'", "slave1", "it reads only"),
        (
            "FROM t WHERE next_number() = 1",
            "master",
            "it calls next_number(), which is volatile",
        ),
        ("FROM t FOR UPDATE", "master", "it writes, locks"),
        ("FROM u", "master", "u is an unlogged table"),
        (
            "FROM pg_class LIMIT 1",
            "master",
            "it reads a system catalog, pg_class",
        ),
        (
            "FROM t /*NO LOAD BALANCE*/",
            "master",
            "its hint asks for the master",
        ),
    ] {
        let sql = format!("SELECT current_setting('cluster_name') {from}");
        let told = route(&cluster, &[&sql]);
        assert_eq!(
            nodes(&told),
            [place.replace("slave1", "slave-1")],
            "{sql}: {told}"
        );
        assert!(
            told["reason"].as_str().expect("text").starts_with(reason),
            "{told}"
        );
        assert_eq!(cluster.sql("pool", &sql), place, "{sql}");
    }
    let told = route(&cluster, &["SELECT next_number()"]);
    assert_eq!(told["evidence"], serde_json::json!(["next_number() is volatile"]));

    // A long one, of which the pool says only the beginning.
    let long = format!("SELECT '{}' FROM t", "ä".repeat(3000));
    assert_eq!(nodes(&route(&cluster, &[&long])), ["slave-1"]);

    // In a transaction, whatever came before counts.
    for (before, reason) in [
        (
            "UPDATE t SET v = 2",
            "an earlier statement of the transaction wrote",
        ),
        (
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "the transaction is SERIALIZABLE",
        ),
    ] {
        let told = route(&cluster, &["SELECT v FROM t", "--after", before]);
        assert_eq!(nodes(&told), ["master"], "{told}");
        assert!(
            told["reason"].as_str().expect("text").starts_with(reason),
            "{told}"
        );
    }
    let told = route(&cluster, &["SELECT v FROM t", "--after", "SELECT 1"]);
    assert_eq!(nodes(&told), ["slave-1"], "{told}");

    // Nothing of all this was done, and no log has it.
    for statement in [
        "DELETE FROM t",
        "SELECT 1; DELETE FROM t",
        "DROP TABLE t",
        "VACUUM t",
    ] {
        assert_eq!(nodes(&route(&cluster, &[statement])), ["master"], "{statement}");
    }
    route(&cluster, &["ALTER ROLE postgresadmin PASSWORD 'Hush'"]);
    assert_eq!(cluster.sql("master", "SELECT v FROM t"), "1");
    assert!(!cluster.log("pgpool-loadbalancer").contains("Hush"));
    cluster.sql("pool", "SELECT v FROM t");

    // What the server refuses is told as well.
    let refused = cluster.run(["route", "SELECT * FROM nowhere"]).exits(2);
    assert!(refused.stdout.starts_with("slave-1\n"), "{refused}");
    refused.says("the statement would fail there: relation \"nowhere\" does not exist");
}

fn route(cluster: &Cluster, words: &[&str]) -> Value {
    let told = cluster
        .run_words(&[&["route", "--json"], words].concat())
        .exits(0);
    serde_json::from_str(&told.stdout).unwrap_or_else(|error| panic!("{error}: {told}"))
}

fn nodes(told: &Value) -> Vec<&str> {
    let nodes = told["observed"]["nodes"].as_array().expect("a list");
    nodes.iter().map(|node| node.as_str().expect("a node")).collect()
}

impl Cluster {
    fn reads_everywhere_of_t(&self) {
        crate::cluster::eventually("the replica has the tables", 15, "1|1".to_owned(), || {
            self.try_sql("slave-1", "SELECT v, next_number() FROM t")
        });
    }
}
