use anyhow::Result;
use bytesize::ByteSize;
use futures_util::future::join;
use serde::Serialize;
use tokio::task::spawn_blocking;

use crate::cli::Global;
use crate::error::{Failure, Kind, Problem};
use crate::hazards;
use crate::health::{self, Finding, State, Watcher};
use crate::observe::{self, Ahead};
use crate::observed::{self, CacheFacts, Observed};
use crate::project::Project;
use crate::settings::{Choice, QueryCache};
use crate::topology::{BOUNCER_SERVICE, Node, POOL_SERVICE, Topology};
use crate::ui::Ui;

/// Show every node: role, state, lag, slot, place in the pool
///
/// Under the table stands what is wrong and what to do about it. The exit code is 0 for a healthy cluster, else 3.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Tell how many reads the pool has sent to each node, too
    ///
    /// Only the pool counts them, and a login to it takes longer than all the rest.
    #[arg(long)]
    reads: bool,
}

pub async fn run(args: &Args, global: &Global, ui: Ui) -> Result<()> {
    let global = global.clone();
    let ahead = tokio::spawn(Ahead::ask());
    let project = spawn_blocking(move || Project::load_existing(&global)).await??;
    let topology = &project.topology;
    let containers = ahead
        .await?
        .containers(&topology.folder, &topology.project)
        .await?;
    let pool = containers
        .get(POOL_SERVICE)
        .filter(|pool| pool.is_running())
        .cloned();
    let master = topology.master();
    let asks_master = observed::answers(&containers, &master.service(), master.port);
    let hazards = async {
        match asks_master {
            true => hazards::look(&project, 1).await,
            false => Vec::new(),
        }
    };
    let wants_cache = project.settings.cache != QueryCache::Off;
    let servers = async {
        match wants_cache || args.reads {
            true => observe::servers_and_cache(&project, containers, wants_cache).await,
            false => (observe::servers_at_a_glance(&project, containers).await, None),
        }
    };
    let ((observed, cache), hazards) = join(servers, hazards).await;
    let reasons = match &pool {
        Some(pool) => {
            let watcher = observe::watcher(&project, &observed, pool).await;
            Watcher::findings(topology, &observed, watcher.as_ref())
        }
        None => Vec::new(),
    };
    let mut report = report(topology, &observed, reasons);
    report.cache = cache.map(|facts| CacheRow {
        mode: project.settings.cache.word(),
        ttl_seconds: project.settings.cache_ttl,
        facts,
    });
    if observed.facts(master.id).is_some() {
        add_hazards(&project, &hazards, &mut report);
    }
    if args.json {
        ui.result(&serde_json::to_string_pretty(&report)?);
    } else {
        print(&report, args.reads, ui);
    }
    let problems = report
        .findings
        .iter()
        .map(|finding| Problem::new(format!("{}: {}", finding.node, finding.problem)).fix(&*finding.remedy))
        .collect();
    Failure::unless_empty(Kind::NotReady, problems)?;
    Ok(())
}

/// The whole answer; with --json its fields are what scripts rely on.
#[derive(Serialize)]
struct Report {
    cluster: String,
    healthy: bool,
    /// The connection mode.
    mode: &'static str,
    nodes: Vec<Row>,
    pool: PoolRow,
    /// Only in the connection modes that have it.
    pgbouncer: Option<PoolRow>,
    /// Nothing where the cache is off, or the pool does not answer.
    cache: Option<CacheRow>,
    findings: Vec<Finding>,
    /// What is no fault, and may surprise.
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct CacheRow {
    /// As in .env.
    mode: &'static str,
    ttl_seconds: u32,
    #[serde(flatten)]
    facts: CacheFacts,
}

#[derive(Serialize)]
struct Row {
    node: String,
    service: String,
    port: u16,
    /// `primary`, `standby`, or nothing where the server does not answer.
    role: Option<&'static str>,
    serving: bool,
    state: String,
    timeline: Option<u32>,
    lag_bytes: Option<u64>,
    lag_ms: Option<f64>,
    slot: Option<String>,
    slot_retained_bytes: Option<i64>,
    /// As Pgpool has it.
    pool_state: Option<String>,
    /// Reads that Pgpool sent to it, where it was asked itself; --reads makes sure.
    pool_reads: Option<u64>,
    connections: Option<u32>,
    max_connections: Option<u32>,
}

#[derive(Serialize)]
struct PoolRow {
    service: &'static str,
    /// Where clients reach it, through PgBouncer where there is one.
    port: u16,
    serving: bool,
    state: String,
}

fn report(topology: &Topology, observed: &Observed, reasons: Vec<Finding>) -> Report {
    let mut findings = health::findings(topology, observed);
    findings.extend(reasons);
    let pool_row = |service: &'static str, state: State| PoolRow {
        service,
        port: topology.pool_port,
        serving: state.is_serving(),
        state: state.to_string(),
    };
    Report {
        mode: topology.mode.word(),
        cluster: topology.project.clone(),
        healthy: findings.is_empty(),
        nodes: topology
            .nodes
            .iter()
            .map(|node| row(topology, observed, node))
            .collect(),
        pool: pool_row(POOL_SERVICE, health::pool_state(topology, observed)),
        pgbouncer: health::bouncer_state(topology, observed).map(|state| pool_row(BOUNCER_SERVICE, state)),
        cache: None,
        findings,
        warnings: Vec::new(),
    }
}

