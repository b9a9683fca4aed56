//! Bad values: each is refused by name with its fix, all at once, before anything is written.

use predicates::str::contains;

use crate::folder::Folder;

/// Two replicas with `env` in the folder's `.env`: every one of `words` is in the message.
fn check(env: impl AsRef<[u8]>, words: &[&str]) {
    let env = env.as_ref();
    let shown = String::from_utf8_lossy(env);
    let folder = Folder::new();
    folder.write(".env", env);
    let before = folder.state();
    let assert = folder.pgcluster(&["generate", "2"]).assert();
    let output = assert.get_output();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{shown}\n{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{shown}\n{stderr}\nlacks: {word}");
    }
    assert_eq!(before.differences(&folder.state()), [""; 0], "{shown}");
}

/// `key` with `value`, as it stands after the `=`, is refused in `words`.
fn bad(key: &str, value: &str, words: &str) {
    check(
        format!("{key}={value}\n"),
        &[&format!("error: {key}: "), words, "fix: "],
    );
}

#[test]
fn names_that_postgresql_cannot_have() {
    for key in ["POSTGRES_USER", "REPLICATION_USER", "POOL_USER", "POSTGRES_DB"] {
        bad(key, "", "is empty");
        bad(key, &"x".repeat(64), "longer than PostgreSQL's 63 bytes");
        // 63 characters, 64 bytes.
        bad(
            key,
            &format!("{}ü", "x".repeat(62)),
            "longer than PostgreSQL's 63 bytes",
        );
        bad(key, "\"a\\nb\"", "`a\\nb` has a control character");
        bad(key, "'a\tb'", "has a control character");
    }
    bad(
        "POSTGRES_DB",
        "template0",
        "`template0` is one of PostgreSQL's own",
    );
    bad(
        "POSTGRES_DB",
        "template1",
        "`template1` is one of PostgreSQL's own",
    );
}

#[test]
fn role_names_that_something_else_owns() {
    for key in ["POSTGRES_USER", "REPLICATION_USER", "POOL_USER"] {
        bad(key, "pg_admin", "`pg_admin` begins with `pg_`");
        bad(key, "a:b", "`a:b` has a `:`");
    }
}

/// CREATE ROLE says: role name "public" is reserved.
#[test]
fn role_names_that_postgresql_reserves() {
    for key in ["POSTGRES_USER", "REPLICATION_USER", "POOL_USER"] {
        bad(key, "public", "`public`");
        bad(key, "none", "`none`");
    }
}

/// pgpool.conf has no way to write it: `''` is a syntax error, and `\'` keeps its backslash.
#[test]
fn a_quote_in_the_name_that_stands_in_the_pools_configuration() {
    bad("POOL_USER", "\"it's\"", "`it");
}

#[test]
fn passwords_that_let_nobody_in() {
    for key in ["POSTGRES_PASSWORD", "REPLICATION_PASSWORD", "POOL_PASSWORD"] {
        bad(key, "", "is empty");
        bad(key, "\"a\\nb\"", "has a control character");
        bad(key, &"x".repeat(257), "is longer than");
    }
}

#[test]
fn a_refused_password_is_not_shown() {
    let folder = Folder::new();
    folder.write(
        ".env",
        format!(
            "POSTGRES_PASSWORD='Hush{}'\nPOOL_PASSWORD=\"Hu\\nsh\"\n",
            "x".repeat(257)
        ),
    );
    let assert = folder.pgcluster(&["generate", "-v"]).assert().code(2);
    assert!(!String::from_utf8_lossy(&assert.get_output().stderr).contains("Hu"));
}

#[test]
fn data_directories_that_no_container_can_have() {
    for value in [
        "",
        "data",
        "./data",
        "/",
        "//data",
        "/data/",
        "/data/../etc",
        "'/da ta'",
        "/dätä",
        "C:/data",
    ] {
        bad("PGDATA", value, "is not a plain absolute path");
    }
    for value in ["/etc", "/etc/pg", "/usr/data", "/proc", "/node/x", "/run/data"] {
        bad("PGDATA", value, "a directory of the container's system");
    }
}

