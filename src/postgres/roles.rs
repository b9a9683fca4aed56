//! Roles: who there is, and how one is made, changed and dropped.

use postgres_protocol::password::scram_sha_256;
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::Session;
use crate::error::Problem;
use crate::settings::Login;

/// A role as the server has it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Role {
    pub name: String,
    pub oid: u32,
    /// It may log in.
    pub login: bool,
    pub superuser: bool,
    pub createdb: bool,
    pub createrole: bool,
    pub replication: bool,
    /// How its password is stored: `scram`, `md5`, or nothing where it has none.
    pub password: Option<String>,
    /// The date until which its password is valid has passed.
    pub expired: bool,
    /// The roles that it is a member of.
    pub member_of: Vec<String>,
}

/// What a new role may do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes {
    pub superuser: bool,
    pub createdb: bool,
    /// It reads every table, and writes none.
    pub readonly: bool,
}

const ROLES: &str = "
SELECT coalesce(json_agg(json_build_object(
    'name', rolname, 'oid', oid::bigint, 'login', rolcanlogin, 'superuser', rolsuper, 'createdb', rolcreatedb,
    'createrole', rolcreaterole, 'replication', rolreplication,
    'password', CASE WHEN rolpassword LIKE 'SCRAM-SHA-256$%' THEN 'scram' WHEN rolpassword IS NOT NULL THEN 'md5' END,
    'expired', coalesce(rolvaliduntil < now(), false),
    'member_of', (SELECT coalesce(json_agg(g.rolname ORDER BY g.rolname), '[]')
        FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid)
  ) ORDER BY rolname), '[]')::text
FROM pg_authid r WHERE rolname !~ '^pg_'";

impl Session {
    /// Every role but PostgreSQL's own; only as a superuser.
    pub async fn roles(&mut self) -> Result<Vec<Role>, Problem> {
        let text = self.found(ROLES).await?.unwrap_or_default();
        serde_json::from_str(&text)
            .map_err(|error| Problem::new(format!("an answer that makes no sense: {error}")))
    }

    /// The first value of the first row.
    async fn found(&mut self, sql: &str) -> Result<Option<String>, Problem> {
        let rows = self.order(sql).await?;
        Ok(rows.first().and_then(|row| row.get(0)).map(str::to_owned))
    }

    /// Makes a role that logs in.
    ///
    /// # Errors
    /// As the server says; the password is in no statement, only what it verifies.
    pub async fn create_role(&mut self, login: &Login, attributes: Attributes) -> Result<(), Problem> {
        let Attributes {
            superuser,
            createdb,
            readonly,
        } = attributes;
        let option = |wanted: bool, words: &str| {
            if wanted {
                format!(" {words}")
            } else {
                String::new()
            }
        };
        let sql = format!(
            "CREATE ROLE {} LOGIN{}{} PASSWORD '{}'{}",
            identifier(&login.user),
            option(superuser, "SUPERUSER"),
            option(createdb, "CREATEDB"),
            verifier(login),
            option(readonly, "IN ROLE pg_read_all_data"),
        );
        self.order(&sql).await.map(drop)
    }

    /// Gives a role another password, in the same way.
    pub async fn set_password(&mut self, login: &Login) -> Result<(), Problem> {
        let sql = format!(
            "ALTER ROLE {} PASSWORD '{}'",
            identifier(&login.user),
            verifier(login)
        );
        self.order(&sql).await.map(drop)
    }

    /// Drops a role.
    ///
    /// # Errors
    /// It owns something, or holds a right on it: the server's message with the list.
    pub async fn drop_role(&mut self, name: &str) -> Result<(), Problem> {
        self.order(&format!("DROP ROLE {}", identifier(name)))
            .await
            .map(drop)
    }

    /// The owner of a database, if there is one of that name.
    pub async fn database_owner(&mut self, name: &str) -> Result<Option<String>, Problem> {
        self.found(&format!(
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = {}",
            literal(name)
        ))
        .await
    }

    pub async fn create_database(&mut self, name: &str, owner: &str) -> Result<(), Problem> {
        let sql = format!("CREATE DATABASE {} OWNER {}", identifier(name), identifier(owner));
        self.order(&sql).await.map(drop)
    }

    /// Ends the sessions of a role, all of them or those that come from one address; says how many.
    pub async fn end_sessions(&mut self, oid: u32, address: Option<&str>) -> Result<u64, Problem> {
        let from = address.map_or(String::new(), |address| {
            format!(" AND client_addr = {}::inet", literal(address))
        });
        let count = self
            .found(&format!(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usesysid = {oid}{from}"
            ))
            .await?;
        Ok(count.and_then(|count| count.parse().ok()).unwrap_or(0))
    }

    /// The address from which the other end of this session is seen by the node it ends on.
    pub async fn seen_from(&mut self) -> Result<Option<String>, Problem> {
        self.found("SELECT host(inet_client_addr())").await
    }
}

/// What the server keeps of a password (RFC 5803): letters, digits and `$:+/=`.
fn verifier(login: &Login) -> String {
    scram_sha_256(login.password.expose_secret().as_bytes())
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string constant that reads the same whatever `standard_conforming_strings` says.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_end_their_quotes() {
        assert_eq!(identifier(r#"a"b\'"#), r#""a""b\'""#);
        assert_eq!(literal(r#"a'b\"#), r#"E'a''b\\'"#);
    }

    #[test]
    fn a_verifier_hides_the_password_and_needs_no_quoting() {
        let login = Login {
            user: "app".into(),
            password: "Hush".into(),
        };
        let text = verifier(&login);
        assert!(text.starts_with("SCRAM-SHA-256$4096:"), "{text}");
        assert!(!text.contains(['\'', '\\']) && !text.contains("Hush"), "{text}");
    }
}