/// Adds what the query cache may serve wrongly.
fn add_hazards(project: &Project, found: &[hazards::Found], report: &mut Report) {
    report.warnings = hazards::warnings(project, found);
    let mixed = hazards::refuse_mixed(found).err();
    let problems = mixed.map(|failure| failure.problems).unwrap_or_default();
    report
        .findings
        .extend(problems.into_iter().map(|problem| Finding {
            node: "pool".to_owned(),
            problem: problem.what,
            remedy: problem.fix.unwrap_or_default(),
        }));
    report.healthy = report.findings.is_empty();
}

fn row(topology: &Topology, observed: &Observed, node: &Node) -> Row {
    let state = health::node_state(topology, observed, node);
    let facts = observed.facts(node.id);
    let master = observed.facts(topology.master().id).filter(|_| !node.is_master());
    let sender = master.and_then(|master| master.sender(&node.name()));
    let slot = master.and_then(|master| master.slot(&node.name()));
    let backend = observed.backend(node.id);
    Row {
        node: node.title(),
        service: node.service(),
        port: node.port,
        role: facts.map(|facts| if facts.in_recovery { "standby" } else { "primary" }),
        serving: state.is_serving(),
        state: state.to_string(),
        timeline: facts.map(|facts| facts.timeline),
        lag_bytes: sender.and_then(|sender| sender.behind),
        // PostgreSQL reports no time while there is nothing to replay.
        lag_ms: sender.and_then(|sender| sender.lag_ms.or((sender.behind == Some(0)).then_some(0.0))),
        slot: slot.map(|slot| slot.name.clone()),
        slot_retained_bytes: slot.and_then(|slot| slot.retained),
        pool_state: backend.map(|backend| backend.status.clone()),
        pool_reads: backend.and_then(|backend| backend.selects),
        connections: facts.map(|facts| facts.connections),
        max_connections: facts.map(|facts| facts.max_connections),
    }
}

const READS: &str = "READS";

const HEAD: [&str; 11] = [
    "NODE",
    "ROLE",
    "STATE",
    "TIMELINE",
    "LAG",
    "LAG TIME",
    "SLOT (WAL KEPT)",
    "IN POOL",
    READS,
    "CONNECTIONS",
    "PORT",
];

fn print(report: &Report, with_reads: bool, ui: Ui) {
    fn or_dash(text: Option<impl ToString>) -> String {
        text.map_or("–".to_owned(), |text| text.to_string())
    }
    let rows = report.nodes.iter().map(|row| {
        let slot = row.slot.as_ref().map(|slot| match row.slot_retained_bytes {
            Some(bytes) => format!("{slot} ({})", ByteSize(bytes.max(0) as u64)),
            None => slot.clone(),
        });
        vec![
            row.node.clone(),
            or_dash(row.role),
            row.state.clone(),
            or_dash(row.timeline),
            or_dash(row.lag_bytes.map(ByteSize)),
            or_dash(row.lag_ms.map(|ms| format!("{ms:.0} ms"))),
            or_dash(slot),
            or_dash(row.pool_state.as_ref()),
            or_dash(row.pool_reads),
            or_dash(
                row.connections
                    .zip(row.max_connections)
                    .map(|(now, max)| format!("{now}/{max}")),
            ),
            row.port.to_string(),
        ]
    });
    let mut rows: Vec<Vec<String>> = rows.collect();
    let last = |title: &str, state: &str, port: Option<u16>| {
        let mut row = vec!["–".to_owned(); HEAD.len()];
        row[0] = title.to_owned();
        row[2] = state.to_owned();
        row[HEAD.len() - 1] = or_dash(port);
        row
    };
    let pool = &report.pool;
    // Behind PgBouncer it publishes no port of its own.
    let port = report.pgbouncer.is_none().then_some(pool.port);
    rows.push(last("pool", &pool.state, port));
    if let Some(bouncer) = &report.pgbouncer {
        rows.push(last(BOUNCER_SERVICE, &bouncer.state, Some(bouncer.port)));
    }
    let mut head = HEAD.to_vec();
    let left_out = head.iter().position(|title| *title == READS && !with_reads);
    if let Some(column) = left_out {
        head.remove(column);
        rows.iter_mut().for_each(|row| drop(row.remove(column)));
    }
    ui.table(&head, rows);
    if let Some(CacheRow {
        mode,
        ttl_seconds,
        facts,
    }) = &report.cache
    {
        ui.result(&format!(
            "cache: {mode}, for {ttl_seconds} s; {} hits, {} other queries, {} entries in {} of {}",
            facts.hits,
            facts.selects,
            facts.entries,
            ByteSize(facts.used_bytes),
            ByteSize(facts.used_bytes + facts.free_bytes)
        ));
    }
    for warning in &report.warnings {
        ui.note(&format!("warning: {warning}"));
    }
}
