//! Passwords: which of them every part of the cluster can use, and whose they are.

use super::{Login, Settings};

/// Bytes of a password that Pgpool-II 4.7 reads from its password file; it cuts longer ones off silently.
const MAX_PASSWORD: usize = 124;

/// A role whose password is in `.env`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    Postgres,
    Replication,
    Pool,
}

impl Account {
    pub const ALL: [Account; 3] = [Account::Postgres, Account::Replication, Account::Pool];

    /// What `pgcluster rotate` calls it.
    pub fn word(self) -> &'static str {
        match self {
            Account::Postgres => "postgres",
            Account::Replication => "replication",
            Account::Pool => "pool",
        }
    }

    /// The key of its password in `.env`.
    pub fn key(self) -> &'static str {
        match self {
            Account::Postgres => "POSTGRES_PASSWORD",
            Account::Replication => "REPLICATION_PASSWORD",
            Account::Pool => "POOL_PASSWORD",
        }
    }

    /// The file, and Compose's name, of its password.
    pub fn secret(self) -> &'static str {
        match self {
            Account::Postgres => "postgres_password",
            Account::Replication => "replication_password",
            Account::Pool => "pool_password",
        }
    }

    pub fn login(self, settings: &Settings) -> &Login {
        match self {
            Account::Postgres => &settings.admin,
            Account::Replication => &settings.replication,
            Account::Pool => &settings.pool,
        }
    }
}

/// Why not every part of the cluster can use `password`, each reason with its fix.
pub fn password_problems(password: &str) -> Vec<(String, &'static str)> {
    let mut problems = Vec::new();
    let mut problem = |wrong: &str, fix| problems.push((wrong.to_owned(), fix));
    if password.is_empty() {
        problem(
            "is empty, and PostgreSQL lets nobody in without a password",
            "set one",
        );
    }
    if has_control_character(password) {
        problem("has a control character (newline, tab, NUL …)", "leave it out");
    }
    if password.len() > MAX_PASSWORD {
        problem(
            &format!("is longer than the {MAX_PASSWORD} bytes that Pgpool-II takes"),
            "choose a shorter one",
        );
    }
    if looks_hashed(password) {
        problem(
            "looks like a hash, for which PostgreSQL and PgBouncer would take it",
            "choose one that begins otherwise",
        );
    }
    // PostgreSQL and its clients replace such characters before they hash (RFC 4013), Pgpool-II and PgBouncer do not.
    if stringprep::saslprep(password).is_ok_and(|prepared| prepared != password) {
        problem(
            "has a character that logins replace by another, such as a no-break space or a letter with a separate accent",
            "leave it out",
        );
    }
    problems
}

/// A newline, NUL or the like would end the line or the string in the files that names and passwords reach.
pub fn has_control_character(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// As `md5` with 32 hexadecimal digits, or a SCRAM verifier.
fn looks_hashed(password: &str) -> bool {
    let md5 = password
        .strip_prefix("md5")
        .is_some_and(|digits| digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()));
    md5 || password.starts_with("SCRAM-SHA-256$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_that_every_part_can_use() {
        fn check(password: &str, expected: &[&str]) {
            let found: Vec<String> = password_problems(password)
                .into_iter()
                .map(|(wrong, _)| wrong)
                .collect();
            assert_eq!(found.len(), expected.len(), "{password:?}: {found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.contains(expected), "{password:?}: {found}");
            }
        }
        for good in [
            "x",
            " p$x'\"\\#: {ü% ",
            "md5",
            "TEXTx",
            "AESx",
            "!x",
            &"x".repeat(124),
        ] {
            check(good, &[]);
        }
        check("", &["empty"]);
        check("a\tb", &["control"]);
        check(&"x".repeat(125), &["124 bytes"]);
        check("md5d41d8cd98f00b204e9800998ecf8427e", &["hash"]);
        check("SCRAM-SHA-256$4096:", &["hash"]);
        check("a\u{a0}b", &["replace"]);
        check("e\u{301}", &["replace"]);
    }
}
