//! A new image or definition reaches a cluster that serves one node at a time.

use std::fs;

use crate::cluster::{Cluster, eventually};
use crate::ledger::Load;

#[test]
fn a_new_image_reaches_one_node_at_a_time_under_load() {
    let Some(cluster) = Cluster::new("rolling") else {
        return;
    };
    cluster.up(2);
    let before = cluster.containers();

    // A replica that does not come back stops the roll: the others go on with what they have.
    let broken = "services: {postgres-slave1: {entrypoint: [sh, -c, exit 78]}}\n";
    cluster.write("compose.override.yaml", broken);
    let stopped = cluster.run(["up", "--timeout", "60"]).exits(3);
    stopped
        .says("slave-1")
        .says("postgres-slave2, postgres-master: left as they were");
    let now = cluster.containers();
    for service in ["postgres-slave2", "postgres-master", "pgpool-loadbalancer"] {
        assert_eq!(now[service], before[service], "{service}");
    }
    cluster.writes("pool", "while a replica is away");
    fs::remove_file(cluster.folder.join("compose.override.yaml")).expect("it is there");
    cluster.run(["up"]).exits(0);
    for service in ["postgres-slave2", "postgres-master", "pgpool-loadbalancer"] {
        assert_eq!(cluster.container(service), before[service], "{service}");
    }

    // As the image of now was built, so that only the packages are news.
    cluster.has_the_downloads();

    // A package that there is not: the build fails, and nothing is touched.
    cluster.settings([("EXTRA_PACKAGES", "postgresql-17-nonsense")]);
    let before = cluster.containers();
    let configuration = cluster.sql("master", "SELECT sum(length(setting)) FROM pg_file_settings");
    let refused = cluster.run(["up"]).exits(2);
    refused.says("EXTRA_PACKAGES: Debian has no package `postgresql-17-nonsense`");
    assert_eq!(cluster.containers(), before);
    let now = cluster.sql("master", "SELECT sum(length(setting)) FROM pg_file_settings");
    assert_eq!(now, configuration);

    // The extension needs a package, a library at the start, and a statement.
    cluster.settings([
        ("EXTRA_PACKAGES", "postgresql-17-cron"),
        ("EXTENSIONS", "vector,timescaledb,vectorscale,pg_cron"),
    ]);
    let ledger = cluster.ledger(Load::default());
    ledger.goes_on(20, 30);
    let events = cluster.watch_starts_and_exits();

    let up = cluster.run(["up", "--timeout", "300"]).exits(0);

    ledger.goes_on(20, 30);
    let report = ledger.close();
    let expected: Vec<String> = ["postgres-slave1", "postgres-slave2", "postgres-master"]
        .iter()
        .flat_map(|service| [format!("{service} die"), format!("{service} start")])
        .collect();
    assert_eq!(events.so_far(), expected);
    up.says("replace postgres-slave1  (its image changed)")
        .says("replace postgres-master  (its image changed)");
    let verdict = cluster.audit(&report, 2);
    assert!(verdict.is_clean(), "{verdict:?}");
    cluster.replicates_to(2);
    for place in ["master", "slave-1", "slave-2", "pool"] {
        let version = "SELECT extname FROM pg_extension WHERE extname = 'pg_cron'";
        eventually(place, 30, "pg_cron".to_owned(), || {
            cluster.try_sql(place, version)
        });
    }
    cluster.sql(
        "master",
        "SELECT cron.schedule('count', '1 second', 'CREATE TABLE IF NOT EXISTS public.ran (at int)')",
    );
    eventually(
        "the job ran, and its table is on the replicas",
        60,
        "0".to_owned(),
        || cluster.try_sql("slave-2", "SELECT count(*) FROM ran"),
    );
}
