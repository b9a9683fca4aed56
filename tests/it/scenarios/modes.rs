//! The three connection modes: what each promises, and the way from one to the next.

use std::process::Command;
use std::thread::JoinHandle;

use crate::cluster::{Cluster, Login, Outcome, docker, drivers, eventually, services};

#[test]
fn each_mode_keeps_its_promises_and_the_data() {
    let Some(cluster) = Cluster::new("modes") else {
        return;
    };
    cluster.up(1);
    cluster.writes("pool", "a: session");
    pgbench_tables(&cluster);
    clients_of_all_kinds(&cluster, "session");
    a_session_is_ones_own(&cluster);
    only_the_right_password_opens(&cluster, "authentication failed");
    // PROFILE=medium has room for 219: two hundred and more get in, the others an error, and nobody silence.
    let crowd = cluster.login("pool").crowd(240);
    let refused: usize = crowd.refused.values().sum();
    assert_eq!((crowd.hung, crowd.served + refused), (0, 240), "{crowd:?}");
    assert!(crowd.served >= 200, "{crowd:?}");
    let says_why = |why: &String| why.contains("too many clients");
    assert!(crowd.refused.keys().all(says_why), "{crowd:?}");
    let nodes = cluster.container("postgres-master");

    // A replica leaves while the mode changes.
    cluster.up(2);
    cluster.settings([("CONNECTION_MODE", "transaction")]);
    let scaled = cluster.run(["scale", "1", "--json"]).exits(0);
    assert!(scaled.stdout.contains("\"pool_restarted\": true"), "{scaled}");

    for mode in ["transaction", "statement"] {
        changes_to(&cluster, mode);
        cluster.writes("pool", &format!("b: {mode}"));
        clients_of_all_kinds(&cluster, mode);
        a_session_is_shared(&cluster);
        only_the_right_password_opens(&cluster, "SASL authentication failed");
        let log = cluster.log("pgbouncer");
        assert!(log.contains("process up") && !log.contains("admin123"), "{log}");
        let crowd = cluster.login("pool").crowd(200);
        assert_eq!((crowd.served, crowd.hung), (200, 0), "{crowd:?}");
    }
    let mut connection = cluster.login("pool").connect().expect("a connection");
    let refusal = connection.ask("BEGIN").unwrap_err();
    assert!(refusal.contains("transaction blocks not allowed"), "{refusal}");
    // As PgBouncer sees it, one string is one statement.
    cluster.sql("pool", "BEGIN; SELECT 1; COMMIT");

    cluster.up(2);
    changes_to(&cluster, "session");
    a_session_is_ones_own(&cluster);
    cluster.reads_everywhere(1, &["a: session", "b: statement", "b: transaction"]);
    assert_eq!(nodes, cluster.container("postgres-master"), "no node was touched");
    it_is_said_what_keeps_clients_in_session_mode(&cluster);
}

/// Nothing of the mode before is left, and the port has gone over.
#[track_caller]
fn changes_to(cluster: &Cluster, mode: &str) {
    cluster.run(["up", "--replicas", "1", "--mode", mode]).exits(0);

    let (mut wanted, entry) = match mode {
        "session" => (services(1), "pgpool-loadbalancer"),
        _ => (services(1), "pgbouncer"),
    };
    if entry == "pgbouncer" {
        wanted.insert(0, entry.to_owned());
    }
    assert_eq!(cluster.services(), wanted);
    cluster.replicates_again_to(1);
    for service in wanted.iter().filter(|service| service.starts_with("pg")) {
        let published = docker(["port", &cluster.container(service).id]);
        let port = cluster.setting("PGPOOL_PORT");
        let expected = match service == entry {
            true => format!("5432/tcp -> 127.0.0.1:{port}"),
            false => String::new(),
        };
        assert_eq!(published, expected, "{service} in mode {mode}");
    }
    eventually("status tells a healthy cluster in this mode", 30, true, || {
        let status = cluster.run(["status", "--json"]);
        status.code == Some(0) && status.stdout.contains(&format!("\"mode\": \"{mode}\""))
    });
    let again = cluster.run(["up", "--dry-run"]).exits(0);
    again.says("nothing to do");
}

/// pgbench with each protocol, psycopg and asyncpg.
#[track_caller]
fn clients_of_all_kinds(cluster: &Cluster, mode: &str) {
    let entry = match mode {
        "session" => "pgpool-loadbalancer",
        _ => "pgbouncer",
    };
    for protocol in ["simple", "extended", "prepared"] {
        let read = pgbench(cluster, entry, &["-S", "-t", "25", "-M", protocol]);
        read.exits(0).says("number of failed transactions: 0 ");
        let write = pgbench(cluster, entry, &["-N", "-t", "5", "-M", protocol]);
        match mode {
            "statement" => write.says("transaction blocks not allowed"),
            _ => write.exits(0).says("number of failed transactions: 0 "),
        };
    }
    drivers(&cluster.login("pool"), mode)
        .exits(0)
        .says("both drivers work");
}

fn pgbench_tables(cluster: &Cluster) {
    let id = cluster.container("postgres-master").id;
    let (user, database) = (cluster.setting("POSTGRES_USER"), cluster.setting("POSTGRES_DB"));
    docker([
        "exec",
        &id,
        "pgbench",
        "-iq",
        "-U",
        &user,
        "-h",
        "/run/postgresql",
        &database,
    ]);
}

