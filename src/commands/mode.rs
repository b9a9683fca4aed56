use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use futures_util::future::join_all;
use serde::Serialize;

use crate::advice::{self, Advice, Clients, Evidence, NodeSessions};
use crate::cli::Global;
use crate::error::{Failure, Kind, Problem};
use crate::observe;
use crate::observed::{self, Containers};
use crate::postgres::Session;
use crate::project::Project;
use crate::render::bouncer::BOUNCER_CLIENTS;
use crate::settings::Choice;
use crate::topology::BOUNCER_SERVICE;
use crate::ui::Ui;

/// How clients share server connections
///
/// `pgcluster up --mode session|transaction|statement` changes it; the data stays.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: ModeCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ModeCommand {
    Check(CheckArgs),
}

/// Recommend a connection mode by what the clients of now do
///
/// It asks every node and the pool what its sessions are and do, several times, and changes nothing. Run it while your
/// programs work: it cannot see what is not there, and says what it cannot see at all.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How long to look
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

/// How much longer a server that is too busy to answer is asked.
const GRACE: Duration = Duration::from_secs(15);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(250);

pub async fn run(args: &Args, global: &Global, ui: Ui) -> Result<()> {
    match &args.command {
        ModeCommand::Check(args) => check(args, global, ui).await,
    }
}

#[derive(Serialize)]
struct Report<'a> {
    cluster: &'a str,
    mode: &'static str,
    #[serde(flatten)]
    advice: Advice,
    #[serde(flatten)]
    evidence: Evidence,
    /// What cannot be seen from outside.
    unseen: &'static [&'static str],
}

async fn check(args: &CheckArgs, global: &Global, ui: Ui) -> Result<()> {
    let project = Project::load_existing(global)?;
    let topology = &project.topology;
    let containers = observe::containers(&topology.folder, &topology.project).await?;
    let evidence = look(&project, &containers, Duration::from_secs(args.seconds)).await?;
    let report = Report {
        cluster: &topology.project,
        mode: topology.mode.word(),
        advice: advice::advise(topology.mode, project.settings.consistency, &evidence),
        evidence,
        unseen: advice::UNSEEN,
    };
    match args.json {
        true => ui.result(&serde_json::to_string_pretty(&report)?),
        false => print(&report, ui),
    }
    Ok(())
}

