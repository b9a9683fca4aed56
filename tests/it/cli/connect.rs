//! `logs`, `psql`, `url`: whom they ask, and that no password gets where others see it.

use predicates::prelude::*;
use predicates::str::contains;

use super::fake_docker::FakeDocker;
use crate::folder::Folder;

const SECRET: &str = "s3cr:t\\";

/// Two replicas; the pool, the master and the first replica run.
fn cluster() -> (FakeDocker, Folder) {
    let docker = FakeDocker::working();
    docker.runs(&[
        ("pgpool-loadbalancer", 6432),
        ("postgres-master", 5000),
        ("postgres-slave1", 5001),
    ]);
    let env = format!("POSTGRES_PASSWORD=\"{}\"\n", SECRET.replace('\\', "\\\\"));
    (docker, Folder::generated(2, &env))
}

#[test]
fn an_unknown_node_is_refused_with_those_there_are() {
    for command in ["logs", "psql", "url"] {
        let (docker, folder) = cluster();
        docker
            .pgcluster(&folder, &[command, "slave-3"])
            .assert()
            .code(2)
            .stdout("")
            .stderr(contains("there is no node `slave-3`").and(contains("master, slave-1, slave-2, pool")));
        assert!(!docker.calls().iter().any(|words| words[0] == "compose"));
    }
}

#[test]
fn a_folder_without_a_cluster_is_left_alone() {
    for command in ["logs", "psql", "url"] {
        let folder = Folder::new();
        FakeDocker::working()
            .pgcluster(&folder, &[command])
            .assert()
            .code(2)
            .stderr(contains("there is no cluster in"));
        assert_eq!(folder.files_with(|_| true), [""; 0]);
    }
}

#[test]
fn logs_pass_on_what_was_asked_and_what_came_of_it() {
    let (docker, folder) = cluster();
    docker.says("compose-logs", "a line\n");
    docker.fails("compose-logs", 7, "bad time\n");
    docker
        .pgcluster(
            &folder,
            &["logs", "primary", "slave1", "-f", "--since", "10m", "--tail", "5"],
        )
        .assert()
        .code(7)
        .stdout("a line\n")
        .stderr("bad time\n");
    let call = docker.compose_call("logs");
    assert_eq!(
        call[call.len() - 7..],
        [
            "logs",
            "--follow",
            "--since=10m",
            "--tail=5",
            "--no-color",
            "postgres-master",
            "postgres-slave1"
        ]
    );
}

#[test]
fn logs_of_what_has_no_container_say_so() {
    let (docker, folder) = cluster();
    docker
        .pgcluster(&folder, &["logs", "slave-2"])
        .assert()
        .code(3)
        .stderr(contains("`pgcluster up` starts the cluster"));
}

#[test]
fn psql_of_this_machine_gets_a_private_password_file_that_is_gone_afterwards() {
    let (docker, folder) = cluster();
    docker.install("psql");
    docker.fails("-At", 3, "");
    docker
        .pgcluster(&folder, &["psql", "slave-1", "--", "-At", "-c", "SELECT 1"])
        .env("PGPASSWORD", "of another server")
        .env("PGHOSTADDR", "10.0.0.1")
        .assert()
        .code(3)
        .stderr("");
    let environment = docker.environment("-At");
    for line in [
        "PGHOST=127.0.0.1\n",
        "PGPORT=5001\n",
        "PGUSER=postgresadmin\n",
        "PGDATABASE=postgresdb\n",
    ] {
        assert!(environment.contains(line), "{environment}");
    }
    for wrong in ["PGPASSWORD", "PGHOSTADDR", "s3cr"] {
        assert!(!environment.contains(wrong), "{environment}");
    }
    let passfile = docker.passfile();
    assert!(passfile.starts_with("600\n"), "{passfile}");
    for port in [5000, 5001, 5002, 6432] {
        let line = format!("127.0.0.1:{port}:*:postgresadmin:s3cr\\:t\\\\\n");
        assert!(passfile.contains(&line), "{passfile}");
    }
    assert_eq!(folder.files_with(|text| text.contains("s3cr\\:")), [""; 0]);
}

