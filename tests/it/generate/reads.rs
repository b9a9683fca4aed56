//! What READ_CONSISTENCY and QUERY_CACHE put into the configuration.

use crate::folder::Folder;

/// The values of these settings in `path`, for `env`; `-` for one that is not there.
fn check(env: &str, path: &str, expected: &[(&str, &str)]) {
    let folder = Folder::generated(2, env);
    let text = folder.text(path);
    for (key, value) in expected {
        let found = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        assert_eq!(found.unwrap_or("-"), *value, "{key} for {env:?}");
    }
}

#[test]
fn a_level_of_consistency_reaches_the_pool_and_the_nodes() {
    const WRITE: &str = "disable_load_balance_on_write";
    let check = |level: &str, write: &str, commit: &str| {
        let env = format!("READ_CONSISTENCY={level}\n");
        // Putting a replica back is the watcher's, which knows whether commits wait for it.
        let pool = [(WRITE, write), ("auto_failback", "off")];
        check(&env, "pgpool/pgpool.conf", &pool);
        for node in ["master", "slave-2"] {
            let path = format!("{node}/config/cluster.conf");
            self::check(&env, &path, &[("synchronous_commit", commit)]);
        }
    };
    check("eventual", "'transaction'", "-");
    check("session", "'always'", "-");
    check("strict", "'transaction'", "remote_apply");
}

#[test]
fn the_lag_that_a_replica_may_have_reaches_the_pool() {
    let check = |env: &str, bytes: &str| {
        check(env, "pgpool/pgpool.conf", &[("delay_threshold", bytes)]);
    };
    check("", "262144");
    check("MAX_REPLICA_LAG=1MB\n", "1048576");
}

#[test]
fn the_query_cache_is_off_asked_for_or_for_all_and_never_without_an_end() {
    let check = |env: &str, enabled: &str, unsafe_tables: &str, expire: &str, size: &str| {
        let expected = [
            ("memory_cache_enabled", enabled),
            ("cache_unsafe_memqcache_table_list", unsafe_tables),
            ("memqcache_expire", expire),
            ("memqcache_total_size", size),
        ];
        check(env, "pgpool/pgpool.conf", &expected);
    };
    check("QUERY_CACHE=off\n", "off", "-", "-", "1MB");
    check("QUERY_CACHE=hint\nQUERY_CACHE_TTL=9\n", "on", "'.*'", "9", "16MB");
    check("QUERY_CACHE=all\n", "on", "-", "5", "16MB");
}
