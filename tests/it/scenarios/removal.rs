//! `down --remove-volumes` deletes the data, all of it and nothing else, and only when told so.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use crate::cluster::{Cluster, docker};

const NOTHING: Vec<String> = Vec::new();

#[test]
fn data_is_deleted_only_with_yes_and_completely() {
    let Some(cluster) = Cluster::new("removal") else {
        return;
    };
    cluster.up(1);
    cluster.writes("master", "precious");
    cluster.append("slave-1/config/local.conf", "work_mem = 9MB");
    cluster.append("master/config/postgresql.conf", "work_mem = 9MB");
    let kept = cluster.files();
    let before = cluster.containers();

    let asked = cluster.run(["down", "--remove-volumes"]);

    assert_eq!(cluster.containers(), before);
    assert_eq!(cluster.files().changed_since(&kept), NOTHING);
    cluster.reads_everywhere(1, &["precious"]);
    asked.exits(2).says("--yes");

    cluster.run(["down", "--remove-volumes", "--yes"]).exits(0);

    nothing_but_the_users_files_is_left(&cluster);
    assert_eq!(
        cluster.files().changed_since(&kept),
        NOTHING,
        "the user's edits stay"
    );

    // And where nothing runs, with data and without.
    cluster.up(1);
    cluster.compose(["down"]).exits(0);
    cluster.run(["down", "--remove-volumes", "--yes"]).exits(0);
    nothing_but_the_users_files_is_left(&cluster);
    cluster.run(["down", "--remove-volumes", "--yes"]).exits(0);
    cluster.run(["down"]).exits(0);
}

/// The data belongs to the containers' user, whom an ordinary user is not.
#[test]
fn an_ordinary_user_can_delete_the_data() {
    let Some(mut cluster) = Cluster::new("ordinary user") else {
        return;
    };
    cluster.becomes_an_ordinary_users();
    cluster.up(1);
    cluster.replicates_to(1);
    // A link in there leads to what must stay.
    let precious = cluster.outside("precious");
    fs::create_dir(&precious).expect("a folder");
    fs::write(precious.join("file"), "text").expect("a file");
    fs::set_permissions(&precious, fs::Permissions::from_mode(0o777)).expect("everyone may delete it");
    cluster.as_root(&format!("ln -s '{}' slave-1/pgdata/link", precious.display()));
    let owner = fs::metadata(cluster.folder.join("master/pgdata"))
        .expect("it is there")
        .uid();
    assert_eq!(owner, 999);

    cluster.run(["down", "--remove-volumes", "--yes"]).exits(0);

    nothing_but_the_users_files_is_left(&cluster);
    assert!(precious.join("file").exists());
}

#[test]
fn a_link_in_place_of_data_is_refused_and_its_target_untouched() {
    let Some(cluster) = Cluster::new("links") else {
        return;
    };
    cluster.run(["generate", "1"]).exits(0);
    let precious = cluster.outside("precious");
    fs::create_dir(&precious).expect("a folder");
    fs::write(precious.join("file"), "text").expect("a file");
    fs::create_dir(cluster.folder.join("master/pgdata")).expect("a folder");
    cluster.write("master/pgdata/file", "text");
    symlink(&precious, cluster.folder.join("slave-1/pgdata")).expect("a link");

    for command in [
        &["down", "--remove-volumes", "--yes"][..],
        &["up"],
        &["up", "--replicas", "1"],
    ] {
        let refused = cluster.run_words(command);

        assert!(precious.join("file").exists());
        assert!(
            cluster.exists("master/pgdata/file"),
            "nothing is deleted where something is refused"
        );
        assert!(cluster.containers().is_empty());
        refused.exits(2).says("slave-1/pgdata");
    }
}

fn nothing_but_the_users_files_is_left(cluster: &Cluster) {
    assert!(cluster.services().is_empty());
    let project = cluster.project().expect("docker-compose.yml stays");
    let label = format!("label=com.docker.compose.project={project}");
    assert_eq!(docker(["network", "ls", "-q", "--filter", &label]), "");
    assert_eq!(docker(["volume", "ls", "-q", "--filter", &label]), "");
    for node in ["master", "slave-1"] {
        let left = fs::read_dir(cluster.folder.join(node)).expect("the node's folder stays");
        let names: Vec<String> = left
            .flatten()
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .collect();
        assert!(
            !names.iter().any(|name| name.starts_with("pgdata")),
            "{node}: {names:?}"
        );
    }
    for path in [
        ".env",
        "master/config/postgresql.conf",
        "slave-template/config/postgresql.conf",
    ] {
        assert!(cluster.exists(path), "{path}");
    }
}
