//! The roles that `pgcluster user` made known, with their passwords: the pool answers logins with them.
//!
//! One line a role, its name and its password with a tab between. Neither can hold a control character, so nothing is
//! escaped, and a shell reads it as well.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use crate::render::Rendered;
use crate::settings::Login;
use crate::topology::LOGINS_FILE;

/// Name of a role → its password.
#[derive(Clone, Debug, Default)]
pub struct Roster(BTreeMap<String, SecretString>);

impl Roster {
    /// Reads the file's content; a line that is none is left out.
    pub fn parse(content: &[u8]) -> Self {
        let text = String::from_utf8_lossy(content);
        let line = |line: &str| {
            let (name, password) = line.split_once('\t')?;
            // Not of ours: who reads it next would take it for something else.
            if name.chars().chain(password.chars()).any(char::is_control) {
                return None;
            }
            Some((name.to_owned(), SecretString::from(password)))
        };
        Roster(text.lines().filter_map(line).collect())
    }

    pub fn get(&self, name: &str) -> Option<&SecretString> {
        self.0.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    pub fn insert(&mut self, login: &Login) {
        self.0.insert(login.user.clone(), login.password.clone());
    }

    pub fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// The file to write.
    pub fn file(&self) -> Rendered {
        Rendered {
            path: LOGINS_FILE.to_owned(),
            content: self.lines().into_bytes().into(),
            private: true,
        }
    }

    fn lines(&self) -> String {
        self.0
            .iter()
            .map(|(name, password)| line(name, password))
            .collect()
    }

    /// What a running pool is told: these logins and, where `all` is set, everyone's here; then a line that tells the
    /// whole from what was cut short.
    pub fn message(&self, own: &[&Login], all: bool) -> String {
        let own: String = own
            .iter()
            .map(|login| line(&login.user, &login.password))
            .collect();
        let others = match all {
            true => self.lines(),
            false => String::new(),
        };
        format!("{own}{others}end\n")
    }
}

fn line(name: &str, password: &SecretString) -> String {
    format!("{name}\t{}\n", password.expose_secret())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: &str, password: &str) -> Login {
        Login {
            user: user.to_owned(),
            password: password.into(),
        }
    }

    #[test]
    fn awkward_names_and_passwords_come_back() {
        let mut roster = Roster::default();
        let logins = [
            login(" o'br\"ien:\\ü", " p$x'\"\\#:{ü% "),
            login("end", "x"),
            login("#", "'"),
        ];
        for login in &logins {
            roster.insert(login);
        }
        let mut read = Roster::parse(&roster.file().content);
        assert_eq!(read.names().count(), 3);
        for login in &logins {
            assert_eq!(
                read.get(&login.user).unwrap().expose_secret(),
                login.password.expose_secret()
            );
        }
        assert!(read.remove("#"));
        assert!(!read.remove("#"));
    }

    #[test]
    fn the_pool_is_told_what_it_needs_and_where_it_ends() {
        let mut roster = Roster::default();
        roster.insert(&login("app", "1"));
        let admin = login("admin", "2");
        assert_eq!(roster.message(&[&admin], false), "admin\t2\nend\n");
        assert_eq!(roster.message(&[&admin], true), "admin\t2\napp\t1\nend\n");
    }

    #[test]
    fn passwords_are_not_in_debug_output() {
        let roster = Roster::parse(b"app\tHush\n");
        assert!(!format!("{roster:?}").contains("Hush"));
    }
}
