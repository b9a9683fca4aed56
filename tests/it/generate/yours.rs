//! The user's own files: theirs win, and nothing of theirs is lost.

use std::fs;

use predicates::prelude::*;
use predicates::str::contains;

use crate::folder::Folder;

/// The built-in template, for a copy of the user's.
const TEMPLATE: &str = include_str!("../../../templates/docker-compose.yml.tera");

#[test]
fn an_edit_of_the_replica_template_reaches_every_replica() {
    let folder = Folder::new();
    folder.generate(2);
    let edited = format!(
        "{}work_mem = 7MB\n",
        folder.text("slave-template/config/postgresql.conf")
    );
    folder.write("slave-template/config/postgresql.conf", &edited);
    folder.write("slave-template/config/extra.conf", "# mine\n");
    folder
        .pgcluster(&["generate"])
        .assert()
        .success()
        .stdout(contains("write slave-2/config/postgresql.conf  (changed)"));
    for replica in ["slave-1", "slave-2"] {
        assert_eq!(folder.text(&format!("{replica}/config/postgresql.conf")), edited);
        assert_eq!(folder.text(&format!("{replica}/config/extra.conf")), "# mine\n");
    }
}

#[test]
fn an_edit_of_the_masters_files_stays() {
    let folder = Folder::new();
    folder.generate(1);
    for path in [
        "master/config/postgresql.conf",
        "master/config/pg_hba.conf",
        "master/master-entrypoint.sh",
    ] {
        folder.write(path, "# mine\n");
    }
    folder.generate(2);
    for path in [
        "master/config/postgresql.conf",
        "master/config/pg_hba.conf",
        "master/master-entrypoint.sh",
    ] {
        assert_eq!(folder.text(path), "# mine\n", "{path}");
    }
}

#[test]
fn a_nodes_own_configuration_is_never_touched() {
    let folder = Folder::new();
    folder.generate(2);
    folder.write("slave-2/config/local.conf", "work_mem = 9MB\n");
    folder.write("slave-template/config/local.conf", "work_mem = 1MB\n");
    folder.generate(3);
    assert_eq!(folder.text("slave-2/config/local.conf"), "work_mem = 9MB\n");
    assert!(!folder.has("slave-1/config/local.conf"));
    assert!(!folder.has("slave-3/config/local.conf"));
}

#[test]
fn a_nodes_own_configuration_changes_its_fingerprint_alone() {
    let folder = Folder::new();
    folder.generate(2);
    folder.write("slave-2/config/local.conf", "work_mem = 9MB\n");
    folder
        .pgcluster(&["generate"])
        .assert()
        .stdout("write slave-2/config/cluster.conf  (changed)\n");
}

#[test]
fn an_edit_of_a_rendered_file_is_undone() {
    let folder = Folder::new();
    folder.generate(1);
    let before = folder.text("pgpool/pgpool.conf");
    folder.write("pgpool/pgpool.conf", "port = 1\n");
    folder
        .pgcluster(&["generate"])
        .assert()
        .stdout("write pgpool/pgpool.conf  (changed)\n");
    assert_eq!(folder.text("pgpool/pgpool.conf"), before);
}

#[test]
fn a_template_of_the_users_wins() {
    let folder = Folder::new();
    folder.write(
        "templates/docker-compose.yml.tera",
        TEMPLATE.replace("shm_size: {{ shm_size }}mb", "shm_size: 1gb"),
    );
    folder.generate(1);
    assert!(folder.text("docker-compose.yml").contains("shm_size: 1gb"));
}

/// Nothing tells its author that the first line is needed to recognise the file.
#[test]
fn a_template_of_the_users_needs_no_mark_of_ours() {
    let folder = Folder::new();
    let (_, without_first_line) = TEMPLATE.split_once('\n').unwrap();
    folder.write("templates/docker-compose.yml.tera", without_first_line);
    folder.generate(1);
    folder
        .pgcluster(&["generate"])
        .assert()
        .success()
        .stdout(predicates::str::starts_with("nothing to do"));
}

