use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::cli::Global;
use crate::error::{Failure, Kind, Problem};
use crate::inside;
use crate::observe;
use crate::postgres::{InnerSession, Refusal, Session};
use crate::project::Project;
use crate::route::{self, Trace};
use crate::topology::{self, POOL_SERVICE};
use crate::ui::Ui;

/// Tell to which node the pool sends a statement, and why
///
/// The running Pgpool-II is asked: the statement is sent to it to be parsed, and not executed, and it tells where it
/// passes it on. The node is decided again each time a statement is executed. Run as the superuser of .env.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The statement
    #[arg(value_name = "SQL")]
    statement: String,
    /// Execute this before, in a transaction that is rolled back; can be given several times
    #[arg(long, value_name = "SQL")]
    after: Vec<String>,
    /// The database [default: POSTGRES_DB]
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Parsing waits for the locks of others on the tables.
const PATIENCE: Duration = Duration::from_secs(10);

/// What PostgreSQL says to several statements where it expects one; it is parsed then, and so is not executed.
const SEVERAL: &str = "cannot insert multiple commands into a prepared statement";

/// The whole answer; with --json its fields are what scripts rely on.
#[derive(Serialize)]
struct Report {
    statement: String,
    after: Vec<String>,
    database: String,
    observed: Observation,
    /// Derived from what was observed.
    reason: String,
    /// What the master knows of the function or relation that decided.
    evidence: Vec<String>,
    /// Why a server would not execute it.
    refused: Option<String>,
}

#[derive(Serialize)]
struct Observation {
    nodes: Vec<String>,
    how: &'static str,
    /// Pgpool-II's own words.
    pool_says: Option<String>,
}

pub async fn run(args: &Args, global: &Global, ui: Ui) -> Result<()> {
    let project = Project::load_existing(global)?;
    refuse_commits(&args.after)?;
    let database = args.database.as_ref().unwrap_or(&project.settings.database);
    let mut session = inside::session(
        &project,
        POOL_SERVICE,
        &project.settings.admin,
        database,
        PATIENCE,
    )
    .await?;
    let asked = ask(&mut session, args).await.map_err(|(what, refusal)| {
        Failure::new(Kind::Input, Problem::new(format!("{what}: {}", refusal.message)))
    })?;
    let report = report(args, &project, database, asked).await;
    if args.json {
        ui.result(&serde_json::to_string_pretty(&report)?);
    } else {
        print(&report, ui);
    }
    match report.refused {
        None => Ok(()),
        Some(reason) => {
            let problem = Problem::new(format!("the statement would fail there: {reason}"));
            Err(Failure::new(Kind::Input, problem).into())
        }
    }
}

/// A transaction that one of them ends could not be rolled back.
fn refuse_commits(after: &[String]) -> Result<(), Failure> {
    let ends = |sql: &&String| {
        let word = sql
            .split(|c: char| !c.is_ascii_alphabetic())
            .find(|word| !word.is_empty());
        word.is_some_and(|word| {
            ["commit", "end", "rollback", "abort", "prepare"].contains(&word.to_ascii_lowercase().as_str())
        }) || sql.trim_start().starts_with(['/', '-'])
    };
    let problems = after
        .iter()
        .filter(ends)
        .map(|sql| {
            Problem::new(format!(
                "--after: `{sql}` may end the transaction that is to be rolled back"
            ))
            .fix("leave it out, and any comment at the beginning")
        })
        .collect();
    Failure::unless_empty(Kind::Input, problems)
}

/// What came of asking.
struct Asked {
    trace: Trace,
    /// The statement is several in one.
    several: bool,
    refused: Option<String>,
}

