//! What EXTENSIONS names is there, on every node, and can be added to later.

use crate::cluster::{Cluster, docker, eventually};

const PLACES: [&str; 4] = ["master", "slave-1", "slave-2", "pool"];

const NAMES: &str =
    "SELECT string_agg(extname, ' ' ORDER BY extname) FROM pg_extension WHERE extname <> 'plpgsql'";

/// Three chunks of a hypertable, and an index of pgvectorscale.
const TABLES: &str = "
    CREATE TABLE measured (at timestamptz NOT NULL, value int);
    SELECT create_hypertable('measured', by_range('at', interval '1 day'));
    INSERT INTO measured SELECT timestamptz '2026-01-01 12:00Z' + n * interval '1 day', n FROM generate_series(1, 3) n;
    CREATE TABLE items (id int PRIMARY KEY, embedding vector(3));
    INSERT INTO items SELECT n, ARRAY[n, 1, 0]::vector FROM generate_series(1, 300) n;
    CREATE INDEX items_near ON items USING diskann (embedding vector_l2_ops)";

#[test]
fn extensions_work_on_every_node_and_come_to_new_databases() {
    let Some(cluster) = Cluster::new("extensions") else {
        return;
    };
    cluster.settings([("EXTENSIONS_IN_TEMPLATE", "on")]);
    cluster.up(2);

    cluster.sql("master", TABLES);

    for place in PLACES {
        let chunks = "SELECT count(*), (SELECT sum(value) FROM measured)
            FROM timescaledb_information.chunks WHERE hypertable_name = 'measured'";
        eventually(&format!("{place} has the chunks"), 30, "3|6".to_owned(), || {
            cluster.try_sql(place, chunks)
        });
        // The index approximates, unless it looks at as many as there are.
        let near = "BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off;
            SET LOCAL diskann.query_search_list_size = 400; SET LOCAL diskann.query_rescore = 400;
            EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY embedding <-> '[7,1,0]' LIMIT 1;
            SELECT id FROM items ORDER BY embedding <-> '[7,1,0]' LIMIT 1; COMMIT";
        let answer = cluster.sql(place, near);
        assert!(
            answer.contains("Index Scan using items_near"),
            "{place}: {answer}"
        );
        assert_eq!(answer.lines().last(), Some("7"), "{place}");
    }
    assert_eq!(dumped(&cluster), ["timescaledb", "vector", "vectorscale"]);
    cluster.sql("master", "CREATE DATABASE later");
    let later = cluster.login("master").database("later");
    assert_eq!(later.ask(NAMES).as_deref(), Ok("timescaledb vector vectorscale"));
    let postgres = cluster.login("master").database("postgres");
    assert_eq!(postgres.ask(NAMES).as_deref(), Ok(""));

    // One that a server must load when it starts, added to a cluster that runs.
    let more = "vector,timescaledb,vectorscale,pg_stat_statements";
    cluster.settings([("EXTENSIONS", more)]);
    let planned = cluster.run(["up", "--dry-run"]).exits(0);
    let restart = "(a restart brings shared_preload_libraries into effect)";
    planned
        .says(&format!("restart slave-2  {restart}"))
        .says("create extension pg_stat_statements in postgresdb")
        .says("create extension pg_stat_statements in template1");

    cluster
        .run(["up"])
        .exits(0)
        .says(&format!("restart master  {restart}"));

    let all = "pg_stat_statements timescaledb vector vectorscale";
    for place in PLACES {
        eventually(&format!("{place} has all"), 30, all.to_owned(), || {
            cluster.try_sql(place, NAMES)
        });
        let counts = "SELECT count(*) > 0 FROM pg_stat_statements";
        eventually(&format!("{place} counts"), 30, "t".to_owned(), || {
            cluster.try_sql(place, counts)
        });
    }
    cluster.run(["up"]).exits(0);
    cluster.replicates_to(2);

    // One that the image lacks is refused before a server could be told to load it.
    cluster.settings([("EXTENSIONS", "vector,pg_cron")]);
    let (before, files) = (cluster.containers(), cluster.files());

    let refused = cluster.run(["up"]).exits(2);

    refused
        .says("EXTENSIONS: `pg_cron` is not in the image")
        .says("EXTRA_PACKAGES");
    assert_eq!(cluster.containers(), before);
    assert_eq!(cluster.files().changed_since(&files), [""; 0]);

    // What the list does not name any more stays.
    cluster.settings([("EXTENSIONS", "")]);
    cluster.run(["up"]).exits(0);
    assert_eq!(cluster.sql("master", NAMES), all);
}

