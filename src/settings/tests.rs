use std::path::Path;

use super::*;

fn resolve(env: &str, replicas: u32) -> Result<(Settings, Vec<String>), Vec<String>> {
    let file = EnvFile::parse(env.as_bytes(), Path::new(".env")).unwrap();
    Settings::resolve(&file, |_| None, replicas)
        .map(|(settings, additions)| {
            let additions = additions.iter().map(|(k, v)| format!("{k}={v}")).collect();
            (settings, additions)
        })
        .map_err(|problems| problems.into_iter().map(|p| p.what).collect())
}

const SHIPPED: &str = include_str!("../../.env");

#[test]
fn the_shipped_file_has_every_key_with_its_default() {
    let (_, additions) = resolve(SHIPPED, 2).unwrap();
    assert!(additions.is_empty(), "{additions:?}");
    let file = EnvFile::parse(SHIPPED.as_bytes(), Path::new(".env")).unwrap();
    for (key, default) in DEFAULTS {
        assert_eq!(file.get(key), Some(*default), "{key}");
    }
}

#[test]
fn missing_ports_follow_in_sequence_and_avoid_the_others() {
    fn check(env: &str, replicas: u32, expected: &[u16]) {
        assert_eq!(resolve(env, replicas).unwrap().0.replica_ports, expected);
    }
    check("", 3, &[5001, 5002, 5003]);
    check("MASTER_PORT=5100", 2, &[5101, 5102]);
    check("SLAVE1_PORT=7001", 3, &[7001, 7002, 7003]);
    check("PGPOOL_PORT=5002", 2, &[5001, 5003]);
    check("SLAVE3_PORT=5001", 3, &[5002, 5003, 5001]);
    check("", 0, &[]);
}

#[test]
fn only_missing_ports_are_added() {
    let (_, additions) = resolve(SHIPPED, 4).unwrap();
    assert_eq!(additions, ["SLAVE3_PORT=5003", "SLAVE4_PORT=5004"]);
}

#[test]
fn the_environment_wins_and_is_not_written_down() {
    let file = EnvFile::parse(b"MASTER_PORT=5000", Path::new(".env")).unwrap();
    let env = |key: &str| (key == "MASTER_PORT").then(|| "5500".to_owned());
    let (settings, additions) = Settings::resolve(&file, env, 0).unwrap();
    assert_eq!(settings.master_port, 5500);
    assert!(additions.iter().all(|(key, _)| key != "MASTER_PORT"));
}

#[test]
fn all_problems_come_together_and_name_their_key() {
    let problems = resolve(
        "POSTGRES_USER=pg_x\nPOSTGRES_PASSWORD=\"a\\nb\"\nREPLICATION_PASSWORD=\nPGDATA=/etc/x\n\
         BIND_ADDRESS=here\nMASTER_PORT=0\nPGPOOL_PORT=70000\nSLAVE1_PORT=5001\nSLAVE2_PORT=5001\nPOOL_USER=a:b",
        2,
    )
    .unwrap_err();
    assert_eq!(
        problems,
        [
            "POSTGRES_USER: `pg_x` begins with `pg_`, which PostgreSQL reserves",
            "POSTGRES_PASSWORD: has a control character (newline, tab, NUL …)",
            "PGDATA: `/etc/x` is a directory of the container's system",
            "REPLICATION_PASSWORD: is empty, and PostgreSQL lets nobody in without a password",
            "POOL_USER: `a:b` has a `:`, which ends the name in password files",
            "BIND_ADDRESS: `here` is not an IP address",
            "MASTER_PORT: `0` is not a port",
            "PGPOOL_PORT: `70000` is not a port",
            "SLAVE2_PORT: `5001` is also SLAVE1_PORT",
        ]
    );
}