#[test]
fn without_a_psql_that_of_the_container_is_used_and_no_argument_has_the_password() {
    let (docker, folder) = cluster();
    docker.says("exec", "/tmp/passfile\n");
    docker
        .pgcluster(&folder, &["psql", "--", "-c", "SELECT 1"])
        .assert()
        .success();
    let calls = docker.calls();
    let execs: Vec<String> = calls
        .iter()
        .filter(|words| words[0] == "exec")
        .map(|words| words.join(" "))
        .collect();
    assert_eq!(execs.len(), 3, "{execs:#?}");
    let user = "--user postgres pgpool-loadbalancer-id";
    assert!(execs[1].contains("--env PGHOST=127.0.0.1 --env PGPORT=5432 --env PGPASSFILE=/tmp/passfile"));
    assert!(
        execs[1].ends_with(&format!("{user} psql -c SELECT 1")),
        "{execs:#?}"
    );
    assert!(
        execs[2].ends_with(&format!("{user} rm -f /tmp/passfile")),
        "{execs:#?}"
    );
    assert!(!calls.iter().flatten().any(|word| word.contains("s3cr")));
    // No terminal stands behind a test.
    assert!(!execs.iter().any(|words| words.contains("--tty")));
}

#[test]
fn psql_asks_no_server_that_is_not_the_clusters() {
    let (docker, folder) = cluster();
    docker.install("psql");
    docker
        .pgcluster(&folder, &["psql", "slave-2"])
        .assert()
        .code(3)
        .stderr(contains("slave-2 does not run"));
    // The port was changed in .env, and the container still has the old one.
    docker
        .pgcluster(&folder, &["psql", "slave-1"])
        .env("SLAVE1_PORT", "5009")
        .assert()
        .code(3);
    assert!(!docker.path().join("passfile").exists());
}

#[test]
fn with_tls_urls_and_psql_trust_the_clusters_own_authority() {
    let (docker, folder) = cluster();
    folder.write(
        ".env",
        format!("{}TLS=on\n", folder.text(".env").replace("TLS=auto\n", "")),
    );
    folder.pgcluster(&["generate"]).assert().success();
    let file = folder.at("pgcluster-ca.crt");
    let file = file.to_str().unwrap();
    let shown = format!("?sslmode=verify-full&sslrootcert={}\n", file.replace('/', "%2F"));
    let assert = docker.pgcluster(&folder, &["url", "master"]).assert().success();
    assert.stdout(predicates::str::ends_with(shown.clone()));
    docker
        .pgcluster(&folder, &["url", "--format", "env"])
        .assert()
        .stdout(contains(format!(
            "export PGSSLMODE='verify-full'\nexport PGSSLROOTCERT='{file}'\n"
        )));
    docker.install("psql");
    docker
        .pgcluster(&folder, &["psql", "slave-1", "--", "-At"])
        .env("PGSSLMODE", "disable")
        .env("PGSSLROOTCERT", "/another")
        .assert()
        .success();
    let environment = docker.environment("-At");
    let lines = [
        "PGSSLMODE=verify-full\n".to_owned(),
        format!("PGSSLROOTCERT={file}\n"),
    ];
    assert!(
        lines.iter().all(|line| environment.contains(line)),
        "{environment}"
    );
}

#[test]
fn urls_come_in_three_forms_and_without_the_password() {
    fn check(args: &[&str], expected: &str) {
        let (docker, folder) = cluster();
        docker
            .pgcluster(&folder, &[&["url"], args].concat())
            .assert()
            .success()
            .stdout(expected.to_owned())
            .stderr("");
        assert!(docker.calls().is_empty());
    }
    check(&[], "postgresql://postgresadmin@127.0.0.1:6432/postgresdb\n");
    check(
        &["slave-2", "master", "--format", "jdbc"],
        "jdbc:postgresql://127.0.0.1:5002/postgresdb?user=postgresadmin\n\
         jdbc:postgresql://127.0.0.1:5000/postgresdb?user=postgresadmin\n",
    );
    check(
        &["any-replica", "--with-password"],
        "postgresql://postgresadmin:s3cr%3At%5C@127.0.0.1:5001,127.0.0.1:5002/postgresdb\n",
    );
    check(
        &["--format", "env", "--with-password"],
        "export PGHOST='127.0.0.1'\nexport PGPORT='6432'\nexport PGUSER='postgresadmin'\n\
         export PGDATABASE='postgresdb'\nexport PGPASSWORD='s3cr:t\\'\n",
    );
    let (docker, folder) = cluster();
    docker
        .pgcluster(&folder, &["url", "pool", "master", "--format", "env"])
        .assert()
        .code(2)
        .stderr(contains("name one node"));
    let output = docker.pgcluster(&folder, &["url", "--json"]).output().unwrap();
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let nodes: Vec<&str> = rows
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|row| row["node"].as_str())
        .collect();
    assert_eq!(nodes, ["pool", "master", "slave-1", "slave-2"]);
}