/// What has the number of an object of PostgreSQL's own is in no dump; the image's ready database, and those made without it.
#[test]
fn a_dump_of_a_new_cluster_can_be_restored() {
    let Some(cluster) = Cluster::new("dump") else {
        return;
    };
    cluster.up(1);
    cluster.sql(
        "master",
        "CREATE TABLE items (near vector(3)); INSERT INTO items VALUES ('[1,2,3]');
         CREATE INDEX ON items USING diskann (near vector_cosine_ops)",
    );
    cluster.sql("master", "CREATE DATABASE restored TEMPLATE template0");
    assert_eq!(dumped(&cluster), ["timescaledb", "vector", "vectorscale"]);

    in_the_master(
        &cluster,
        "pg_dump $HERE postgresdb | psql -Xq -v ON_ERROR_STOP=1 $HERE restored >/dev/null",
    );

    let restored = cluster.login("master").database("restored");
    assert_eq!(restored.ask("SELECT near FROM items").as_deref(), Ok("[1,2,3]"));

    for (wanted, expected) in [("vector", &["vector"][..]), ("", &[])] {
        cluster.run(["down", "--remove-volumes", "--yes"]).exits(0);
        cluster.settings([("EXTENSIONS", wanted)]);
        cluster.up(1);
        assert_eq!(dumped(&cluster), expected);
        let databases = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database";
        let found = cluster.sql("master", databases);
        assert_eq!(found, "postgres postgresdb template0 template1");
    }
}

/// The extensions that a dump of the database makes.
fn dumped(cluster: &Cluster) -> Vec<String> {
    let dump = in_the_master(cluster, "pg_dump --schema-only $HERE postgresdb");
    let made = dump
        .lines()
        .filter_map(|line| line.strip_prefix("CREATE EXTENSION IF NOT EXISTS "));
    let names = made.filter_map(|line| line.split_whitespace().next());
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    names
}

/// A command in the master's container, in which $HERE leads to its server.
fn in_the_master(cluster: &Cluster, command: &str) -> String {
    let id = cluster.container("postgres-master").id;
    let login = format!("PGPASSWORD={}", cluster.setting("POSTGRES_PASSWORD"));
    let here = format!("HERE=-h 127.0.0.1 -U {}", cluster.setting("POSTGRES_USER"));
    let command = format!("set -o pipefail; {command}");
    docker(["exec", "-e", &login, "-e", &here, &id, "bash", "-c", &command])
}

/// Of a new cluster too, by the master itself: plain Compose starts it as well.
#[test]
fn a_new_cluster_without_the_extension_says_which_package_it_needs() {
    let Some(cluster) = Cluster::new("unknown extension") else {
        return;
    };
    cluster.settings([("EXTENSIONS", "pg_cron")]);
    cluster
        .run(["up", "--replicas", "0"])
        .exits(2)
        .says("EXTRA_PACKAGES");
    assert!(cluster.containers().is_empty());
    cluster.run(["generate", "0"]).exits(0);

    cluster.compose(["up", "--detach", "--no-build"]).exits(0);

    let refusal = "EXTENSIONS names pg_cron, which this image lacks";
    eventually("the master says so", 30, true, || {
        cluster.log("postgres-master").contains(refusal)
    });
    assert!(!cluster.exists("master/pgdata"));
}