#[test]
fn words_and_amounts_are_checked() {
    let problems = resolve(
        "CONNECTION_MODE=fast\nMAX_REPLICA_LAG=0\nQUERY_CACHE_TTL=-1\nDATA=here\nEXTENSIONS='a;b'\n\
         EXTENSIONS_IN_TEMPLATE=yes\nTLS=verify-full",
        0,
    )
    .unwrap_err();
    assert_eq!(
        problems,
        [
            "TLS: `verify-full` is none of auto, on, off",
            "CONNECTION_MODE: `fast` is none of its words",
            "MAX_REPLICA_LAG: `0` is not an amount of bytes",
            "QUERY_CACHE_TTL: `-1` is not a number of seconds",
            "DATA: `here` is none of its words",
            "EXTENSIONS: `a;b` is not a list of extensions",
            "EXTENSIONS_IN_TEMPLATE: `yes` is neither `on` nor `off`",
        ]
    );
    let (settings, _) = resolve("MAX_REPLICA_LAG=2MB\nEXTENSIONS='vector, postgis'", 0).unwrap();
    assert_eq!(settings.max_replica_lag, 2 << 20);
    assert_eq!(settings.extensions, ["vector", "postgis"]);
}

#[test]
fn what_cannot_hold_behind_pgbouncer_is_refused() {
    for mode in ["transaction", "statement"] {
        let env = format!("CONNECTION_MODE={mode}\nREAD_CONSISTENCY=session\nPOSTGRES_DB=pgbouncer");
        let problems = resolve(&env, 0).unwrap_err();
        assert_eq!(
            problems,
            [
                format!(
                    "READ_CONSISTENCY: `session` cannot hold with CONNECTION_MODE={mode}: the next {mode} of a client \
                     may run on another connection, which knows nothing of what the client wrote before"
                ),
                format!(
                    "POSTGRES_DB: `pgbouncer` cannot be reached with CONNECTION_MODE={mode}: it is the name of \
                     PgBouncer's console"
                ),
            ]
        );
        resolve(&format!("CONNECTION_MODE={mode}\nREAD_CONSISTENCY=strict"), 0).unwrap();
    }
    resolve("READ_CONSISTENCY=session\nPOSTGRES_DB=pgbouncer", 0).unwrap();
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    fn check(env: &str, expected: &[&str]) {
        let problems = resolve(env, 1).err().unwrap_or_default();
        assert_eq!(problems, expected, "{env}");
    }
    let cache = |level| {
        format!(
            "QUERY_CACHE: `all` answers from memory what may have changed meanwhile, and READ_CONSISTENCY={level} \
             promises otherwise"
        )
    };
    check("READ_CONSISTENCY=strict\nQUERY_CACHE=all", &[&cache("strict")]);
    check("READ_CONSISTENCY=session\nQUERY_CACHE=all", &[&cache("session")]);
    check("READ_CONSISTENCY=eventual\nQUERY_CACHE=all", &[]);
    check(
        "READ_CONSISTENCY=strict\nQUERY_CACHE=hint\nCONNECTION_MODE=transaction",
        &[],
    );
}

#[test]
fn a_role_cannot_serve_twice() {
    let problems = resolve("REPLICATION_USER=postgresadmin", 0).unwrap_err();
    assert_eq!(
        problems,
        ["REPLICATION_USER: `postgresadmin` is also POSTGRES_USER"]
    );
}

#[test]
fn debug_output_hides_passwords() {
    let (settings, _) = resolve("", 1).unwrap();
    assert!(!format!("{settings:?}").contains("admin123"));
}

#[test]
fn what_leaves_this_machine_is_encrypted_unless_someone_says_otherwise() {
    fn check(env: &str, expected: bool) {
        assert_eq!(resolve(env, 1).unwrap().0.tls, expected, "{env}");
    }
    check("", false);
    check("BIND_ADDRESS=::1", false);
    check("BIND_ADDRESS=0.0.0.0", true);
    check("BIND_ADDRESS=192.0.2.7\nTLS=off", false);
    check("TLS=on", true);
    let problems = resolve("TLS=yes", 1).unwrap_err();
    assert!(problems[0].contains("TLS"), "{problems:?}");
}