#[test]
fn a_broken_template_is_refused_with_its_file_and_line() {
    fn check(name: &str, text: &str, line: &str) {
        let folder = Folder::new();
        let path = format!("templates/{name}");
        folder.write(&path, text);
        let before = folder.state();
        folder
            .pgcluster(&["generate"])
            .assert()
            .code(2)
            .stderr(contains(path.as_str()).and(contains(line)));
        assert_eq!(before.differences(&folder.state()), [""; 0], "{text}");
    }
    check(
        "docker-compose.yml.tera",
        "a: 1\n{% for %}\n",
        "docker-compose.yml.tera:2:",
    );
    check(
        "docker-compose.yml.tera",
        "a: 1\nb: {{ no_such }}\n",
        "docker-compose.yml.tera:2:",
    );
    check(
        "pgpool.conf.tera",
        "a = 1\n\nb = {{ pool_user | nothing }}\n",
        "pgpool.conf.tera:3:",
    );
    check(
        "cluster.conf.tera",
        "{{ node.nothing }}\n",
        "cluster.conf.tera:1:",
    );
    check("backends.conf.tera", "{% if x %}\n", "backends.conf.tera:");
}

/// Written, it would be refused by every later command, and writing it again would not help.
#[test]
fn a_template_that_gives_no_yaml_is_refused_by_name() {
    let folder = Folder::new();
    let path = "templates/docker-compose.yml.tera";
    folder.write(path, format!("{TEMPLATE}x-mine: [\n"));
    let before = folder.state();
    folder
        .pgcluster(&["generate"])
        .assert()
        .code(2)
        .stderr(contains(path));
    assert_eq!(before.differences(&folder.state()), [""; 0]);
}

#[test]
fn a_template_that_is_not_text_is_refused_by_name() {
    let folder = Folder::new();
    folder.write("templates/pool_hba.conf.tera", b"\xff\n");
    folder
        .pgcluster(&["generate"])
        .assert()
        .code(2)
        .stderr(contains("templates/pool_hba.conf.tera: not UTF-8"));
}

#[test]
fn data_of_a_replica_that_is_no_longer_wanted_stays_and_is_named() {
    let folder = Folder::new();
    folder.generate(3);
    folder.write("slave-2/pgdata/PG_VERSION", "17\n");
    folder.write("slave-3/pgdata/PG_VERSION", "17\n");
    folder
        .pgcluster(&["generate", "1"])
        .assert()
        .success()
        .stderr(contains("slave-2/pgdata").and(contains("slave-3/pgdata")))
        .stderr(contains("slave-1").not());
    assert_eq!(folder.text("slave-3/pgdata/PG_VERSION"), "17\n");
}

#[test]
fn a_compose_file_of_the_users_is_refused_and_left_alone() {
    fn check(content: &str) {
        let folder = Folder::new();
        folder.write("docker-compose.yml", content);
        let before = folder.state();
        folder
            .pgcluster(&["generate", "2"])
            .assert()
            .code(2)
            .stderr(contains("was not written by pgcluster").and(contains("fix: ")));
        assert_eq!(before.differences(&folder.state()), [""; 0]);
    }
    check("services: {web: {image: nginx}}\n");
    check("# notes\n# Rendered by pgcluster, not\nservices: {}\n");
    check("");
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_folder_is_refused() {
    fn check(path: &str) {
        let folder = Folder::new();
        folder.generate(1);
        let elsewhere = Folder::new();
        let _ = fs::remove_dir_all(folder.at(path));
        std::os::unix::fs::symlink(elsewhere.root(), folder.at(path)).unwrap();
        folder
            .pgcluster(&["generate"])
            .assert()
            .code(2)
            .stderr(contains(format!("{path} is a symbolic link")));
        assert_eq!(elsewhere.files_with(|_| true), [""; 0], "{path}");
    }
    check("master");
    check("slave-1");
    check("slave-1/config");
    check("master/pgdata");
    check("pgpool");
    check(".pgcluster");
}

#[test]
fn a_template_without_volumes_is_refused_where_the_data_is_to_be_in_them() {
    let folder = Folder::new();
    folder.write(".env", "DATA=volume\n");
    let without = TEMPLATE.split("\n{%- if in_volumes %}\n\n#").next().unwrap();
    folder.write("templates/docker-compose.yml.tera", format!("{without}\n"));
    folder
        .pgcluster(&["generate", "1"])
        .assert()
        .code(2)
        .stderr(contains("docker-compose.yml.tera: gives no volume master").and(contains("slave-1")));
}
