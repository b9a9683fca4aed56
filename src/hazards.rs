//! Where QUERY_CACHE=all gives wrong answers: what the databases of the running cluster have that Pgpool-II cannot
//! see, and that only QUERY_CACHE_TTL ends.

use futures_util::future::join_all;

use crate::error::{Failure, Kind, Problem};
use crate::observe;
use crate::postgres::Session;
use crate::project::Project;
use crate::settings::QueryCache;

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

/// Looks through all databases; nothing where not everything is cached, or the master does not answer.
pub async fn look(project: &Project) -> Vec<Found> {
    if project.settings.cache != QueryCache::All {
        return Vec::new();
    }
    let endpoint = observe::endpoint(&project.settings, project.topology.master().port);
    let databases = Session::new(endpoint.clone())
        .databases()
        .await
        .unwrap_or_default();
    let looks = databases.into_iter().map(|database| {
        let mut endpoint = endpoint.clone();
        endpoint.database.clone_from(&database);
        async move {
            let hazards = Session::new(endpoint).cache_hazards().await.unwrap_or_default();
            let sentence = |hazard: Hazard| {
                let text = format!("{database}: {}: {}", hazard.what, hazard.names);
                (hazard, text)
            };
            hazards.into_iter().map(sentence).collect::<Vec<_>>()
        }
    });
    join_all(looks).await.concat()
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

/// What may be late by as much as QUERY_CACHE_TTL, a line each.
pub fn warnings(project: &Project, found: &[Found]) -> Vec<String> {
    let late = found.iter().filter(|(hazard, _)| !hazard.mixes);
    late.map(|(_, text)| {
        let ttl = project.settings.cache_ttl;
        format!("QUERY_CACHE=all may serve rows that are up to {ttl} s old in {text}")
    })
    .collect()
}
