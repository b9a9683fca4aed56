//! Roles: made by SQL or by `pgcluster user`, they log in through the pool, and only with their password of now.

use crate::cluster::{Cluster, Outcome, eventually};

/// Everything that one of the files with passwords takes for more than a letter.
const AWKWARD: [(&str, &str); 3] = [
    ("o'br\"ien:\\ü", "p$x'\"\\#: {ü%"),
    ("#lead ", "SCRAM"),
    ("end", "x:y\\"),
];

/// How often a login is tried where another of the pool's hundred processes may answer it each time.
const TRIES: usize = 8;

#[test]
fn every_role_logs_in_with_its_password_of_now() {
    let Some(cluster) = Cluster::new("roles") else {
        return;
    };
    cluster.up(1);

    // Made by SQL: at once, and no wrong password profits from the connections of a right one.
    cluster.sql("master", "CREATE ROLE plain LOGIN PASSWORD 'first'");
    opens(&cluster, "plain", "first");
    refuses(&cluster, "plain", "wrong");
    // Changed by SQL: the new one opens, whatever the connections at hand were made with.
    cluster.sql("master", "ALTER ROLE plain PASSWORD 'second'");
    opens(&cluster, "plain", "second");

    // Of the roles of pgcluster, neither does the old one.
    for (name, password) in AWKWARD {
        cluster
            .fed(["user", "add", name, "--password-stdin"], password)
            .exits(0);
        opens(&cluster, name, password);
    }
    passwords_change_at_once(&cluster);
    let added = cluster.run(["user", "add", "app", "--database", "apps"]).exits(0);
    let password = added.stdout.trim().to_owned();
    assert_eq!(password.len(), 24, "{added}");
    let own = cluster
        .login("pool")
        .user("app")
        .password(Some(&password))
        .database("apps");
    assert_eq!(
        own.ask("CREATE TABLE t (); SELECT current_user").as_deref(),
        Ok("app")
    );

    refusals(&cluster);
    listed(&cluster, "plain", "yes");

    // In the other modes the pool must know the password: which those of pgcluster are in time.
    cluster.run(["up", "--mode", "transaction"]).exits(0);
    for (name, password) in AWKWARD {
        opens(&cluster, name, password);
    }
    listed(&cluster, "plain", "pgcluster user passwd plain");
    cluster
        .fed(["user", "add", "plain", "--password-stdin"], "wrong")
        .exits(2);
    refuses(&cluster, "plain", "second");
    cluster
        .fed(["user", "add", "plain", "--password-stdin"], "second\n")
        .exits(0);
    opens(&cluster, "plain", "second");
    listed(&cluster, "plain", "yes");
    passwords_change_at_once(&cluster);
    cluster.sql("master", "ALTER ROLE plain PASSWORD 'third'");
    listed(&cluster, "plain", "pgcluster user passwd plain");

    cluster.run(["user", "drop", "plain"]).exits(0);
    refuses(&cluster, "plain", "second");
    refuses(&cluster, "plain", "third");
    // What the pool knows outlives its container, and what is dropped does not come back.
    cluster.docker_each("restart", "pgpool-loadbalancer");
    cluster.docker_each("restart", "pgbouncer");
    cluster.run(["up"]).exits(0);
    refuses(&cluster, "plain", "third");
    opens(&cluster, AWKWARD[0].0, AWKWARD[0].1);
}

/// `user passwd`, and back again.
#[track_caller]
fn passwords_change_at_once(cluster: &Cluster) {
    let (name, password) = AWKWARD[0];
    for (old, new) in [(password, "other"), ("other", password)] {
        let mut open = cluster
            .login("master")
            .user(name)
            .password(Some(old))
            .connect()
            .expect("the master lets it in");
        cluster
            .fed(["user", "passwd", name, "--password-stdin"], new)
            .exits(0);
        refuses(cluster, name, old);
        opens(cluster, name, new);
        assert_eq!(
            open.ask("SELECT 1").as_deref(),
            Ok("1"),
            "an open session goes on"
        );
    }
}

#[track_caller]
fn refusals(cluster: &Cluster) {
    let named = |outcome: Outcome, text: &str| outcome.exits(2).says(text);
    for own in ["postgresadmin", "replication_user", "pgpool_check"] {
        named(cluster.run(["user", "drop", own]), "pgcluster rotate");
        named(cluster.run(["user", "passwd", own]), "pgcluster rotate");
    }
    named(cluster.run(["user", "add", "app"]), "pgcluster user passwd app");
    named(cluster.run(["user", "add", "a\tb"]), "control character");
    named(cluster.run(["user", "add", "pg_x"]), "pg_");
    named(
        cluster.run(["user", "add", "new", "--database", "apps"]),
        "owned by app",
    );
    named(cluster.run(["user", "passwd", "nobody"]), "no role nobody");
    named(cluster.run(["user", "drop", "nobody"]), "no role nobody");
    named(
        cluster.fed(["user", "add", "new", "--password-stdin"], ""),
        "empty",
    );
    cluster
        .run(["user", "drop", "app"])
        .exits(1)
        .says("owner of database apps")
        .says("REASSIGN OWNED BY \"app\"");
    opens(cluster, "plain", "second");
}

/// Through the pool, on whichever of its processes.
#[track_caller]
fn opens(cluster: &Cluster, user: &str, password: &str) {
    let login = cluster.login("pool").user(user).password(Some(password));
    // The pool logs in at every node, which a replica has to replay first.
    eventually("it logs in", 10, Ok(user.to_owned()), || {
        login.ask("SELECT current_user")
    });
    for _ in 0..TRIES {
        assert_eq!(login.ask("SELECT current_user").as_deref(), Ok(user));
    }
}

#[track_caller]
fn refuses(cluster: &Cluster, user: &str, password: &str) {
    let login = cluster.login("pool").user(user).password(Some(password));
    for _ in 0..TRIES {
        let refusal = login.ask("SELECT 1").expect_err("the pool lets it in");
        assert!(refusal.contains("authentication"), "{refusal}");
    }
}

/// `user list` says this of the role.
#[track_caller]
fn listed(cluster: &Cluster, role: &str, text: &str) {
    let list = cluster.run(["user", "list"]).exits(0);
    let line = list.stdout.lines().find(|line| line.starts_with(role));
    assert!(line.is_some_and(|line| line.contains(text)), "`{text}`: {list}");
}
