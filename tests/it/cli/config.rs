//! `config`: what is set, and by whom.

use predicates::prelude::*;
use predicates::str::contains;

use crate::folder::Folder;

#[test]
fn each_value_has_its_origin_and_no_password_is_shown() {
    let folder = Folder::new();
    folder.write(".env", "# mine\nPOSTGRES_PASSWORD=s3cret\nMASTER_PORT=7000\n");
    let before = folder.state();
    let config = |args: &[&str]| {
        let mut command = folder.pgcluster(&[&["config"], args].concat());
        command.env("PGPOOL_PORT", "7001");
        let text = command.assert().success().stderr("").get_output().stdout.clone();
        String::from_utf8(text).unwrap()
    };
    let table = config(&["--show-origin"]);
    let row = |key: &str| {
        let line = table.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("MASTER_PORT"), "MASTER_PORT 7000 .env, line 3");
    assert_eq!(row("PGPOOL_PORT"), "PGPOOL_PORT 7001 environment");
    assert_eq!(row("SLAVE2_PORT"), "SLAVE2_PORT 7003 default");
    assert_eq!(row("POSTGRES_PASSWORD"), "POSTGRES_PASSWORD *** .env, line 2");

    let json: serde_json::Value = serde_json::from_str(&config(&["--json", "--show-secrets"])).unwrap();
    assert_eq!(json["POSTGRES_PASSWORD"]["value"], "s3cret");
    assert_eq!(json["POSTGRES_PASSWORD"]["line"], 2);
    assert_eq!(json["PGPOOL_PORT"]["origin"], "environment");
    assert!(!config(&["--json"]).contains("s3cret"));
    assert_eq!(before.differences(&folder.state()), [""; 0]);
}

#[test]
fn what_cannot_be_used_is_told_as_everywhere() {
    let folder = Folder::new();
    folder
        .pgcluster(&["config"])
        .env("MASTER_PORT", "x")
        .assert()
        .code(2)
        .stderr(contains("MASTER_PORT").and(contains("from the environment")));
}