async fn ask(session: &mut InnerSession, args: &Args) -> Result<Asked, (String, Refusal)> {
    let pool = |refusal| ("the pool".to_owned(), refusal);
    session.listen("debug1").await.map_err(pool)?;
    if !args.after.is_empty() {
        session.rows("BEGIN").await.map_err(pool)?;
    }
    for sql in &args.after {
        session
            .execute(sql)
            .await
            .map_err(|refusal| (format!("--after `{sql}`"), refusal))?;
    }
    session.remarks().await.map_err(pool)?;
    let parsed = session.prepare(&args.statement).await;
    let mut serializable = false;
    if !args.after.is_empty() {
        if parsed.is_ok() {
            let isolation = session.rows("SHOW transaction_isolation").await.map_err(pool)?;
            serializable = isolation == [[Some("serializable".to_owned())]];
        }
        session.rows("ROLLBACK").await.map_err(pool)?;
    }
    let refused = parsed.err().map(|refusal| refusal.message);
    let several = refused.as_ref().is_some_and(|reason| reason.contains(SEVERAL));
    // In a text of several none can be parsed without being executed: a harmless one tells for all.
    const HARMLESS: &str = "SELECT 1; SELECT 2";
    let mut remarks = session.remarks().await.map_err(pool)?;
    if several {
        session.rows(HARMLESS).await.map_err(pool)?;
        remarks = session.remarks().await.map_err(pool)?;
    }
    let logged = match several {
        true => HARMLESS.to_owned(),
        false => format!("Parse: {}", args.statement),
    };
    let mut trace = Trace::read(&remarks, &logged);
    trace.serializable = serializable;
    Ok(Asked {
        trace,
        several,
        refused: refused.filter(|_| !several),
    })
}

async fn report(args: &Args, project: &Project, database: &str, asked: Asked) -> Report {
    let Asked {
        trace,
        several,
        refused,
    } = asked;
    let hinted = route::has_primary_hint(&args.statement);
    let replicas = project.topology.replicas().len();
    Report {
        statement: args.statement.clone(),
        after: args.after.clone(),
        database: database.to_owned(),
        reason: match several {
            true => "it is several statements in one, of which any may write".to_owned(),
            false => trace.reason(hinted, replicas, project.settings.consistency),
        },
        evidence: evidence(project, database, &trace).await,
        observed: Observation {
            nodes: trace.nodes.iter().map(|id| topology::title(*id)).collect(),
            how: match several {
                true => "several statements in one: `SELECT 1; SELECT 2` was sent in its place",
                false => "parsed there, not executed",
            },
            pool_says: trace
                .because
                .map(|because| format!("could not load balance because {because}")),
        },
        refused,
    }
}

/// What the master says of the function or relation for which a statement goes there; nothing where it is silent.
async fn evidence(project: &Project, database: &str, trace: &Trace) -> Vec<String> {
    let (Some(because), Some(name)) = (&trace.because, &trace.looked_at) else {
        return Vec::new();
    };
    let mut endpoint = observe::endpoint(project, project.topology.master().port);
    database.clone_into(&mut endpoint.database);
    let mut master = Session::new(endpoint);
    let lines = match because.contains("function") {
        true => master.volatilities(name).await,
        false => master.persistence(name).await,
    };
    lines.unwrap_or_default()
}

fn print(report: &Report, ui: Ui) {
    ui.result(&match report.observed.nodes.join(", ") {
        nodes if nodes.is_empty() => "–".to_owned(),
        nodes => nodes,
    });
    let line = |title: &str, text: &str| ui.result(&format!("  {title:<9} {text}"));
    line("observed", report.observed.how);
    if let Some(words) = &report.observed.pool_says {
        line("pool says", words);
    }
    line("reason", &report.reason);
    for evidence in &report.evidence {
        line("master", evidence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_end_the_transaction_is_refused() {
        fn check(sql: &str, refused: bool) {
            assert_eq!(refuse_commits(&[sql.to_owned()]).is_err(), refused, "{sql}");
        }
        check("UPDATE t SET v = 1", false);
        check(" commit", true);
        check("END", true);
        check("PREPARE TRANSACTION 'x'", true);
        check("/**/commit", true);
        check("-- \ncommit", true);
        check(";commit", true);
    }
}
