//! The rendered files, word for word. Comments and empty lines, which no program reads, are left out.

use insta::{Settings, assert_snapshot};

use super::project_name;
use super::values::AWKWARD;
use crate::folder::Folder;

/// `text` without comments, with the project's name and every fingerprint replaced.
fn essence(folder: &Folder, text: &str) -> String {
    let text = text.replace(&project_name(folder), "[project]");
    let lines = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with(['#', ';']))
        .map(|line| format!("{}\n", without_fingerprints(line)));
    lines.collect()
}

/// A fingerprint is 12 or 16 hexadecimal digits between characters that belong to no word.
fn without_fingerprints(line: &str) -> String {
    line.split_inclusive(|c: char| !c.is_ascii_alphanumeric())
        .map(|part| {
            let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            let hexadecimal = word.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
            match word.len() {
                12 | 16 if hexadecimal => part.replace(word, "[hash]"),
                _ => part.to_owned(),
            }
        })
        .collect()
}

/// Compares the essence of `path` with `tests/it/snapshots/<name>.snap`.
fn check(folder: &Folder, path: &str, name: &str) {
    let mut settings = Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| assert_snapshot!(name, essence(folder, &folder.text(path))));
}

#[test]
fn compose_file_without_replicas() {
    check(&Folder::generated(0, ""), "docker-compose.yml", "compose_0");
}

#[test]
fn compose_file_with_one_replica() {
    check(&Folder::generated(1, ""), "docker-compose.yml", "compose_1");
}

#[test]
fn compose_file_with_three_replicas() {
    check(&Folder::generated(3, ""), "docker-compose.yml", "compose_3");
}

#[test]
fn compose_file_with_awkward_values() {
    check(
        &Folder::generated(1, AWKWARD),
        "docker-compose.yml",
        "compose_awkward",
    );
}

/// Pgpool-II publishes no port there, and PgBouncer does.
#[test]
fn files_of_a_mode_with_pgbouncer() {
    let folder = Folder::generated(0, "CONNECTION_MODE=transaction");
    check(&folder, "docker-compose.yml", "compose_transaction");
    check(&folder, "pgbouncer/pgbouncer.ini", "pgbouncer_ini");
}

/// No key and no certificate is in a file that others may read, but for those of the authority.
#[test]
fn files_with_tls() {
    let folder = Folder::generated(1, "TLS=on\n");
    check(&folder, "docker-compose.yml", "compose_tls");
    check(&folder, "slave-1/config/cluster.conf", "cluster_conf_tls");
    check(&folder, "slave-1/config/cluster_hba.conf", "cluster_hba_tls");
    check(&folder, "pgpool/pgpool.conf", "pgpool_conf_tls");
    check(&folder, "pgpool/pool_hba.conf", "pool_hba_tls");
    let folder = Folder::generated(0, "TLS=on\nCONNECTION_MODE=transaction\n");
    check(&folder, "pgbouncer/pgbouncer.ini", "pgbouncer_ini_tls");
    let with_keys = folder.files_with(|text| text.contains("PRIVATE KEY"));
    assert_eq!(
        with_keys,
        ["tls_ca", "tls_master", "tls_pool"].map(|name| format!(".pgcluster/secrets/{name}"))
    );
    let with_certificates = folder.files_with(|text| text.contains("BEGIN CERTIFICATE"));
    assert_eq!(
        with_certificates.len(),
        with_keys.len() + 1,
        "{with_certificates:?}"
    );
    assert!(folder.has("pgcluster-ca.crt"));
}

#[test]
fn compose_file_with_data_in_volumes() {
    check(
        &Folder::generated(1, "DATA=volume\n"),
        "docker-compose.yml",
        "compose_volume",
    );
}

#[test]
fn pool_configuration() {
    check(&Folder::generated(2, ""), "pgpool/pgpool.conf", "pgpool_conf");
}

#[test]
fn pool_configuration_with_awkward_values() {
    check(
        &Folder::generated(2, AWKWARD),
        "pgpool/pgpool.conf",
        "pgpool_conf_awkward",
    );
}

#[test]
fn pool_hba() {
    check(&Folder::generated(2, ""), "pgpool/pool_hba.conf", "pool_hba");
}

#[test]
fn backends_without_replicas() {
    check(&Folder::generated(0, ""), "pgpool/backends.conf", "backends_0");
}

#[test]
fn backends_with_one_replica() {
    check(&Folder::generated(1, ""), "pgpool/backends.conf", "backends_1");
}

#[test]
fn backends_with_three_replicas() {
    check(&Folder::generated(3, ""), "pgpool/backends.conf", "backends_3");
}

#[test]
fn master_configuration() {
    check(
        &Folder::generated(1, ""),
        "master/config/cluster.conf",
        "cluster_conf_master",
    );
}

#[test]
fn replica_configuration() {
    check(
        &Folder::generated(3, ""),
        "slave-3/config/cluster.conf",
        "cluster_conf_slave",
    );
}

#[test]
fn replica_configuration_with_awkward_values() {
    check(
        &Folder::generated(3, AWKWARD),
        "slave-3/config/cluster.conf",
        "cluster_conf_slave_awkward",
    );
}

#[test]
fn who_may_log_in() {
    check(
        &Folder::generated(1, ""),
        "slave-1/config/cluster_hba.conf",
        "cluster_hba",
    );
}

#[test]
fn who_may_log_in_with_awkward_values() {
    check(
        &Folder::generated(1, AWKWARD),
        "slave-1/config/cluster_hba.conf",
        "cluster_hba_awkward",
    );
}

#[test]
fn system_users_of_the_container() {
    check(
        &Folder::generated(0, ""),
        "master/config/cluster_ident.conf",
        "cluster_ident",
    );
}
