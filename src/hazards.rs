//! Where the query cache gives wrong answers: with clients that pipeline; and with QUERY_CACHE=all what the databases
//! of the running cluster have that Pgpool-II cannot see, and that only QUERY_CACHE_TTL ends.

use futures_util::future::join_all;

use crate::error::{Failure, Kind, Problem};
use crate::observe;
use crate::observed::Silence;
use crate::postgres::Session;
use crate::project::Project;
use crate::settings::{Choice, QueryCache};

/// Something in a database that the query cache does not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hazard {
    /// It would serve the rows of another table, rather than rows that were right a moment ago.
    pub mixes: bool,
    pub what: String,
    /// Of the tables, roles or functions.
    pub names: String,
}

/// A hazard as a sentence, with its database.
pub type Found = (Hazard, String);

/// Looks through all databases, asking each up to `tries` times; nothing where not everything is cached.
pub async fn look(project: &Project, tries: u32) -> Vec<Found> {
    if project.settings.cache != QueryCache::All {
        return Vec::new();
    }
    let endpoint = observe::endpoint(project, project.topology.master().port);
    let mut master = Session::new(endpoint.clone());
    let mut databases = master.databases().await;
    for _ in 1..tries {
        if databases.is_err() {
            databases = master.databases().await;
        }
    }
    let databases = match databases {
        Ok(databases) => databases,
        Err(silence) => return vec![unknown("any database", silence)],
    };
    let looks = databases.into_iter().map(|database| {
        let mut endpoint = endpoint.clone();
        endpoint.database.clone_from(&database);
        async move { look_through(Session::new(endpoint), &database, tries).await }
    });
    join_all(looks).await.concat()
}

async fn look_through(mut session: Session, database: &str, tries: u32) -> Vec<Found> {
    let mut hazards = session.cache_hazards().await;
    for _ in 1..tries {
        if hazards.is_err() {
            hazards = session.cache_hazards().await;
        }
    }
    let sentence = |hazard: Hazard| {
        let text = format!("{database}: {}: {}", hazard.what, hazard.names);
        (hazard, text)
    };
    match hazards {
        Ok(hazards) => hazards.into_iter().map(sentence).collect(),
        Err(silence) => vec![unknown(database, silence)],
    }
}

/// A database that does not answer may hide anything.
fn unknown(database: &str, silence: Silence) -> Found {
    let text = format!("{database}: it could not be looked through: {}", silence.reason);
    let hazard = Hazard {
        mixes: false,
        what: "unknown".to_owned(),
        names: silence.reason,
    };
    (hazard, text)
}

/// # Errors
/// [`Kind::Input`] where the cache would serve the rows of one table for another: no time is short enough for that.
pub fn refuse_mixed(found: &[Found]) -> Result<(), Failure> {
    let problems = found
        .iter()
        .filter(|(hazard, _)| hazard.mixes)
        .map(|(_, text)| {
            Problem::new(format!(
                "QUERY_CACHE: `all` could serve the rows of one table for another in {text}"
            ))
            .fix("use QUERY_CACHE=hint, and ask for the cache in queries that name the schema; or off")
        })
        .collect();
    Failure::unless_empty(Kind::Input, problems)
}

/// What may be wrong, or late by as much as QUERY_CACHE_TTL, a line each.
pub fn warnings(project: &Project, found: &[Found]) -> Vec<String> {
    let cache = project.settings.cache;
    let mixed_up = (cache != QueryCache::Off).then(|| {
        format!(
            "QUERY_CACHE={}: a client that sends several queries and only then a Sync (a pipeline, a driver's \
             batch) may get the answers of others, and others its: use off unless none of yours does",
            cache.word()
        )
    });
    let late = found.iter().filter(|(hazard, _)| !hazard.mixes).map(|(_, text)| {
        let ttl = project.settings.cache_ttl;
        format!("QUERY_CACHE=all does not see this, for up to {ttl} s: {text}")
    });
    mixed_up.into_iter().chain(late).collect()
}
