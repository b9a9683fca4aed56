use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cli::Global;
use crate::error::{Failure, Kind, Problem};
use crate::execute;
use crate::inside;
use crate::observe;
use crate::postgres::{InnerSession, Refusal, Rows};
use crate::project::Project;
use crate::settings::{Login, QueryCache};
use crate::topology::{self, MASTER_SERVICE, POOL_SERVICE};
use crate::ui::Ui;

/// Empty the pool's query cache, or check what it serves
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Drop every cached result
    Flush,
    Verify(VerifyArgs),
}

/// Compare what the cache serves for a query with what the master says now
///
/// Pgpool-II cannot list what it has cached: it keeps results under a hash of user, database and text. So this runs
/// the query as that user through the pool, where a cached result is served, and on the master. Give the text exactly
/// as your program sends it. With QUERY_CACHE=hint the hint is put before it where it has none. The exit code is 3 if
/// the rows differ; their order does not count. A result that was not cached is cached now.
#[derive(Debug, clap::Args)]
struct VerifyArgs {
    /// A query, which must not write
    #[arg(value_name = "SQL")]
    query: String,
    /// The database [default: POSTGRES_DB]
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// The role whose results are meant [default: POSTGRES_USER]
    #[arg(long, value_name = "NAME", requires = "password_file")]
    user: Option<String>,
    /// A file with the role's password
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
}

/// How long a query may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pgpool-II knows it by its place and its words.
const HINT: &str = "/*FORCE QUERY CACHE*/";

/// Rows shown of those that differ.
const SHOWN: usize = 5;

pub async fn run(args: &Args, global: &Global, ui: Ui) -> Result<()> {
    let project = Project::load_existing(global)?;
    if project.settings.cache == QueryCache::Off {
        let problem = Problem::new("QUERY_CACHE: `off`, so there is no cached result")
            .fix("use QUERY_CACHE=hint, then `pgcluster up`");
        return Err(Failure::new(Kind::Input, problem).into());
    }
    match &args.action {
        Action::Flush => flush(&project, ui).await,
        Action::Verify(args) => verify(args, &project, ui).await,
    }
}

async fn flush(project: &Project, ui: Ui) -> Result<()> {
    let topology = &project.topology;
    let containers = observe::containers(&topology.folder, &topology.project).await?;
    if !containers.get(POOL_SERVICE).is_some_and(|pool| pool.is_running()) {
        let problem =
            Problem::new("the pool does not run, so nothing is cached").fix("`pgcluster up` starts it");
        return Err(Failure::new(Kind::NotReady, problem).into());
    }
    execute::pcp(project, &containers, "pcp_invalidate_query_cache", &[]).await?;
    ui.note("the query cache is empty");
    Ok(())
}

async fn verify(args: &VerifyArgs, project: &Project, ui: Ui) -> Result<()> {
    let login = login(args, project)?;
    let database = args.database.as_ref().unwrap_or(&project.settings.database);
    let session = |service| inside::session(project, service, &login, database, PATIENCE);
    let mut master = session(MASTER_SERVICE).await?;
    let mut pool = session(POOL_SERVICE).await?;
    let input = |refusal: Refusal| {
        let problem = match refusal.code.as_str() {
            READ_ONLY => Problem::new(format!("the query writes: {}", refusal.message))
                .fix("the cache is for queries that read; nothing was written"),
            _ => Problem::new(format!("the query is refused: {}", refusal.message)),
        };
        Failure::new(Kind::Input, problem)
    };
    // First where nothing can be written, and as one statement.
    let before = on_master(&mut master, &args.query).await.map_err(input)?;
    let served = through_pool(&mut pool, &as_cached(&args.query, project.settings.cache))
        .await
        .map_err(input)?;
    // What changed in between is no fault of the cache.
    let after = on_master(&mut master, &args.query).await.map_err(input)?;

    ui.result(&format!("{}: {} rows", served.from, served.rows.len()));
    if !served.kept {
        ui.note("the pool does not keep this result: it is too large, or not of a kind that it caches");
    }
    let same = [&before, &after].map(|rows| difference(&served.rows, rows).is_none());
    match difference(&served.rows, &after).filter(|_| same == [false, false]) {
        None => {
            ui.result("the master says the same");
            Ok(())
        }
        Some(lines) => {
            let problem = Problem::new(format!("{} and the master differ", served.from))
                .evidence(lines)
                .fix(
                    "`pgcluster cache flush` drops what is cached; from a replica the rows come with its lag",
                );
            Err(Failure::new(Kind::NotReady, problem).into())
        }
    }
}

