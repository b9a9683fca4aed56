//! `pgcluster rotate`: a password changes everywhere, nobody who is in is thrown out, and an interruption is repaired.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::cluster::{Cluster, Login, eventually};

const KEYS: [&str; 3] = ["POSTGRES_PASSWORD", "REPLICATION_PASSWORD", "POOL_PASSWORD"];
const OLD: [(&str, &str); 3] = [
    ("postgresadmin", "admin123"),
    ("replication_user", "password"),
    ("pgpool_check", "poolcheck123"),
];

#[test]
fn passwords_change_under_load_and_everywhere() {
    let Some(cluster) = Cluster::new("rotation") else {
        return;
    };
    cluster.up(2);
    cluster.sql("master", "CREATE TABLE ids (id bigint)");
    let before = cluster.containers();

    let failures = while_in_use(&cluster, || {
        let rotated = cluster.run(["rotate"]).exits(0);
        for key in KEYS {
            assert!(rotated.stdout.contains(&format!("{key}: changed")), "{rotated}");
        }
        learn(&cluster);
    });

    assert_eq!(
        failures,
        Vec::<String>::new(),
        "statements of open sessions that failed"
    );
    old_ones_are_refused(&cluster, &OLD);
    lasts(&cluster);
    assert_eq!(
        cluster.containers(),
        before,
        "no container was made anew or restarted"
    );
    for service in cluster.services() {
        let log = cluster.log(&service);
        for key in KEYS {
            assert!(!log.contains(&cluster.setting(key)), "{service} logs {key}");
        }
        assert!(!log.contains("SCRAM-SHA-256$"), "{service} logs a verifier");
    }

    // By hand: `up` says what to do before it changes anything, and that does it.
    let generation = || fs::read(cluster.folder.join(".pgcluster/secrets/generation")).expect("it is there");
    let first = generation();
    for ((key, word), (user, _)) in KEYS.into_iter().zip(["postgres", "replication", "pool"]).zip(OLD) {
        let old = cluster.setting(key);
        cluster.settings([(key, "by 'hand'")]);
        let fix = format!("pgcluster rotate {word} --from-env");
        cluster.run(["up"]).exits(3).says(key).says(&fix);
        cluster.run(["generate"]).exits(3).says(key);
        cluster.run(["rotate", word, "--from-env"]).exits(0);
        old_ones_are_refused(&cluster, &[(user, &old)]);
    }
    cluster
        .run(["rotate", "--from-env"])
        .exits(0)
        .says("nothing to do");
    lasts(&cluster);
    assert_eq!(cluster.containers(), before);
    assert_eq!(generation(), first);

    // By SQL, so that neither .env nor the containers have it.
    cluster.sql("master", "ALTER ROLE postgresadmin PASSWORD 'elsewhere'");
    cluster
        .run(["rotate", "pool"])
        .exits(3)
        .says("POSTGRES_PASSWORD: the cluster has neither the one of .env nor the one it was given last");
    let login = cluster.login("master").password(Some("elsewhere"));
    let back = login.ask("ALTER ROLE postgresadmin PASSWORD 'by ''hand'''");
    assert_eq!(back.as_deref(), Ok(""));

    // A container that stops and starts reads the new ones from its files.
    cluster.docker_each("restart", "pgpool-loadbalancer");
    cluster.docker_each("restart", "postgres-slave1");
    cluster.replicates_again_to(2);
    cluster.run(["down"]).exits(0);
    cluster.run(["up"]).exits(0);
    cluster.replicates_to(2);
}

