//! Nobody gets in but who should.

use std::net::TcpStream;
use std::process::Command;

use crate::cluster::{Cluster, Outcome, docker};

#[test]
fn only_the_declared_ports_listen_and_only_for_this_machine() {
    let Some(cluster) = Cluster::new("ports") else {
        return;
    };
    cluster.up(1);
    let declared = [
        ("pgpool-loadbalancer", "PGPOOL_PORT"),
        ("postgres-master", "MASTER_PORT"),
        ("postgres-slave1", "SLAVE1_PORT"),
    ];
    let gateway = docker([
        "network",
        "inspect",
        "bridge",
        "--format",
        "{{(index .IPAM.Config 0).Gateway}}",
    ]);
    for (service, key) in declared {
        let port = cluster.setting(key);
        let each = "{{range $hosts}}{{$inside}} {{.HostIp}} {{.HostPort}};{{end}}";
        let format = format!("{{{{range $inside, $hosts := .NetworkSettings.Ports}}}}{each}{{{{end}}}}");
        let published = docker(["inspect", "--format", &format, &cluster.container(service).id]);
        assert_eq!(published, format!("5432/tcp 127.0.0.1 {port};"), "{service}");
        let elsewhere = TcpStream::connect(format!("{gateway}:{port}"));
        assert!(elsewhere.is_err(), "{service} listens on {gateway} too");
        assert!(
            TcpStream::connect(format!("127.0.0.1:{port}")).is_ok(),
            "{service}"
        );
    }
}

#[test]
fn only_the_right_password_opens_each_door() {
    let Some(cluster) = Cluster::new("doors") else {
        return;
    };
    cluster.up(1);
    for place in ["master", "slave-1", "pool"] {
        let right = cluster.login(place);
        // The pool has the connections of a right login at hand, before the wrong ones and in between.
        let mut kept = right.connect().expect("the right password opens");
        for _ in 0..3 {
            assert_eq!(right.ask("SELECT 1").as_deref(), Ok("1"));
            for wrong in [Some("wrong"), Some(""), Some("admin123 "), None] {
                let refusal = right.clone().password(wrong).connect().err();
                let refusal = refusal.unwrap_or_else(|| panic!("{place} lets {wrong:?} in"));
                let says_why = refusal.contains("password") || refusal.contains("authentication failed");
                assert!(says_why, "{place}, {wrong:?}: {refusal}");
            }
            for nobody in ["postgres", "root", "nobody", ""] {
                assert!(
                    right.clone().user(nobody).connect().is_err(),
                    "{place} lets `{nobody}` in"
                );
            }
        }
        assert_eq!(kept.ask("SELECT 1").as_deref(), Ok("1"));
    }
}

#[test]
fn only_the_replication_role_may_replicate() {
    let Some(cluster) = Cluster::new("replication role") else {
        return;
    };
    cluster.up(1);
    // From inside the network, as somebody who has taken over a replica's container could do it.
    let identify = |user: &str, password: &str| {
        let target = format!("host=postgres-master user={user} replication=true");
        let id = cluster.container("postgres-slave1").id;
        let mut psql = Command::new("docker");
        psql.args(["exec", "--user=nobody", "--env=PGPASSWORD", &id]);
        psql.args(["psql", "-XAtqw", &target, "-c", "IDENTIFY_SYSTEM"]);
        Outcome::of(psql.env("PGPASSWORD", password))
    };
    let (user, password) = (
        cluster.setting("REPLICATION_USER"),
        cluster.setting("REPLICATION_PASSWORD"),
    );
    identify(&user, &password).exits(0);

    identify(&user, "wrong")
        .exits(2)
        .says("password authentication failed");
    identify(&user, "").exits(2);
    let superuser = identify(
        &cluster.setting("POSTGRES_USER"),
        &cluster.setting("POSTGRES_PASSWORD"),
    );
    superuser
        .exits(2)
        .says("pg_hba.conf rejects replication connection");
    cluster.sql("master", "CREATE ROLE other LOGIN PASSWORD 'other'");
    identify("other", "other")
        .exits(2)
        .says("rejects replication connection");
}