/// Looks again and again for so long. A server that is too busy for one look may answer the next.
async fn look(project: &Project, containers: &Containers, time: Duration) -> Result<Evidence> {
    let (settings, topology) = (&project.settings, &project.topology);
    let master = topology.master();
    let needed = [
        ("the master", master.service(), master.port),
        (
            "the pool",
            topology.entry_service().to_owned(),
            topology.pool_port,
        ),
    ];
    for (who, service, port) in needed {
        if !observed::answers(containers, &service, port) {
            return Err(silent(who, "its container does not run with the settings of now"));
        }
    }
    let running = topology
        .nodes
        .iter()
        .filter(|node| observed::answers(containers, &node.service(), node.port));
    let mut sessions: Vec<Session> = Vec::new();
    let mut evidence = Evidence::default();
    for node in running {
        sessions.push(Session::new(observe::endpoint(project, node.port)));
        evidence.nodes.push(NodeSessions {
            node: node.title(),
            ..NodeSessions::default()
        });
    }
    let mut pool = Session::new(observe::endpoint(project, topology.pool_port));
    let deadline = Instant::now() + time;
    let (mut heard_master, mut heard_pool) = (Err(String::new()), Err(String::new()));
    loop {
        let asked = join_all(
            sessions
                .iter_mut()
                .map(|session| session.sessions(&settings.pool.user)),
        )
        .await;
        for (index, answer) in asked.into_iter().enumerate() {
            match answer {
                Ok(seen) => {
                    evidence.nodes[index].sessions.merge(seen);
                    if index == 0 {
                        heard_master = Ok(());
                    }
                }
                Err(silence) if index == 0 => heard_master = heard_master.or(Err(silence.reason)),
                Err(_) => {}
            }
        }
        match clients(project, containers, &mut pool).await {
            Ok(clients) => {
                evidence.clients.merge(clients);
                heard_pool = Ok(());
            }
            Err(error) => heard_pool = heard_pool.or(Err(format!("{error:#}"))),
        }
        let tables = temporary_tables(project, &evidence).await;
        evidence.temporary_tables = evidence.temporary_tables.max(tables);
        let now = Instant::now();
        let heard = heard_master.is_ok() && heard_pool.is_ok();
        if now + PAUSE >= deadline && (heard || now >= deadline + GRACE) {
            heard_master.map_err(|reason| silent("the master", &reason))?;
            heard_pool.map_err(|reason| silent("the pool", &reason))?;
            return Ok(evidence);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn clients(project: &Project, containers: &Containers, pool: &mut Session) -> Result<Clients> {
    let (serving, pool_limit) = pool
        .pool_processes()
        .await
        .map_err(|silence| anyhow!(silence.reason))?;
    match containers.get(BOUNCER_SERVICE) {
        Some(bouncer) if project.topology.mode.has_bouncer() => {
            let (connected, waiting) =
                observe::bouncer_clients(&project.topology.folder, &bouncer.id).await?;
            Ok(Clients {
                // One of them is this program's.
                connected: connected.saturating_sub(1),
                waiting,
                limit: BOUNCER_CLIENTS,
                pool_limit,
            })
        }
        _ => Ok(Clients {
            connected: serving,
            waiting: 0,
            limit: pool_limit.saturating_sub(1),
            pool_limit,
        }),
    }
}

/// Only a primary can have any; each database knows its own.
async fn temporary_tables(project: &Project, evidence: &Evidence) -> u32 {
    let databases = evidence.nodes.first().map(|master| &master.sessions.databases);
    let ask = |database: &String| {
        let mut endpoint = observe::endpoint(project, project.topology.master().port);
        database.clone_into(&mut endpoint.database);
        async move { Session::new(endpoint).temporary_tables().await.unwrap_or(0) }
    };
    join_all(databases.into_iter().flatten().map(ask))
        .await
        .into_iter()
        .sum()
}

fn silent(who: &str, reason: &str) -> anyhow::Error {
    let problem = Problem::new(format!("{who} cannot be asked: {reason}"))
        .fix("see `pgcluster status`, then run `pgcluster up`");
    Failure::new(Kind::NotReady, problem).into()
}

fn print(report: &Report<'_>, ui: Ui) {
    let clients = report.evidence.clients;
    ui.result(&format!("mode now     {}", report.mode));
    ui.result(&format!("recommended  {}", report.advice.recommended));
    for reason in &report.advice.reasons {
        ui.result(&format!("  - {reason}"));
    }
    if report.advice.recommended != report.mode {
        ui.result(&format!(
            "to change it: pgcluster up --mode {}",
            report.advice.recommended
        ));
    }
    ui.result(&format!(
        "\nclients of the pool: {} of {} at most, {} waiting",
        clients.connected, clients.limit, clients.waiting
    ));
    let rows = report.evidence.nodes.iter().map(
        |NodeSessions {
             node: title,
             sessions: node,
         }| {
            vec![
                title.clone(),
                format!("{}/{}", node.connections, node.max_connections),
                node.pooled.to_string(),
                node.idle.to_string(),
                node.transactions.to_string(),
                node.prepared_transactions.to_string(),
                node.direct.to_string(),
            ]
        },
    );
    let head = [
        "NODE",
        "CONNECTIONS",
        "POOLED",
        "IDLE",
        "IN TRANSACTION",
        "PREPARED",
        "DIRECT",
    ];
    ui.table(&head, rows.collect());
    let applications = report
        .evidence
        .nodes
        .iter()
        .take(1)
        .flat_map(|master| &master.sessions.applications);
    let rows: Vec<Vec<String>> = applications
        .map(|application| {
            vec![
                match application.name.as_str() {
                    "" => "(no name)".to_owned(),
                    name => name.escape_debug().to_string(),
                },
                application.role.clone().unwrap_or_default(),
                application.sessions.to_string(),
                application.idle.to_string(),
                format!("{} s", application.longest_idle),
            ]
        })
        .collect();
    if !rows.is_empty() {
        ui.result("");
        ui.table(&["APPLICATION", "ROLE", "SESSIONS", "IDLE", "LONGEST"], rows);
    }
    ui.result("\nwhat cannot be seen from outside:");
    for unseen in report.unseen {
        ui.result(&format!("  - {unseen}"));
    }
}