#[test]
fn a_rotation_that_is_killed_is_repaired_by_the_next() {
    let Some(cluster) = Cluster::new("killed rotation") else {
        return;
    };
    cluster.up(1);
    let before = cluster.containers();

    // What is left after each step: the new password is in .env; in PostgreSQL too; and in the containers.
    for (word, key, user) in [
        ("postgres", "POSTGRES_PASSWORD", "postgresadmin"),
        ("replication", "REPLICATION_PASSWORD", "replication_user"),
        ("pool", "POOL_PASSWORD", "pgpool_check"),
    ] {
        for steps in [1, 2] {
            let admin = cluster.login("master");
            cluster.settings([(key, format!("half{steps}"))]);
            if steps == 2 {
                let sql = format!("ALTER ROLE {user} PASSWORD 'half{steps}'");
                admin.ask(&sql).expect("the superuser may");
            }
            let fix = format!("pgcluster rotate {word}");
            cluster.run(["up"]).exits(3).says(key).says(&fix);
            cluster.run(["rotate", word]).exits(0);
            learn(&cluster);
            lasts(&cluster);
            old_ones_are_refused(&cluster, &[(user, "half1"), (user, "half2")]);
        }
    }

    for milliseconds in [20, 60, 120, 200, 350, 600, 1000, 1600] {
        let rotate = cluster.start(&["rotate"]);
        rotate.kill_after(Duration::from_millis(milliseconds));
        learn(&cluster);
        let up = cluster.run(["up", "--dry-run"]);
        if up.code != Some(0) {
            up.exits(3).says("pgcluster rotate");
        }
        cluster.run(["rotate"]).exits(0);
        learn(&cluster);
        lasts(&cluster);
    }
    assert_eq!(
        cluster.containers(),
        before,
        "no container was made anew or restarted"
    );
    cluster.run(["up"]).exits(0);
    assert_eq!(cluster.containers(), before);
}

/// Every connection that is broken comes back by itself, and there is nothing left for `up` to do.
#[track_caller]
fn lasts(cluster: &Cluster) {
    let replicas = cluster.nodes().len() as u32 - 1;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE usename IN ('replication_user', 'pgpool_check')";
    cluster.sql("master", end);
    cluster.replicates_again_to(replicas);
    cluster.run(["up", "--dry-run"]).exits(0).says("nothing to do");
}

/// Each of these (role, password) at every endpoint, where connections of the right one are at hand.
#[track_caller]
fn old_ones_are_refused(cluster: &Cluster, old: &[(&str, &str)]) {
    for place in cluster.nodes().into_iter().chain(["pool".to_owned()]) {
        for (user, password) in old {
            let login = cluster.login(&place).user(user).password(Some(password));
            for _ in 0..6 {
                let refusal = login.ask("SELECT 1").expect_err("the old password opens");
                assert!(refusal.contains("authentication"), "{place}: {refusal}");
            }
        }
        cluster.sql(&place, "SELECT 1");
    }
}

/// Takes the passwords of now from .env.
fn learn(cluster: &Cluster) {
    let text = fs::read_to_string(cluster.folder.join(".env")).expect(".env is there");
    for key in KEYS {
        let mut values = text
            .lines()
            .filter_map(|line| line.strip_prefix(&format!("{key}=")));
        if let Some(value) = values.next() {
            let value = value.trim_matches(['"', '\'']).to_owned();
            cluster.settings([(key, value)]);
        }
    }
}

/// Runs `action` while sessions that were opened before write through the pool and read from it, from a node and
/// from a replica; gives back what failed.
fn while_in_use(cluster: &Cluster, action: impl FnOnce()) -> Vec<String> {
    let sessions = [
        ("pool", "INSERT INTO ids VALUES (1) RETURNING id"),
        ("pool", "SELECT count(*) FROM pg_class"),
        ("master", "INSERT INTO ids VALUES (2)"),
        ("slave-1", "SELECT count(*) FROM ids"),
    ];
    let logins: Vec<(Login, &str)> = sessions.map(|(place, sql)| (cluster.login(place), sql)).into();
    let (done, ready) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        let (done, ready) = (&done, &ready);
        let threads: Vec<_> = logins
            .into_iter()
            .map(|(login, sql)| {
                scope.spawn(move || {
                    let mut session = login.connect().expect("it opens before");
                    session.ask(sql).expect("it works before");
                    ready.fetch_add(1, Ordering::Relaxed);
                    let mut failures = Vec::new();
                    while !done.load(Ordering::Relaxed) && failures.is_empty() {
                        failures.extend(session.ask(sql).err());
                    }
                    failures
                })
            })
            .collect();
        eventually("all sessions work", 20, 4, || ready.load(Ordering::Relaxed));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(action));
        done.store(true, Ordering::Relaxed);
        let failures = threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("no panic"));
        let failures = failures.collect();
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        failures
    })
}
