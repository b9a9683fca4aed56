//! `.env`: read, extended by what is missing, and otherwise left as it is.

use predicates::str::contains;

use super::replicas;
use crate::folder::Folder;

/// All keys without a port of a replica, as the program would append them.
const ALL: &str = "POSTGRES_USER=postgresadmin\nPOSTGRES_PASSWORD=admin123\nPOSTGRES_DB=postgresdb\nPGDATA=/data\n\
                   EXTRA_PACKAGES=\nREPLICATION_USER=replication_user\nREPLICATION_PASSWORD=password\n\
                   POOL_USER=pgpool_check\nPOOL_PASSWORD=poolcheck123\nBIND_ADDRESS=127.0.0.1\nMASTER_PORT=5000\n\
                   PGPOOL_PORT=6432\nTLS=auto\nCONNECTION_MODE=session\nREAD_CONSISTENCY=eventual\nMAX_REPLICA_LAG=256kB\n\
                   QUERY_CACHE=off\nQUERY_CACHE_TTL=5\nPROFILE=medium\nDATA=\n\
                   EXTENSIONS=vector,timescaledb,vectorscale\nEXTENSIONS_IN_TEMPLATE=off\n";

/// The lines sorted: in which order missing keys come is nobody's concern.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_missing_file_is_written_with_every_key_explained() {
    let folder = Folder::new();
    folder.generate(2);
    let shipped = include_str!("../../../.env");
    assert_eq!(folder.text(".env"), shipped);
}

#[test]
fn a_missing_file_gets_the_ports_of_all_replicas() {
    let folder = Folder::new();
    folder.generate(3);
    let shipped = include_str!("../../../.env");
    assert_eq!(folder.text(".env"), format!("{shipped}SLAVE3_PORT=5003\n"));
}

#[test]
fn an_empty_file_gets_every_key() {
    let folder = Folder::generated(0, "");
    assert_eq!(sorted(&folder.text(".env")), sorted(ALL));
}

#[test]
fn what_is_there_stays_byte_for_byte() {
    fn check(old: &str, added: &str) {
        let folder = Folder::generated(1, old);
        assert_eq!(folder.text(".env"), format!("{old}{added}"));
    }
    check(ALL, "SLAVE1_PORT=5001\n");
    check(&format!("# mine\n\n{ALL}  # end\n"), "SLAVE1_PORT=5001\n");
    // The last line has no end of its own.
    check(
        &format!("SLAVE2_PORT=5007\n{}", ALL.trim_end()),
        "\nSLAVE1_PORT=5001\n",
    );
    check(&format!("export UNKNOWN = 'x y'\n{ALL}"), "SLAVE1_PORT=5001\n");
    check(&ALL.replace('\n', "\r\n"), "SLAVE1_PORT=5001\r\n");
    check(&format!("\u{feff}{ALL}"), "SLAVE1_PORT=5001\n");
    check(&format!("SLAVE1_PORT=7001\n{ALL}"), "");
}

#[test]
fn the_first_key_after_a_byte_order_mark_counts() {
    let folder = Folder::generated(0, "\u{feff}POSTGRES_USER=bom\n");
    assert_eq!(folder.text(".env").matches("POSTGRES_USER").count(), 1);
    assert!(
        folder
            .text("docker-compose.yml")
            .contains("POSTGRES_USER: \"bom\"")
    );
}

#[test]
fn the_order_of_the_lines_is_free() {
    let reversed: Vec<&str> = ALL.lines().rev().collect();
    let folder = Folder::generated(0, &reversed.join("\n"));
    assert_eq!(folder.text(".env"), reversed.join("\n"));
}

#[test]
fn fewer_replicas_take_no_line_away() {
    let folder = Folder::new();
    folder.generate(3);
    let before = folder.text(".env");
    folder.generate(1);
    assert_eq!(folder.text(".env"), before);
}

#[test]
fn a_replica_that_comes_back_has_its_old_port() {
    let folder = Folder::generated(1, "SLAVE1_PORT=7001\nSLAVE2_PORT=7009\n");
    folder.generate(2);
    assert!(folder.text("docker-compose.yml").contains("published: \"7009\""));
}

#[test]
fn an_environment_variable_wins_and_is_not_written_down() {
    let folder = Folder::generated(1, "MASTER_PORT=5000\nPOSTGRES_PASSWORD=filed\n");
    let before = folder.text(".env");
    folder
        .pgcluster(&["generate"])
        .env("MASTER_PORT", "5900")
        .env("POSTGRES_PASSWORD", "from outside")
        .assert()
        .success();
    assert!(folder.text("docker-compose.yml").contains("published: \"5900\""));
    assert_eq!(
        folder.text(".pgcluster/secrets/postgres_password"),
        "from outside"
    );
    assert_eq!(folder.text(".env"), before);
}

/// Falling back to the file would give the cluster another password than the one asked for.
#[cfg(unix)]
#[test]
fn an_environment_variable_that_is_not_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new();
    folder
        .pgcluster(&["generate"])
        .env("POSTGRES_PASSWORD", std::ffi::OsStr::from_bytes(b"p\xff"))
        .assert()
        .code(2)
        .stderr(contains("POSTGRES_PASSWORD"));
    assert_eq!(folder.files_with(|_| true), [""; 0]);
}

#[test]
fn another_file_takes_its_place() {
    let folder = Folder::generated(1, "MASTER_PORT=5000\n");
    let before = folder.text(".env");
    folder.write("other env", "MASTER_PORT=5900\n");
    folder
        .pgcluster(&["generate", "--env-file", "other env"])
        .assert()
        .success();
    assert!(folder.text("docker-compose.yml").contains("published: \"5900\""));
    assert_eq!(folder.text(".env"), before);
}

#[test]
fn another_file_is_looked_for_where_the_user_stands() {
    let (folder, here) = (Folder::new(), Folder::new());
    here.write("prod.env", "MASTER_PORT=5900");
    here.pgcluster(&[
        "-C",
        folder.root().to_str().unwrap(),
        "--env-file",
        "prod.env",
        "generate",
    ])
    .assert()
    .success();
    assert!(
        here.text("prod.env")
            .starts_with("MASTER_PORT=5900\nPOSTGRES_USER=")
    );
    assert!(!folder.has(".env"));
    assert_eq!(replicas(&folder), 2);
}

#[test]
fn another_file_that_is_missing_is_bad_input() {
    let folder = Folder::new();
    folder
        .pgcluster(&["generate", "--env-file", "prod.env"])
        .assert()
        .code(2)
        .stderr(contains("prod.env: no such file"));
    assert_eq!(folder.files_with(|_| true), [""; 0]);
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link() {
    let folder = Folder::new();
    folder.write("../shared.env", "MASTER_PORT=5900\n");
    std::os::unix::fs::symlink("../shared.env", folder.at(".env")).unwrap();
    folder.generate(0);
    assert!(folder.at(".env").is_symlink());
    assert!(
        folder
            .text("../shared.env")
            .starts_with("MASTER_PORT=5900\nPOSTGRES_USER=")
    );
}
