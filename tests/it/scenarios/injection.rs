//! Every name that a user can choose is written as SQL and as shell: none of it is run.

use std::fs;
use std::process::Command;

use crate::cluster::{Cluster, Outcome, docker};

/// What each of them would make, were it run.
const ROLE: &str = "intruder";
const FILE: &str = "pwned";

#[test]
fn no_name_is_run_as_sql_or_as_shell() {
    let folder = format!("f; touch {FILE} $(touch {FILE}) `touch {FILE}` 'q\" #");
    let Some(cluster) = Cluster::new(&folder) else {
        return;
    };
    let sql = format!("; CREATE ROLE {ROLE}; --");
    let admin = format!("a'{sql} $(touch {FILE})");
    let database = format!("d\"{sql} `touch {FILE}`");
    cluster.settings([
        ("POSTGRES_USER", admin.as_str()),
        ("POSTGRES_DB", &database),
        ("REPLICATION_USER", &format!("r\\'{sql} ;touch {FILE}")),
        ("POSTGRES_PASSWORD", &format!("'{sql} $(touch {FILE}) \" \\")),
        ("REPLICATION_PASSWORD", &format!("\"' {sql} | touch {FILE}")),
    ]);
    cluster.up(1);
    cluster.writes("pool", "kept");

    let user = format!("u\"'{sql} $(touch {FILE})");
    let own = format!("o'\"{sql} & touch {FILE}");
    cluster.run(["user", "add", &user, "--database", &own]).exits(0);
    cluster.run(["user", "passwd", &user]).exits(0);
    cluster.run(["user", "list"]).exits(0).says(&user);
    cluster
        .run(["psql", "--", "-d", &own, "-Atc", "SELECT current_database()"])
        .exits(0)
        .says(&own);
    cluster.run(["route", "SELECT 1"]).exits(0);
    cluster.run(["rotate", "replication"]).exits(0);
    cluster.run(["doctor"]).exits(0);
    let variables = cluster
        .run(["url", "--format", "env", "--with-password"])
        .exits(0)
        .stdout;
    let mut shell = Command::new("bash");
    shell.args([
        "-c",
        "eval \"$1\"; printf '%s' \"$PGDATABASE\"",
        "bash",
        &variables,
    ]);
    let evaluated = Outcome::of(shell.current_dir(&cluster.folder)).exits(0);
    assert_eq!(evaluated.stdout, database);
    cluster
        .run(["user", "drop", &user])
        .exits(1)
        .says("REASSIGN OWNED");
    cluster.run(["scale", "2"]).exits(0);
    cluster.run(["rebuild", "slave-1"]).exits(0);
    // What no command may take for a name, none takes for an order.
    for words in [
        ["stop", "slave-1; touch pwned"],
        ["logs", "$(touch pwned)"],
        ["rebuild", "slave-1'; --"],
    ] {
        cluster.run(words).exits(2);
    }

    let roles = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{ROLE}'");
    assert_eq!(cluster.sql("master", &roles), "0");
    cluster.reads_everywhere(2, &["kept"]);
    for service in cluster.services() {
        let look = format!(
            "find / -xdev -name {FILE} -not -path '/proc/*' 2>/dev/null; ls -d /node/{FILE} 2>/dev/null || true"
        );
        let found = docker(["exec", &cluster.container(&service).id, "bash", "-c", &look]);
        assert_eq!(found, "", "in {service}");
    }
    let parent = cluster.folder.parent().expect("it has one");
    for place in [cluster.folder.as_path(), parent] {
        for entry in fs::read_dir(place).expect("a folder") {
            assert_ne!(
                entry.expect("an entry").file_name(),
                FILE,
                "in {}",
                place.display()
            );
        }
    }
}
