//! Are the users, passwords and the database of the settings those of the cluster?

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::join_all;

use crate::data;
use crate::error::{Failure, Kind, Problem};
use crate::observe;
use crate::observed::{self, Containers, Silence};
use crate::postgres::{DATABASE, Session};
use crate::project::{self, Project};
use crate::settings::{Account, DataPlace, Login};
use crate::topology::{MASTER_SERVICE, SECRETS_FOLDER};
use crate::workdir;

/// How long a server is asked that gives no answer.
const LIMIT: Duration = Duration::from_secs(20);
const RETRY: Duration = Duration::from_millis(100);

/// What brings a cluster up whose `.env` has other passwords.
pub const START_AS_IT_WAS: &str =
    "`docker compose up -d` in the folder starts it with the passwords that it has";

/// Refuses a password that was changed in `.env` alone: files written with it would not fit the cluster, and the
/// password that does would be lost. Asks no server, and Docker only where the data is in volumes.
///
/// # Errors
/// [`Kind::NotReady`] with every such password, and how to bring it into the cluster.
pub async fn refuse_edited(project: &Project, there: &Containers) -> Result<()> {
    let edited_ones = project.edited();
    if edited_ones.is_empty() || !(there.contains_key(MASTER_SERVICE) || has_data(project).await?) {
        return Ok(());
    }
    let runs = observed::answers(there, MASTER_SERVICE, project.topology.master().port);
    let problems = edited_ones
        .into_iter()
        .map(|account| edited(account, runs))
        .collect();
    Ok(Failure::unless_empty(Kind::NotReady, problems)?)
}

/// Whether a cluster was made: its master has data.
async fn has_data(project: &Project) -> Result<bool> {
    let topology = &project.topology;
    Ok(match project.settings.data {
        DataPlace::Directory => workdir::data_directories(&topology.folder)?.contains_key(&0),
        DataPlace::Volume => data::volumes(&topology.folder, &topology.project)
            .await?
            .contains_key(&0),
    })
}

fn edited(account: Account, runs: bool) -> Problem {
    let (key, word) = (account.key(), account.word());
    if project::is_in_environment(key) {
        return Problem::new(format!("{key}: the environment has another than the cluster"))
            .fix("unset the variable; a password is changed by `pgcluster rotate`");
    }
    let old = format!("it is in {SECRETS_FOLDER}/{}", account.secret());
    Problem::new(format!("{key}: .env has another than the cluster, or a `pgcluster rotate` was cut short")).fix(
        match runs {
            true => format!("`pgcluster rotate {word} --from-env` changes it in the cluster too; or put the old one back ({old})"),
            false => format!("{START_AS_IT_WAS}, then `pgcluster rotate {word} --from-env`; or put the old one back ({old})"),
        },
    )
}

/// Logs in to the master as each role of the settings.
///
/// These are set at initialisation, and editing `.env` does not change them in a cluster that is there.
///
/// # Errors
/// [`Kind::NotReady`] with every login that the master refuses. One that gets no answer is not refused.
pub async fn check(project: &Project) -> Result<(), Failure> {
    let settings = &project.settings;
    let rotate = |account: Account| {
        format!(
            "put the old values back into .env; where it is the password, `pgcluster rotate {} --from-env` gives the \
             cluster the one of .env",
            account.word()
        )
    };
    let admin = "put the old values back into .env; a lost password is set anew by `docker compose exec postgres-master \
                 psql -U USER postgres` and `\\password`"
        .to_owned();
    let database = "put the old value back into .env, or create the database by SQL".to_owned();
    let logins = [
        (
            "POSTGRES_USER and POSTGRES_PASSWORD",
            &settings.admin,
            DATABASE,
            admin,
        ),
        (
            "POSTGRES_DB",
            &settings.admin,
            settings.database.as_str(),
            database,
        ),
        (
            "REPLICATION_USER and REPLICATION_PASSWORD",
            &settings.replication,
            DATABASE,
            rotate(Account::Replication),
        ),
        (
            "POOL_USER and POOL_PASSWORD",
            &settings.pool,
            DATABASE,
            rotate(Account::Pool),
        ),
    ];
    let mut problems = join_all(logins.map(|(keys, login, database, fix)| async move {
        let silence = attempt(project, project.topology.master().port, login, database)
            .await
            .err()?;
        let what = format!("{keys}: not what the cluster was made with: {}", silence.reason);
        silence.refused.then(|| Problem::new(what).fix(fix))
    }))
    .await;
    if problems[0].is_some() {
        // Who cannot log in at all tells nothing about the database.
        problems[1] = None;
    }
    Failure::unless_empty(Kind::NotReady, problems.into_iter().flatten().collect())
}

/// Logs in once, with a connection of its own.
pub async fn attempt(project: &Project, port: u16, login: &Login, database: &str) -> Result<(), Silence> {
    let mut endpoint = observe::endpoint(project, port);
    endpoint.login = login.clone();
    database.clone_into(&mut endpoint.database);
    Session::new(endpoint).log_in().await
}

/// As [`attempt`], again and again where neither yes nor no comes back: a busy machine is slow to answer.
pub async fn answer(project: &Project, port: u16, login: &Login, database: &str) -> Result<(), Silence> {
    let deadline = Instant::now() + LIMIT;
    loop {
        match attempt(project, port, login, database).await {
            Err(silence) if !is_refusal(&silence) && Instant::now() + RETRY < deadline => {
                tokio::time::sleep(RETRY).await;
            }
            answer => return answer,
        }
    }
}

/// Whether the password was the reason. Pgpool-II and PgBouncer have no error code for that.
pub fn is_refusal(silence: &Silence) -> bool {
    silence.refused || silence.reason.contains("authentication failed")
}
