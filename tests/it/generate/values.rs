//! Values reach the rendered files as they are, and passwords reach none of them.

use std::process::Command;

use serde_yaml::Value;

use super::compose_file;
use crate::folder::Folder;

/// Every character that some file, shell or parser takes for its own.
pub const AWKWARD: &str = r##"POSTGRES_USER=we\"ird\ u\'ser
POSTGRES_PASSWORD="p\$x'\"\\#: {ü%"
POSTGRES_DB='d$b #1'
REPLICATION_USER='r$e{p}l, -#%'
REPLICATION_PASSWORD='=r$x"\#: {ü%} '
POOL_USER='100%$pool'
POOL_PASSWORD='o$x"\#: {ü%&`'
PGDATA=/var/lib/pg-17.x/data
"##;

const AWKWARD_USER: &str = r#"we"ird u'ser"#;
const AWKWARD_PASSWORD: &str = r##"p$x'"\#: {ü%"##;

/// A value of a Compose file as Compose reads it: `$$` is one `$`, and a single one would start a variable.
fn value(text: &Value) -> String {
    let text = text.as_str().unwrap_or_else(|| panic!("{text:?} is no string"));
    assert!(!text.replace("$$", "").contains('$'), "{text}");
    text.replace("$$", "$")
}

fn compose(folder: &Folder) -> Value {
    let mut compose = compose_file(folder);
    compose.apply_merge().unwrap();
    compose
}

#[test]
fn the_compose_file_gives_awkward_values_back() {
    for replicas in [0, 1, 3] {
        let compose = compose(&Folder::generated(replicas, AWKWARD));
        let master = &compose["services"]["postgres-master"];
        let check = |found: &Value, expected: &str| assert_eq!(value(found), expected);
        check(&master["environment"]["POSTGRES_USER"], AWKWARD_USER);
        check(&master["environment"]["POSTGRES_DB"], "d$b #1");
        check(&master["environment"]["REPLICATION_USER"], "r$e{p}l, -#%");
        check(&master["environment"]["POOL_USER"], "100%$pool");
        check(&master["environment"]["PGDATA"], "/var/lib/pg-17.x/data");
        check(&master["build"]["args"]["PGDATA"], "/var/lib/pg-17.x/data");
        let pool = &compose["services"]["pgpool-loadbalancer"]["environment"];
        check(&pool["POSTGRES_USER"], AWKWARD_USER);
        check(&pool["PGUSER"], "100%$pool");
    }
}

#[test]
fn the_compose_file_has_a_service_a_node_and_the_pool() {
    for replicas in [0, 1, 3] {
        let compose = compose(&Folder::generated(replicas, ""));
        let services = compose["services"].as_mapping().unwrap();
        let names: Vec<&str> = services.keys().filter_map(Value::as_str).collect();
        let mut expected = vec!["postgres-master".to_owned()];
        expected.extend((1..=replicas).map(|n| format!("postgres-slave{n}")));
        expected.push("pgpool-loadbalancer".to_owned());
        assert_eq!(names, expected);
    }
}

#[test]
fn ports_are_published_on_the_address_asked_for_and_no_other() {
    fn check(bind: &str) {
        let folder = Folder::generated(2, &format!("BIND_ADDRESS={bind}\n"));
        let compose = compose(&folder);
        let ports: Vec<(String, String)> = compose["services"]
            .as_mapping()
            .unwrap()
            .values()
            .flat_map(|service| service["ports"].as_sequence().unwrap())
            .map(|port| (value(&port["host_ip"]), value(&port["published"])))
            .collect();
        let expected = ["5000", "5001", "5002", "6432"].map(|port| (bind.to_owned(), port.to_owned()));
        assert_eq!(ports, expected);
    }
    check("127.0.0.1");
    check("0.0.0.0");
    check("::1");
}

/// Over its socket a server answers also while nobody else can reach it.
#[test]
fn health_is_asked_over_tcp() {
    let compose = compose(&Folder::generated(1, ""));
    // All services share it.
    let test = compose["x-service"]["healthcheck"]["test"].as_sequence().unwrap();
    let words: Vec<&str> = test.iter().filter_map(Value::as_str).collect();
    let host = words.iter().position(|word| *word == "-h");
    assert_eq!(host.map(|at| words[at + 1]), Some("127.0.0.1"), "{words:?}");
}

#[test]
fn secrets_hold_the_passwords_and_nothing_else() {
    let folder = Folder::generated(1, AWKWARD);
    let check = |secret: &str, expected: &str| {
        assert_eq!(folder.text(&format!(".pgcluster/secrets/{secret}")), expected);
    };
    check("postgres_password", AWKWARD_PASSWORD);
    check("replication_password", r##"=r$x"\#: {ü%} "##);
    check("pool_password", r##"o$x"\#: {ü%&`"##);
}

#[test]
fn passwords_are_in_no_other_file() {
    let folder = Folder::generated(
        3,
        "POSTGRES_PASSWORD=Hush1\nREPLICATION_PASSWORD=Hush2\nPOOL_PASSWORD=Hush3\n",
    );
    assert_eq!(
        folder.files_with(|text| text.contains("Hush")),
        [
            ".env",
            ".pgcluster/secrets/pool_password",
            ".pgcluster/secrets/postgres_password",
            ".pgcluster/secrets/replication_password",
        ]
    );
}

/// `docker` with `args` as the caller of the tests has it, or `None` where it has no Compose.
fn compose_config(folder: &Folder, args: &[&str]) -> Option<String> {
    let there = Command::new("docker").args(["compose", "version"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        let demanded = std::env::var_os("PGCLUSTER_DOCKER").is_some();
        assert!(
            !demanded,
            "PGCLUSTER_DOCKER is set, and `docker compose` is missing"
        );
        return None;
    }
    let output = Command::new("docker")
        .args([
            "compose",
            "--env-file",
            if cfg!(windows) { "NUL" } else { "/dev/null" },
        ])
        .args(["--file", "docker-compose.yml", "config"])
        .args(args)
        .current_dir(folder.root())
        .output()
        .unwrap();
    let (stdout, stderr) = (
        output.stdout,
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert!(output.status.success(), "{stderr}");
    // Compose warns of a `$` that it takes for a variable.
    assert_eq!(stderr, "");
    Some(String::from_utf8(stdout).unwrap())
}

#[test]
fn compose_accepts_what_is_rendered() {
    for replicas in [0, 1, 3] {
        for env in ["", AWKWARD] {
            compose_config(&Folder::generated(replicas, env), &["--quiet"]);
        }
    }
}

#[test]
fn compose_reads_awkward_values_as_they_are() {
    let folder = Folder::generated(1, AWKWARD);
    let Some(json) = compose_config(&folder, &["--format", "json"]) else {
        return;
    };
    let compose: serde_json::Value = serde_json::from_str(&json).unwrap();
    let environment = &compose["services"]["postgres-slave1"]["environment"];
    // Compose writes a `$` doubled, so that its output is a Compose file again.
    let check = |key: &str, expected: &str| assert_eq!(environment[key], expected);
    check("POSTGRES_USER", AWKWARD_USER);
    check("POSTGRES_DB", "d$$b #1");
    check("REPLICATION_USER", "r$$e{p}l, -#%");
}