/// The image is built with `ln -sT /node/pgdata "$PGDATA"`, which replaces no directory.
#[test]
fn data_directories_that_the_image_has_already() {
    for value in ["/var", "/var/lib", "/srv", "/opt", "/home", "/mnt"] {
        bad("PGDATA", value, &format!("`{value}`"));
    }
}

#[test]
fn packages_that_are_none() {
    for value in [
        "'a; rm -rf /'",
        "'$(id)'",
        "-y",
        "'--allow-downgrades x'",
        "UPPER",
        "a,b",
        "a=1",
    ] {
        bad("EXTRA_PACKAGES", value, "is not a list of Debian packages");
    }
}

#[test]
fn addresses_that_are_none() {
    for value in [
        "",
        "localhost",
        "*",
        "127.0.0.1:5000",
        "127.1",
        "[::1]",
        "10.0.0.0/8",
    ] {
        bad("BIND_ADDRESS", value, "is not an IP address");
    }
}

#[test]
fn ports_that_are_none() {
    for key in ["MASTER_PORT", "PGPOOL_PORT", "SLAVE1_PORT", "SLAVE2_PORT"] {
        for value in ["", "0", "-1", "65536", "5000.5", "0x1388", "five"] {
            bad(key, value, &format!("`{value}` is not a port"));
        }
    }
}

#[test]
fn one_port_for_two() {
    check("PGPOOL_PORT=5000\n", &["PGPOOL_PORT: `5000` is also MASTER_PORT"]);
    check("SLAVE1_PORT=6432\n", &["SLAVE1_PORT: `6432` is also PGPOOL_PORT"]);
    check(
        "SLAVE1_PORT=7000\nSLAVE2_PORT=7000\n",
        &["SLAVE2_PORT: `7000` is also SLAVE1_PORT"],
    );
    check("MASTER_PORT=65535\n", &["SLAVE1_PORT: `` has no port left"]);
}

#[test]
fn one_role_for_two() {
    check(
        "POOL_USER=postgresadmin\n",
        &["POOL_USER: `postgresadmin` is also POSTGRES_USER"],
    );
    check("POOL_USER=replication_user\n", &["is also REPLICATION_USER"]);
    check("REPLICATION_USER=postgresadmin\n", &["is also POSTGRES_USER"]);
}

#[test]
fn a_file_that_cannot_be_read() {
    check("A=1\nMASTER_PORT 5000\n", &[".env: line 2 cannot be read"]);
    check(
        "A=1\nPOOL_PASSWORD='open\n",
        &[".env: line 2 cannot be read (POOL_PASSWORD=…)"],
    );
    check(
        b"A=1\nB=\xff\n",
        &[".env: not UTF-8 at byte 6", "save the file as UTF-8"],
    );
    check(
        "POSTGRES_PASSWORD=p$secret\n",
        &["POSTGRES_PASSWORD on line 1 has a `$`", "single quotes"],
    );
    check(
        "MASTER_PORT=1\nA=2\nMASTER_PORT=3\n",
        &["MASTER_PORT is set twice, on lines 1 and 3"],
    );
}

#[test]
fn all_problems_come_together() {
    check(
        "MASTER_PORT=0\nPOSTGRES_USER=pg_x\nPOSTGRES_PASSWORD=\nPGDATA=data\nBIND_ADDRESS=here\nEXTRA_PACKAGES=A\n",
        &[
            "MASTER_PORT: ",
            "POSTGRES_USER: ",
            "POSTGRES_PASSWORD: ",
            "PGDATA: ",
            "BIND_ADDRESS: ",
            "EXTRA_PACKAGES: ",
        ],
    );
}

#[test]
fn a_bad_value_of_the_environment_is_refused_like_one_of_the_file() {
    let folder = Folder::new();
    folder
        .pgcluster(&["generate"])
        .env("MASTER_PORT", "five")
        .assert()
        .code(2)
        .stderr(contains("MASTER_PORT: `five` is not a port"));
    assert_eq!(folder.files_with(|_| true), [""; 0]);
}

#[test]
fn a_good_folder_keeps_every_byte_when_a_value_turns_bad() {
    let folder = Folder::new();
    folder.generate(2);
    folder.write(".env", folder.text(".env").replace("5002", "x"));
    let before = folder.state();
    folder.pgcluster(&["generate", "3"]).assert().code(2);
    assert_eq!(before.differences(&folder.state()), [""; 0]);
}
