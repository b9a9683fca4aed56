//! What EXTENSIONS and EXTRA_PACKAGES name must exist, before a server is told to load it.

use predicates::prelude::*;
use predicates::str::contains;

use super::fake_docker::FakeDocker;
use crate::folder::{Folder, env_with_free_ports};

const LISTING: &str =
    "/usr/share/postgresql/17/extension/vector.control\n/usr/share/postgresql/17/extension/hypopg.control\n";

fn folder(env: &str) -> Folder {
    Folder::generated(1, &format!("{env}{}", env_with_free_ports(1)))
}

fn calls(docker: &FakeDocker, word: &str) -> usize {
    docker
        .calls()
        .iter()
        .filter(|words| words.contains(&word.to_owned()))
        .count()
}

#[test]
fn an_extension_that_the_image_lacks_is_refused_before_a_file_is_written() {
    let (docker, folder) = (FakeDocker::working(), folder(""));
    docker.says("run", LISTING);
    let env = folder
        .text(".env")
        .replace("EXTENSIONS=vector,", "EXTENSIONS=hypopg,pg_cron,");
    folder.write(".env", env);
    let before = folder.state();
    docker
        .pgcluster(&folder, &["up"])
        .assert()
        .code(2)
        .stderr(contains(
            "EXTENSIONS: `pg_cron` is not in the image pgcluster-node:",
        ))
        .stderr(contains("EXTRA_PACKAGES in .env (often postgresql-17-cron)"))
        .stderr(contains("hypopg").not());
    assert_eq!(before.differences(&folder.state()), [""; 0]);
    assert_eq!(calls(&docker, "up"), 0);
}

#[test]
fn an_image_is_looked_into_only_for_names_it_may_lack() {
    fn check(extensions: &str, looks: usize) {
        let docker = FakeDocker::working();
        docker.says("run", LISTING);
        let folder = folder(&format!("EXTENSIONS={extensions}\n"));
        docker
            .pgcluster(&folder, &["up", "--timeout", "1"])
            .assert()
            .code(3);
        assert_eq!(
            (calls(&docker, "run"), calls(&docker, "up")),
            (looks, 1),
            "{extensions}"
        );
    }
    check("vector,timescaledb,vectorscale", 0);
    check("", 0);
    check("vector,hypopg", 1);
}

#[test]
fn a_package_that_debian_lacks_is_named() {
    let docker = FakeDocker::working();
    docker.fails("image-inspect", 1, "Error: No such image\n");
    docker.fails(
        "compose-build",
        17,
        "#9 7.5 E: Unable to locate package nonsense\n",
    );
    docker
        .pgcluster(&folder("EXTRA_PACKAGES='hypopg nonsense'\n"), &["up"])
        .assert()
        .code(2)
        .stderr(contains(
            "error: EXTRA_PACKAGES: Debian has no package `nonsense`",
        ));
    assert_eq!(calls(&docker, "up"), 0);
}

#[test]
fn a_library_to_load_at_the_start_reaches_every_server() {
    let folder = folder("EXTENSIONS=pg_cron,pgaudit\nPOSTGRES_DB='it''s'\n");
    for node in ["master", "slave-1"] {
        let text = folder.text(&format!("{node}/config/cluster.conf"));
        assert!(
            text.contains("shared_preload_libraries = 'timescaledb,pg_cron,pgaudit'"),
            "{text}"
        );
        assert!(text.contains("cron.database_name = 'its'"), "{text}");
    }
    assert_eq!(
        folder.text("master/config/cluster_database.sql"),
        "CREATE EXTENSION IF NOT EXISTS \"pg_cron\" CASCADE;\nCREATE EXTENSION IF NOT EXISTS \"pgaudit\" CASCADE;\n"
    );
}
