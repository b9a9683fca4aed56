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