/// pgbench with four clients, from inside the network.
fn pgbench(cluster: &Cluster, entry: &str, options: &[&str]) -> Outcome {
    let login = cluster.login("pool");
    let target = format!("host={entry} user={} dbname={}", login.user, login.database);
    let id = cluster.container("postgres-master").id;
    let mut command = Command::new("docker");
    command.args([
        "exec",
        "--env=PGPASSWORD",
        &id,
        "pgbench",
        "-n",
        "-c",
        "4",
        "-j",
        "2",
    ]);
    command.args(options).arg(target);
    Outcome::of(command.env("PGPASSWORD", login.password.unwrap_or_default()))
}

/// Occupies the server connections that are there, each with a statement that lasts until the end.
struct Occupied {
    _lock: crate::cluster::Connection,
    clients: Vec<JoinHandle<Result<String, String>>>,
}

impl Occupied {
    fn by(count: usize, cluster: &Cluster) -> Occupied {
        let mut lock = cluster.login("master").connect().expect("a connection");
        lock.ask("SELECT pg_advisory_lock(42)")
            .expect("nobody else has it");
        let client = |login: Login| move || login.ask("SELECT pg_advisory_xact_lock(42)");
        let clients = (0..count)
            .map(|_| std::thread::spawn(client(cluster.login("pool"))))
            .collect();
        eventually("all wait for the lock", 20, count.to_string(), || {
            lock.ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
                .expect("an answer")
        });
        Occupied { _lock: lock, clients }
    }

    fn ends(self) {
        drop(self._lock);
        for client in self.clients {
            client.join().expect("no panic").expect("it got the lock");
        }
    }
}

/// Temporary tables and settings stay with the client, whatever the others do.
#[track_caller]
fn a_session_is_ones_own(cluster: &Cluster) {
    let mut mine = cluster.login("pool").connect().expect("a connection");
    mine.ask("CREATE TEMPORARY TABLE mine (a int)").expect("created");
    mine.ask("SET work_mem = '77MB'").expect("set");
    let others = Occupied::by(8, cluster);
    assert_eq!(mine.ask("SELECT count(*) FROM mine").as_deref(), Ok("0"));
    assert_eq!(mine.ask("SHOW work_mem").as_deref(), Ok("77MB"));
    others.ends();
    drop(mine);
    let others = cluster.login("pool").crowd(20);
    assert_eq!(others.served, 20, "{others:?}");
    assert_ne!(cluster.sql("pool", "SHOW work_mem"), "77MB", "it leaks");
}

/// The next statement of a client runs on another connection when its last one is taken.
#[track_caller]
fn a_session_is_shared(cluster: &Cluster) {
    let mut mine = cluster.login("pool").connect().expect("a connection");
    mine.ask("CREATE TEMPORARY TABLE mine (a int)").expect("created");
    mine.ask("SET work_mem = '77MB'").expect("set");
    let others = Occupied::by(8, cluster);
    let lost = mine.ask("SELECT count(*) FROM mine");
    assert!(
        lost.is_err_and(|error| error.contains("does not exist")),
        "a temporary table stayed"
    );
    assert_ne!(
        mine.ask("SHOW work_mem").as_deref(),
        Ok("77MB"),
        "a setting stayed"
    );
    others.ends();
}

/// While the pool has connections of a right login at hand.
#[track_caller]
fn only_the_right_password_opens(cluster: &Cluster, refusal: &str) {
    let right = cluster.login("pool");
    let mut kept = right.connect().expect("the right password opens");
    for _ in 0..2 {
        assert_eq!(right.ask("SELECT 1").as_deref(), Ok("1"));
        for wrong in [Some("wrong"), Some("admin123 "), Some(""), None] {
            let told = right.clone().password(wrong).connect().err();
            let told = told.unwrap_or_else(|| panic!("{wrong:?} opens"));
            assert!(
                told.contains("password") || told.contains(refusal),
                "{wrong:?}: {told}"
            );
        }
        for nobody in ["postgres", "nobody", "pgbouncer", "replication_user"] {
            let login = right.clone().user(nobody);
            assert!(login.connect().is_err(), "`{nobody}` gets in");
        }
    }
    assert!(
        right.clone().database("pgbouncer").connect().is_err(),
        "the console is open"
    );
    assert_eq!(kept.ask("SELECT 1").as_deref(), Ok("1"));
}

#[track_caller]
fn it_is_said_what_keeps_clients_in_session_mode(cluster: &Cluster) {
    let check = || cluster.run(["mode", "check", "--json", "--for", "1"]).exits(0);
    check()
        .says("\"recommended\": \"session\"")
        .says("everything works there");
    let connections: Vec<_> = (0..115)
        .map(|_| cluster.login("pool").connect().expect("a connection"))
        .collect();
    check()
        .says("\"recommended\": \"transaction\"")
        .says("clients are connected");
    let with = |sql: &str| {
        let mut connection = cluster.login("pool").connect().expect("a connection");
        connection.ask(sql).expect(sql);
        connection
    };
    let needy = [
        "LISTEN news",
        "SET work_mem = '77MB'",
        "CREATE TEMPORARY TABLE scratch (a int)",
        "SELECT pg_advisory_lock(43)",
    ]
    .map(with);
    let told = check().says("\"recommended\": \"session\"");
    let told = told
        .says("sessions that LISTEN: 1")
        .says("temporary tables in use: 1");
    told.says("idle sessions with an advisory lock: 1")
        .says("sessions with a SET of their own: 1");
    drop((connections, needy));
}
