//! `TLS=on`: who listens in hears nothing, and who answers in a server's place is found out.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pgcluster::certificates;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConnection, Stream};

use crate::cluster::{Cluster, docker, tls};

const NODES: [&str; 2] = ["postgres-master", "postgres-slave1"];
const PLACES: [&str; 3] = ["master", "slave-1", "pool"];

/// The authority of somebody else.
fn others() -> String {
    let made = certificates::renewed(&BTreeMap::new(), &BTreeMap::new(), now());
    made.expect("certificates").trusted
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("it is later")
}

/// The certificate that a server shows to a client that trusts `authority`, and asks for this address.
fn served(cluster: &Cluster, place: &str, address: &str, authority: &str) -> Result<Vec<u8>, String> {
    let port = cluster.login(place).port;
    let mut socket = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    let _ = socket.set_read_timeout(Some(Duration::from_secs(10)));
    // SSLRequest, and the answer: one letter.
    let mut answer = [0];
    socket
        .write_all(&[0, 0, 0, 8, 4, 210, 22, 47])
        .and_then(|()| socket.read_exact(&mut answer))
        .map_err(|error| error.to_string())?;
    if answer != *b"S" {
        return Err("speaks no TLS".to_owned());
    }
    let address = address.to_owned().try_into().expect("a name");
    let mut client = ClientConnection::new(Arc::new(tls(authority)), address).expect("a client");
    let mut stream = Stream::new(&mut client, &mut socket);
    // Nothing is said: the server waits for who we are.
    stream.flush().map_err(|error| error.to_string())?;
    let certificates = client.peer_certificates().unwrap_or_default();
    Ok(certificates.first().map(|der| der.to_vec()).unwrap_or_default())
}

/// The certificate in a server's file.
fn given(cluster: &Cluster, file: &str) -> Vec<u8> {
    let text = cluster.text(&format!(".pgcluster/secrets/{file}"));
    CertificateDer::from_pem_slice(text.as_bytes())
        .expect("a certificate")
        .to_vec()
}

/// Each endpoint lets in who trusts what `url` names, and nobody in the clear; between the servers all is encrypted.
#[track_caller]
fn is_secure(cluster: &Cluster) {
    let authority = cluster.text("pgcluster-ca.crt");
    let url = cluster.run(["url", "pool"]).exits(0).stdout;
    let file = cluster.folder.join("pgcluster-ca.crt");
    let file = file.to_str().expect("UTF-8").replace('/', "%2F");
    assert!(
        url.contains(&format!("?sslmode=verify-full&sslrootcert={file}\n")),
        "{url}"
    );
    for place in PLACES {
        let login = cluster.login(place);
        let ssl = "SELECT ssl, version >= 'TLSv1.2' FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        assert_eq!(login.ask(ssl).as_deref(), Ok("t|t"), "{place}");
        for address in ["127.0.0.1", "localhost"] {
            assert!(
                served(cluster, place, address, &authority).is_ok(),
                "{place} as {address}"
            );
        }
        let error = served(cluster, place, "192.0.2.1", &authority).expect_err("another's address");
        assert!(error.contains("certificate"), "{place}: {error}");
        let error = login
            .clone()
            .trusting(Some(&others()))
            .connect()
            .err()
            .unwrap_or_default();
        assert!(error.contains("invalid peer certificate"), "{place}: {error}");
        let error = login.clone().trusting(None).connect().err().unwrap_or_default();
        let says_why = ["no encryption", "client authentication failed", "SSL required"];
        assert!(says_why.iter().any(|why| error.contains(why)), "{place}: {error}");
    }
    let streams = "SELECT application_name, ssl FROM pg_stat_replication JOIN pg_stat_ssl USING (pid)";
    assert_eq!(cluster.sql("master", streams), "slave1|t");
    let in_clear = "SELECT count(*) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) \
                    WHERE client_addr IS NOT NULL AND NOT ssl";
    for place in ["master", "slave-1"] {
        assert_eq!(cluster.sql(place, in_clear), "0", "{place}");
    }
}

