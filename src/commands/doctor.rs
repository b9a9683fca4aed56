use anyhow::Result;
use serde::Serialize;

use crate::checks;
use crate::cli::Global;
use crate::doctor::{self, About, Check, NodeFacts, Severity};
use crate::error::{Failure, PassedOn};
use crate::examine;
use crate::health;
use crate::observe;
use crate::observed::Containers;
use crate::project::{Project, Wish};
use crate::ui::{Mark, Ui};
use crate::workdir;

/// Look for what is wrong, or soon will be, and say what to do
///
/// Looks at the machine (engine, Compose, ports, disk, memory) and, where the cluster runs, at every server: checksums,
/// slots, old transactions, transaction ids, connections, clocks, settings that endanger data. Nothing is changed. The
/// exit code is 0 without an error (warnings do not count), 5 for an error of the machine, else 3.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What passes within seconds is no finding: a server under load misses a question, a replica connects again.
const ATTEMPTS: usize = 3;

#[derive(Serialize)]
struct Report<'a> {
    cluster: &'a str,
    /// No error; warnings do not count.
    healthy: bool,
    checks: &'a [Check],
}

pub async fn run(args: &Args, global: &Global, ui: Ui) -> Result<()> {
    let folder = workdir::locate(&global.folder)?;
    let project = Project::load(&folder, global.env_file.as_deref(), &Wish::default())?;
    let (mut checks, containers) = machine(&project).await?;
    let path = project.env_path.display().to_string();
    checks.extend(doctor::exposure(
        &project.settings,
        workdir::is_exposed(&project.env_path),
        &path,
    ));
    if containers.is_empty() {
        ui.note("no cluster was seen running here: only the machine was looked at");
    } else {
        checks.extend(cluster(&project, containers).await);
    }
    let verdict = doctor::verdict(&checks);
    if args.json {
        ui.result(&serde_json::to_string_pretty(&Report {
            cluster: &project.topology.project,
            healthy: verdict.is_none(),
            checks: &checks,
        })?);
    } else {
        print(&checks, ui);
    }
    Ok(PassedOn::unless_success(
        verdict.map_or(0, |kind| kind.exit_code()),
    )?)
}

/// What `up` would look at before it begins.
async fn machine(project: &Project) -> Result<(Vec<Check>, Containers)> {
    let mut checks = Vec::new();
    let containers = match checks::look_at_everything(project).await {
        Ok(machine) => {
            checks.extend(doctor::versions(
                &machine.engine,
                &machine.compose.unwrap_or_default(),
            ));
            checks.push(Check::ok("machine", About::Machine, machine.room));
            if workdir::refuse_without_cluster(&project.topology.folder).is_ok() {
                let outdated = outdated(project, &machine.containers);
                checks.push(doctor::edits(
                    project.changes.len(),
                    machine.missing_images.len(),
                    &outdated,
                ));
            }
            machine.containers
        }
        Err(error) => {
            let failure: Failure = error.downcast()?;
            checks.extend(doctor::preflight(&failure.problems));
            let topology = &project.topology;
            let containers = observe::containers(&topology.folder, &topology.project).await;
            containers.unwrap_or_default()
        }
    };
    Ok((checks, containers))
}

/// The services whose container was made from another definition than that of now.
fn outdated(project: &Project, containers: &Containers) -> Vec<String> {
    let specs = &project.rendering.specs;
    let differs = |(service, container): &(&String, &crate::observed::Container)| {
        specs.get(*service).is_some_and(|spec| *spec != container.spec)
    };
    let services = containers.iter().filter(differs);
    services.map(|(service, _)| service.clone()).collect()
}

async fn cluster(project: &Project, containers: Containers) -> Vec<Check> {
    let (answers, data, free, memory) = tokio::join!(
        examine::nodes(project, &containers),
        examine::data_size(project),
        examine::free_space(project, &containers),
        examine::memory(project),
    );
    let mut observed = observe::servers(project, containers).await;
    for _ in 1..ATTEMPTS {
        if !health::findings(&project.topology, &observed).is_empty() {
            observed = observe::servers(project, observed.containers).await;
        }
    }
    let mut checks = doctor::health(health::findings(&project.topology, &observed));
    let mut nodes: Vec<(String, NodeFacts)> = Vec::new();
    for (title, answer) in answers {
        match answer {
            Ok(facts) => nodes.push((title, facts)),
            Err(silence) => checks.push(doctor::silent(&title, &silence.reason)),
        }
    }
    if let Some(total) = memory {
        let buffers: i64 = nodes.iter().map(|(_, facts)| facts.shared_buffers).sum();
        checks.push(doctor::memory(total, nodes.len(), buffers.unsigned_abs()));
    }
    if nodes.is_empty() {
        return checks;
    }
    if let (Some(free), Some(data)) = (free, data) {
        checks.push(doctor::disk(free, data, &nodes));
    }
    checks.extend(doctor::cluster(&nodes));
    checks
}

fn print(checks: &[Check], ui: Ui) {
    let width = checks.iter().map(|check| check.check.len()).max().unwrap_or(0);
    for check in checks {
        let mark = match check.severity {
            Severity::Ok if ui.quiet => continue,
            Severity::Ok => Mark::Done,
            Severity::Warning => Mark::Doubtful,
            Severity::Error => Mark::Failed,
        };
        let node = check
            .node
            .as_ref()
            .map(|node| format!("{node}: "))
            .unwrap_or_default();
        ui.verdict(mark, &format!("{:<width$}  {node}{}", check.check, check.message));
        if let Some(fix) = &check.fix {
            ui.result(&format!("  {:<width$}  fix: {fix}", ""));
        }
    }
    let count = |severity, word| {
        let count = checks.iter().filter(|check| check.severity == severity).count();
        format!("{count} {word}{}", if count == 1 { "" } else { "s" })
    };
    ui.note(&format!(
        "{}, {}",
        count(Severity::Error, "error"),
        count(Severity::Warning, "warning")
    ));
}