/// What nobody but the superuser needs.
const TOO_MUCH: [&str; 14] = [
    "SELECT * FROM secret",
    "INSERT INTO secret VALUES ('x')",
    "DROP TABLE secret",
    "CREATE TABLE public.mine (i int)",
    "CREATE DATABASE mine",
    "CREATE ROLE mine",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "ALTER SYSTEM SET work_mem = '1MB'",
    "SELECT rolpassword FROM pg_authid",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_promote()",
    "SELECT pg_reload_conf()",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgresadmin'",
];

#[test]
fn the_roles_of_the_cluster_can_do_what_they_need_and_no_more() {
    let Some(cluster) = Cluster::new("rights") else {
        return;
    };
    cluster.settings([("POOL_USER", "checker"), ("POOL_PASSWORD", "checks")]);
    cluster.up(1);
    cluster.sql("master", "CREATE TABLE secret (t text)");
    let _superuser = cluster.login("master").connect().expect("a session to be ended");
    let slot = "SELECT pg_create_physical_replication_slot('mine'), pg_drop_replication_slot('mine')";
    let watch = "SELECT count(replay_lsn) FROM pg_stat_replication";
    let (replication, password) = (
        cluster.setting("REPLICATION_USER"),
        cluster.setting("REPLICATION_PASSWORD"),
    );
    for (user, password, needed, foreign) in [
        ("checker", "checks", watch, slot),
        (
            replication.as_str(),
            password.as_str(),
            slot,
            "SELECT pg_ls_waldir()",
        ),
    ] {
        let login = cluster.login("master").user(user).password(Some(password));
        assert!(login.ask(needed).is_ok(), "{user}: {:?}", login.ask(needed));
        for sql in TOO_MUCH.into_iter().chain([foreign]) {
            let answer = login.ask(sql);
            let refused = answer.as_ref().is_err_and(|why| why.starts_with("42501"));
            assert!(refused, "{user}: {sql}: {answer:?}");
        }
        let become_superuser = format!("SET ROLE \"{}\"", cluster.setting("POSTGRES_USER"));
        assert!(login.ask(&become_superuser).is_err(), "{user}");
    }
}

#[test]
fn containers_can_do_little_to_their_host() {
    let Some(cluster) = Cluster::new("hardened") else {
        return;
    };
    cluster.settings([("CONNECTION_MODE", "transaction")]);
    cluster.up(1);
    let format = "{{with .HostConfig}}{{.Privileged}} {{.ReadonlyRootfs}} {{.CapDrop}} {{.CapAdd}} {{.SecurityOpt}} \
                  {{.PidsLimit}} {{.PidMode}}{{.UTSMode}} {{.IpcMode}}{{end}}";
    for (service, container) in cluster.containers() {
        let granted = docker(["inspect", "--format", format, &container.id]).replace("CAP_", "");
        assert_eq!(
            granted,
            "false true [ALL] [CHOWN DAC_OVERRIDE FOWNER KILL SETGID SETUID] [no-new-privileges:true] 8192  private",
            "{service}"
        );
        let mounts = docker(["inspect", "--format", "{{json .Mounts}}", &container.id]);
        assert!(!mounts.contains("docker.sock"), "{service}: {mounts}");
        // Of the processes that clients talk to none is root's: PID 1 and its shell have nothing to do with them.
        let roots = "for p in /proc/[0-9]*; do [[ $(stat -c %u $p) == 0 ]] && tr '\\0' ' ' <$p/cmdline && echo; done; true";
        let of_root = docker(["exec", &container.id, "bash", "-c", roots]);
        let servers = ["postgres:", "pgpool:", "/usr/bin/pgbouncer", "bin/postgres"];
        let found = of_root
            .lines()
            .find(|line| servers.iter().any(|server| line.starts_with(server)));
        assert_eq!(found, None, "{service}");
    }
}
