//! What is known of extensions: which library must be loaded at the start of a server, and the statements. Pure.

use std::collections::BTreeMap;

use crate::plan::{Planned, Step};

/// The database that every new one is a copy of.
pub const TEMPLATE: &str = "template1";

/// In every image that the shipped Dockerfile builds.
const STOCK: &[&str] = &["plpgsql", "vector", "timescaledb", "vectorscale"];

/// Extensions of which a server must load a library when it starts.
const PRELOADED: &[(&str, &str)] = &[
    ("auto_explain", "auto_explain"),
    ("pg_cron", "pg_cron"),
    ("pg_failover_slots", "pg_failover_slots"),
    ("pg_partman", "pg_partman_bgw"),
    ("pg_qualstats", "pg_qualstats"),
    ("pg_show_plans", "pg_show_plans"),
    ("pg_squeeze", "pg_squeeze"),
    ("pg_stat_kcache", "pg_stat_kcache"),
    ("pg_stat_statements", "pg_stat_statements"),
    ("pg_wait_sampling", "pg_wait_sampling"),
    ("pgaudit", "pgaudit"),
    ("pglogical", "pglogical"),
    ("set_user", "set_user"),
];

/// A library and no more: there is nothing to create.
const ONLY_LIBRARIES: &[&str] = &["auto_explain", "pg_failover_slots"];

/// Can be in one database of a cluster alone.
const SINGLE: &[&str] = &["pg_cron"];

/// The value of `shared_preload_libraries`. TimescaleDB's stays whatever the list says: a database that has the
/// extension cannot be used without it.
pub fn libraries(extensions: &[String]) -> String {
    let library = |name: &String| PRELOADED.iter().find(|(extension, _)| extension == name);
    let others = extensions.iter().filter_map(library).map(|(_, library)| *library);
    let mut libraries = vec!["timescaledb"];
    for library in others {
        if !libraries.contains(&library) {
            libraries.push(library);
        }
    }
    libraries.join(",")
}

/// Those that can be created in `database`.
pub fn creatable<'a>(extensions: &'a [String], database: &str) -> Vec<&'a String> {
    let can = |name: &&String| {
        let name = name.as_str();
        !ONLY_LIBRARIES.contains(&name) && (database != TEMPLATE || !SINGLE.contains(&name))
    };
    extensions.iter().filter(can).collect()
}

/// Those of which the shipped Dockerfile says nothing.
pub fn extra(extensions: &[String]) -> Vec<&String> {
    extensions
        .iter()
        .filter(|name| !STOCK.contains(&name.as_str()) && !ONLY_LIBRARIES.contains(&name.as_str()))
        .collect()
}

/// Creates `name` and what it needs, where it is not there yet.
pub fn statement(name: &str) -> String {
    format!(
        "CREATE EXTENSION IF NOT EXISTS \"{}\" CASCADE;",
        name.replace('"', "\"\"")
    )
}

/// The statements for `database`, one a line, as a single-user server reads them.
pub fn script(extensions: &[String], database: &str) -> String {
    creatable(extensions, database)
        .into_iter()
        .map(|name| format!("{}\n", statement(name)))
        .collect()
}

/// What one database says of its extensions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installed {
    /// Name → version.
    pub versions: BTreeMap<String, String>,
    /// Name → the version that the image has, where it is another.
    pub updates: BTreeMap<String, String>,
}

/// What `database` lacks of `extensions`. Nothing is ever dropped.
pub fn missing(extensions: &[String], database: &str, installed: &Installed) -> Vec<Planned> {
    creatable(extensions, database)
        .into_iter()
        .filter(|name| !installed.versions.contains_key(*name))
        .map(|name| {
            Step::CreateExtension {
                name: name.clone(),
                database: database.to_owned(),
            }
            .because("EXTENSIONS names it")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Vec<String> {
        list.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn timescaledb_is_loaded_first_and_always() {
        fn check(list: &str, expected: &str) {
            assert_eq!(libraries(&names(list)), expected);
        }
        check("", "timescaledb");
        check("vector timescaledb vectorscale", "timescaledb");
        check(
            "pg_partman pgaudit auto_explain",
            "timescaledb,pg_partman_bgw,pgaudit,auto_explain",
        );
        check("pgaudit pgaudit", "timescaledb,pgaudit");
    }

    #[test]
    fn only_what_is_missing_is_created_where_it_can_be() {
        let wanted = names("vector auto_explain pg_cron uuid-ossp");
        let installed = Installed {
            versions: BTreeMap::from([("vector".into(), "0.8.0".into()), ("hstore".into(), "1.8".into())]),
            ..Installed::default()
        };
        let steps = |database| -> Vec<String> {
            let steps = missing(&wanted, database, &installed);
            steps.iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            steps("db"),
            [
                "create extension pg_cron in db  (EXTENSIONS names it)",
                "create extension uuid-ossp in db  (EXTENSIONS names it)"
            ]
        );
        assert_eq!(
            steps(TEMPLATE),
            ["create extension uuid-ossp in template1  (EXTENSIONS names it)"]
        );
        assert_eq!(
            script(&wanted, TEMPLATE),
            "CREATE EXTENSION IF NOT EXISTS \"vector\" CASCADE;\n\
             CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" CASCADE;\n"
        );
    }
}
