//! Hands passwords to containers that run. Those that start later read them from their files.

use std::time::Duration;

use anyhow::Result;
use secrecy::ExposeSecret;

use crate::docker;
use crate::observed::Containers;
use crate::process;
use crate::project::Project;
use crate::roster::Roster;
use crate::settings::Login;
use crate::topology::{BOUNCER_SERVICE, MASTER_SERVICE, Node, POOL_SERVICE, SECRETS_FOLDER};

/// `docker exec` takes 80 ms, and the rest next to nothing; a busy machine takes its time.
const LIMIT: Duration = Duration::from_secs(60);

/// Tells the pool whom to let in with which password; what is open goes on. Says whether one runs.
///
/// `own` are the roles of `.env` that it needs itself.
///
/// # Errors
/// The command failed; the pool goes on with what it had.
pub async fn pool(project: &Project, there: &Containers, own: &[&Login], roster: &Roster) -> Result<bool> {
    // The mode that runs may be another than that of `.env`.
    let all = project.settings.pool_needs_passwords() || there.contains_key(BOUNCER_SERVICE);
    let message = roster.message(own, all);
    let mut told = false;
    // Pgpool-II first: PgBouncer logs in there with what it is told.
    for (service, script) in [
        (POOL_SERVICE, "/pool/pool-refresh.sh"),
        (BOUNCER_SERVICE, "/bouncer/pool-refresh.sh"),
    ] {
        if let Some(container) = there.get(service).filter(|pool| pool.is_running()) {
            let argv = docker::exec_with_input(&container.id, &["bash", script]);
            process::feed(&argv, &project.topology.folder, message.as_bytes(), LIMIT).await?;
            told = true;
        }
    }
    Ok(told)
}

/// Puts a file in place of the one with the replication password, unless what arrives was cut short.
const TAKE_PASSFILE: &str = "set -eu; umask 077; cd /run/pgcluster; IFS= read -r line; read -r end; \
    [[ $end == end ]]; printf '%s\\n' \"$line\" >pgpass.new; chown postgres:postgres pgpass.new; mv -f pgpass.new pgpass";

/// Tells every node that runs with which password to replicate; streams that are open go on.
///
/// # Errors
/// The command failed on one of them; it goes on with what it had.
pub async fn nodes(project: &Project, there: &Containers, login: &Login) -> Result<()> {
    let message = format!("{}\nend\n", passfile_line(login));
    for node in &project.topology.nodes {
        if let Some(container) = there.get(&node.service()).filter(|node| node.is_running()) {
            let argv = docker::exec_with_input(&container.id, &["bash", "-c", TAKE_PASSFILE]);
            process::feed(&argv, &project.topology.folder, message.as_bytes(), LIMIT).await?;
        }
    }
    Ok(())
}

/// Puts a key and certificates in place of those that are there, unless what arrives was cut short, and beside them the
/// fingerprint that the server tells of those that it has read. As node-common.sh does when the container starts.
const TAKE_CERTIFICATE: &str = "set -eu; umask 077; cd /run/pgcluster; cat >server.pem.new; \
    [[ $(tail -n 1 server.pem.new) == '-----END CERTIFICATE-----' ]]; sum=$(sha256sum server.pem.new); \
    printf \"pgcluster.certificate = '%s'\\n\" \"${sum:0:16}\" >tls.conf.new; \
    chown postgres:postgres server.pem.new tls.conf.new; mv -f server.pem.new server.pem; mv -f tls.conf.new tls.conf";

/// Gives a node the certificate that it is to have, where TLS is on; its server takes it up when it reads its files.
///
/// # Errors
/// The command failed; the node goes on with what it had.
pub async fn certificate(project: &Project, there: &Containers, node: &Node) -> Result<()> {
    let path = format!("{SECRETS_FOLDER}/{}", node.certificate());
    let file = project.rendering.files.iter().find(|file| file.path == path);
    let container = there.get(&node.service()).filter(|node| node.is_running());
    if let (Some(file), Some(container)) = (file, container) {
        let argv = docker::exec_with_input(&container.id, &["bash", "-c", TAKE_CERTIFICATE]);
        process::feed(&argv, &project.topology.folder, &file.content, LIMIT).await?;
    }
    Ok(())
}

/// Logs in to the master for replication from every node that runs, as its receiver would.
///
/// # Errors
/// The login is refused: with what it said.
pub async fn replication_works(project: &Project, there: &Containers, user: &str) -> Result<()> {
    for node in &project.topology.nodes {
        if let Some(container) = there.get(&node.service()).filter(|node| node.is_running()) {
            let argv = docker::replication_login(&container.id, MASTER_SERVICE, user);
            process::run(&argv, &project.topology.folder, LIMIT).await?;
        }
    }
    Ok(())
}

/// A line of a libpq password file for any server and database, in which `\` escapes itself and the colon.
fn passfile_line(login: &Login) -> String {
    let escape = |text: &str| text.replace('\\', "\\\\").replace(':', "\\:");
    format!(
        "*:*:*:{}:{}",
        escape(&login.user),
        escape(login.password.expose_secret())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passfile_escapes_what_ends_a_field() {
        let login = Login {
            user: r"re\pl".into(),
            password: r"a:b\".into(),
        };
        assert_eq!(passfile_line(&login), r"*:*:*:re\\pl:a\:b\\");
    }
}