#[test]
fn every_connection_is_encrypted_and_certificates_are_renewed_in_time() {
    let Some(cluster) = Cluster::new("tls") else {
        return;
    };
    cluster.settings([("TLS", "on"), ("PROFILE", "small")]);
    cluster.up(1);
    cluster.writes("pool", "by TLS");
    // Nobody of the cluster's own tries it in the clear.
    for service in NODES {
        assert!(!cluster.log(service).contains("no encryption"), "{service}");
    }
    is_secure(&cluster);
    cluster.run(["status"]).exits(0).says("streaming");
    let key = cluster.text(".pgcluster/secrets/tls_master");
    let key = key.lines().nth(1).expect("the key's first line").to_owned();
    for container in cluster.containers().values() {
        assert!(!docker(["inspect", &container.id]).contains(&key));
    }

    // Nothing to do is nothing done.
    let (files, containers) = (cluster.files(), cluster.containers());
    cluster.run(["up"]).exits(0);
    assert_eq!(cluster.files().changed_since(&files), [""; 0]);
    assert_eq!(cluster.containers(), containers);

    // They were made 340 days ago: the servers have what ends in 25.
    let secrets = cluster.folder.join(".pgcluster/secrets");
    let authority = BTreeMap::from([(
        "tls_ca".to_owned(),
        std::fs::read(secrets.join("tls_ca")).expect("it is there"),
    )]);
    let names = |service: &str| {
        [service, "localhost", "127.0.0.1", "::1"]
            .map(str::to_owned)
            .to_vec()
    };
    let servers = BTreeMap::from([
        ("tls_master".to_owned(), names("postgres-master")),
        ("tls_slave1".to_owned(), names("postgres-slave1")),
        (
            "tls_pool".to_owned(),
            [names("pgpool-loadbalancer"), vec!["pgbouncer".to_owned()]].concat(),
        ),
    ]);
    let old = certificates::renewed(&authority, &servers, now() - Duration::from_secs(340 * 86_400));
    for (file, content) in old.expect("certificates").files {
        std::fs::write(secrets.join(file), content).expect("it can be written");
    }
    let files = ["tls_master", "tls_slave1", "tls_pool"];
    let ids = containers.values().map(|container| container.id.as_str());
    let restart: Vec<&str> = ["restart"].into_iter().chain(ids).collect();
    crate::cluster::Outcome::of(std::process::Command::new("docker").args(restart)).exits(0);
    let trusted = cluster.text("pgcluster-ca.crt");
    let shown = |place: &str| served(&cluster, place, "127.0.0.1", &trusted).unwrap_or_default();
    for (place, file) in PLACES.iter().zip(files) {
        crate::cluster::eventually("the old certificate is served", 30, given(&cluster, file), || {
            shown(place)
        });
    }
    let before = (files.map(|file| given(&cluster, file)), cluster.containers());

    let up = cluster.run(["up", "-v"]).exits(0);

    up.says("reload master  (its configuration files changed)");
    for (index, (place, file)) in PLACES.iter().zip(files).enumerate() {
        let now = given(&cluster, file);
        assert_ne!(now, before.0[index], "{file} is renewed");
        assert_eq!(shown(place), now, "{place} serves it");
    }
    assert_eq!(cluster.text("pgcluster-ca.crt"), trusted);
    // Servers read them; only Pgpool-II starts anew.
    for service in NODES {
        assert_eq!(cluster.container(service), before.1[service], "{service}");
    }
    is_secure(&cluster);
    cluster.reads_everywhere(1, &["by TLS"]);
}

#[test]
fn tls_is_switched_on_and_off_in_a_cluster_that_runs() {
    let Some(cluster) = Cluster::new("tls-later") else {
        return;
    };
    cluster.settings([("CONNECTION_MODE", "transaction"), ("PROFILE", "small")]);
    cluster.up(1);
    cluster.writes("pool", "in clear");
    assert_eq!(
        served(&cluster, "master", "127.0.0.1", &others()),
        Err("speaks no TLS".to_owned())
    );

    cluster.settings([("TLS", "on")]);
    cluster.run(["up"]).exits(0);
    is_secure(&cluster);
    cluster.writes("pool", "later by TLS");
    let authority = cluster.text("pgcluster-ca.crt");
    // One more replica is nobody else's business.
    let before = cluster.containers();
    cluster.run(["scale", "2"]).exits(0);
    for (service, container) in &before {
        assert_eq!(&cluster.container(service), container, "{service}");
    }
    cluster.reads_everywhere(2, &["in clear", "later by TLS"]);
    cluster.run(["scale", "1"]).exits(0);

    // Where the files are lost the servers cannot be asked any more: they get others.
    std::fs::remove_dir_all(cluster.folder.join(".pgcluster/secrets")).expect("it is there");
    cluster.run(["up"]).exits(0);
    is_secure(&cluster);
    assert_ne!(cluster.text("pgcluster-ca.crt"), authority);

    cluster.settings([("TLS", "off")]);
    cluster.run(["up"]).exits(0);
    for place in PLACES {
        let ssl = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        assert_eq!(cluster.sql(place, ssl), "f", "{place}");
    }
    cluster.run(["status"]).exits(0).says("streaming");
    cluster.reads_everywhere(1, &["in clear", "later by TLS"]);
}