/// SQLSTATE of a write in a transaction that only reads.
const READ_ONLY: &str = "25006";

fn login(args: &VerifyArgs, project: &Project) -> Result<Login> {
    let (Some(user), Some(file)) = (&args.user, &args.password_file) else {
        return Ok(project.settings.admin.clone());
    };
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Login {
        user: user.clone(),
        password: text.trim_end_matches(['\r', '\n']).to_owned().into(),
    })
}

/// The text under which a result is cached.
fn as_cached(query: &str, cache: QueryCache) -> String {
    let has_hint = query
        .get(..HINT.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(HINT));
    match cache {
        QueryCache::Hint if !has_hint => format!("{HINT} {query}"),
        _ => query.to_owned(),
    }
}

async fn on_master(master: &mut InnerSession, query: &str) -> Result<Rows, Refusal> {
    master.rows("SET default_transaction_read_only = on").await?;
    master.prepare(query).await?;
    master.rows(query).await
}

/// What came through the pool.
struct Served {
    rows: Rows,
    /// `the cache`, or the node.
    from: String,
    /// The pool has it in its cache now.
    kept: bool,
}

async fn through_pool(pool: &mut InnerSession, query: &str) -> Result<Served, Refusal> {
    pool.listen("log").await?;
    let rows = pool.rows(query).await?;
    let remarks = pool.remarks().await?;
    let is_hit = |remark: &crate::route::Remark| remark.message == "fetch from memory cache";
    if remarks.iter().any(is_hit) {
        return Ok(Served {
            rows,
            from: "the cache".to_owned(),
            kept: true,
        });
    }
    let trace = crate::route::Trace::read(&remarks, query);
    let node = trace
        .nodes
        .first()
        .map_or("the pool".to_owned(), |id| topology::title(*id));
    pool.rows(query).await?;
    Ok(Served {
        rows,
        from: format!("not cached, from {node}"),
        kept: pool.remarks().await?.iter().any(is_hit),
    })
}

/// The rows that only one side has, a line each; nothing where there are none.
fn difference(served: &Rows, master: &Rows) -> Option<Vec<String>> {
    let mut only_master = master.clone();
    let mut only_served = Vec::new();
    for row in served {
        match only_master.iter().position(|other| other == row) {
            Some(at) => drop(only_master.swap_remove(at)),
            None => only_served.push(row.clone()),
        }
    }
    let side = |title: &str, rows: &Rows| {
        let shown = rows
            .iter()
            .take(SHOWN)
            .map(|row| format!("{title}: {}", line(row)));
        let more = rows.len().saturating_sub(SHOWN);
        let rest = (more > 0).then(|| format!("{title}: and {more} more"));
        shown.chain(rest).collect::<Vec<_>>()
    };
    let lines = [side("served", &only_served), side("master", &only_master)].concat();
    (!lines.is_empty()).then_some(lines)
}

fn line(row: &[Option<String>]) -> String {
    let cells: Vec<&str> = row.iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect();
    cells.join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_is_put_before_a_query_once() {
        fn check(query: &str, cache: QueryCache, expected: &str) {
            assert_eq!(as_cached(query, cache), expected);
        }
        check("SELECT 1", QueryCache::Hint, "/*FORCE QUERY CACHE*/ SELECT 1");
        check(
            "/*force query cache*/SELECT 1",
            QueryCache::Hint,
            "/*force query cache*/SELECT 1",
        );
        check("SELECT 1", QueryCache::All, "SELECT 1");
    }

    #[test]
    fn rows_are_compared_without_their_order() {
        fn check(served: &[&str], master: &[&str], expected: &[&str]) {
            let rows = |cells: &[&str]| cells.iter().map(|cell| vec![Some((*cell).to_owned())]).collect();
            let found = difference(&rows(served), &rows(master)).unwrap_or_default();
            assert_eq!(found, expected);
        }
        check(&["a", "b"], &["b", "a"], &[]);
        check(&["a", "a"], &["a"], &["served: a"]);
        check(&["old"], &["new"], &["served: old", "master: new"]);
    }
}
