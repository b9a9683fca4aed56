//! Are the users, passwords and the database of the settings those of the running cluster?

use futures_util::future::join_all;

use crate::error::{Failure, Kind, Problem};
use crate::observe;
use crate::postgres::{DATABASE, Session};
use crate::project::Project;
use crate::settings::Login;

/// Logs in to the master as each role of the settings.
///
/// These are set at initialisation, and editing `.env` does not change them in a cluster that is there.
///
/// # Errors
/// [`Kind::NotReady`] with every login that the master refuses. One that gets no answer is not refused.
pub async fn check(project: &Project) -> Result<(), Failure> {
    let settings = &project.settings;
    let logins = [
        ("POSTGRES_USER and POSTGRES_PASSWORD", &settings.admin, DATABASE),
        ("POSTGRES_DB", &settings.admin, &settings.database),
        (
            "REPLICATION_USER and REPLICATION_PASSWORD",
            &settings.replication,
            DATABASE,
        ),
        ("POOL_USER and POOL_PASSWORD", &settings.pool, DATABASE),
    ];
    let mut problems =
        join_all(logins.map(|(keys, login, database)| refusal(project, keys, login, database))).await;
    if problems[0].is_some() {
        // Who cannot log in at all tells nothing about the database.
        problems[1] = None;
    }
    Failure::unless_empty(Kind::NotReady, problems.into_iter().flatten().collect())
}

async fn refusal(project: &Project, keys: &str, login: &Login, database: &str) -> Option<Problem> {
    let mut endpoint = observe::endpoint(&project.settings, project.topology.master().port);
    endpoint.login = login.clone();
    database.clone_into(&mut endpoint.database);
    let silence = Session::new(endpoint).log_in().await.err()?;
    silence.refused.then(|| {
        Problem::new(format!("{keys}: not what the cluster was made with: {}", silence.reason)).fix(
            "put the old values back into .env; to change one, change it in the cluster by SQL and in .env together",
        )
    })
}
