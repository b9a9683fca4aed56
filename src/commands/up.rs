use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::checks::{self, Machine};
use crate::cli::Global;
use crate::commands::generate;
use crate::data;
use crate::error::{self, Kind};
use crate::execute;
use crate::extend;
use crate::hazards;
use crate::logins;
use crate::observe;
use crate::observed::{self, Observed};
use crate::plan::{Planned, Step};
use crate::project::{Project, Wish};
use crate::prove;
use crate::reconcile;
use crate::settings::MAX_REPLICAS;
use crate::settle;
use crate::topology::MASTER_SERVICE;
use crate::turnover::{self, Manner};
use crate::ui::{Board, Mark, Ui, seconds};
use crate::url::Place;
use crate::workdir;

/// Start the cluster and prove that it replicates
///
/// Checks the machine, writes the files, builds the images if their content changed, starts everything at once and
/// waits until every replica streams and the pool sees it. It ends with success only when a row written through
/// the pool has been read back on every replica. Run again, it does what is left to do; it never deletes data.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Number of replicas, 0 to 100 [default: as many as there are, else 2]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32))]
    replicas: Option<u32>,
    /// How clients share server connections: session, transaction or statement; written into .env
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    #[command(flatten)]
    manner: Manner,
    /// Print what would be done, and why, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// What was done, beside what the board shows.
pub struct Done {
    /// The proof, in words.
    pub proof: String,
    /// Sessions that were ended because they still read from a removed replica.
    pub cut: usize,
    /// What clients were connected to was made anew or removed, which ended their sessions.
    pub pool_restarted: bool,
}

/// How often a database that does not answer is asked for what would make the query cache wrong.
const LOOKS: u32 = 5;

pub async fn run(args: &Args, global: &Global, ui: Ui) -> Result<()> {
    let started = Instant::now();
    let folder = workdir::locate(&global.folder)?;
    let env_file = global.env_file.as_deref();
    let wish = Wish {
        replicas: match args.replicas {
            Some(wished) => Some(wished),
            None => data::replicas_in_volumes(&folder).await,
        },
        keys: args
            .mode
            .iter()
            .map(|mode| ("CONNECTION_MODE", mode.clone()))
            .collect(),
        removed: BTreeSet::new(),
    };
    if args.dry_run {
        let project = Project::load(&folder, env_file, &wish)?;
        args.manner.refuse(&project.settings)?;
        return dry_run(&project, ui).await;
    }
    let (project, _lock) = Project::load_locked(&folder, env_file, &wish, "up")?;
    args.manner.refuse(&project.settings)?;
    let done = bring_up(&project, ui, &args.manner).await?;

    ui.note(&format!("\nready in {}", seconds(started.elapsed())));
    ui.note(&format!("proved: {}\n", done.proof));
    show_endpoints(&project, ui);
    for warning in hazards::warnings(&project, &hazards::look(&project, LOOKS).await) {
        ui.note(&format!("warning: {warning}"));
    }
    generate::notes(&project, ui).await
}

/// One line a server with where it answers.
pub fn show_endpoints(project: &Project, ui: Ui) {
    let width = title_width(project);
    for (title, port) in endpoints(project) {
        let place = Place::new(&project.settings, vec![port], false).trusting(project.trusted_file());
        ui.result(&format!("{title:<width$}  {}", place.libpq()));
    }
}

/// Makes true what the project wants and proves it, with a board of what happens.
///
/// # Errors
/// As [`settle::settle`] and [`prove::prove`]; what the machine lacks; what must not be begun.
pub async fn bring_up(project: &Project, ui: Ui, manner: &Manner) -> Result<Done> {
    data::refuse_orphans_in_folders(project)?;
    let mut board = Board::new(ui, title_width(project));
    let result = converge(project, ui, &mut board, manner).await;
    board.finish();
    result
}

/// Everything from the checks to the proof.
async fn converge(project: &Project, ui: Ui, board: &mut Board, manner: &Manner) -> Result<Done> {
    board.show("checks", Mark::Waiting, 0, "engine, Compose, ports, disk");
    let machine = look(project).await?;
    logins::refuse_edited(project, &machine.containers).await?;
    if observed::answers(
        &machine.containers,
        MASTER_SERVICE,
        project.topology.master().port,
    ) {
        // Before a file is written that would not fit the cluster.
        logins::check(project).await?;
        hazards::refuse_mixed(&hazards::look(project, LOOKS).await)?;
        turnover::refuse_below_quorum(project, &machine.containers).await?;
    }
    board.show("checks", Mark::Done, 0, &machine.summary());
    for warning in &machine.warnings {
        board.note(warning);
    }

    let builds = !machine.missing_images.is_empty();
    if builds {
        // A build that fails must leave servers that run with the files they run with.
        match machine.containers.is_empty() {
            true => project.write()?,
            false => project.write_build_inputs()?,
        }
        images(project, &machine, ui, board).await?;
    }
    extend::refuse_unknown(project, &machine).await?;
    project.write()?;
    let files = format!(
        "{} written, {} unchanged",
        project.changes.len(),
        project.unchanged
    );
    board.show("files", Mark::Done, 0, &files);

    if !builds {
        images(project, &machine, ui, board).await?;
    }

    data::refuse_orphans_in_volumes(project, &machine.containers).await?;

    // After the files are written: servers are judged by them.
    let observed = observe::servers_patiently(project, machine.containers).await;
    let steps = reconcile::containers(&project.topology, &project.rendering, &observed);
    for step in &steps {
        ui.detail(&step.to_string());
    }
    announce(&forecast(project, &observed).await, board);
    let there = observed.containers.clone();
    let leaving = steps.iter().find_map(|planned| match &planned.step {
        Step::Drain { ids } => Some(ids.as_slice()),
        _ => None,
    });
    let cut = turnover::drain(project, &there, leaving.unwrap_or_default(), board, manner).await?;
    let started = turnover::copy(project, &observed, &steps, board, manner).await?;
    let starting = execute::containers(project, &there, &steps, &started);
    let timeout = Duration::from_secs(manner.timeout);
    let settled = settle::settle(project, ui, board, observed, timeout, starting).await?;
    workdir::remove_newborn_copy(&project.topology.folder);
    // The proof does not depend on extensions, but is worth nothing where their database is missing.
    let (extensions, proof) = tokio::join!(extend::look(project), prove::prove(project, &settled));
    let (missing, updates) = extensions?;
    for step in &missing {
        ui.detail(&step.to_string());
    }
    extend::create(project, &missing).await?;
    for update in updates {
        board.note(&update);
    }
    Ok(Done {
        proof: proof?,
        cut,
        pool_restarted: reconcile::restarts_pool(&steps, &there),
    })
}

/// The machine, unless the data of this cluster is somewhere else: that matters more than a busy port.
async fn look(project: &Project) -> Result<Machine> {
    let (machine, elsewhere) = tokio::join!(checks::look(project), data::refuse_elsewhere(project, true));
    match elsewhere {
        Err(refusal) if machine.is_ok() || error::exit_code(&refusal) == Kind::Input.exit_code() => {
            Err(refusal)
        }
        _ => machine,
    }
}

async fn images(project: &Project, machine: &Machine, ui: Ui, board: &mut Board) -> Result<()> {
    let steps = reconcile::images(&project.rendering, &machine.missing_images);
    let images = &project.rendering.images;
    let names = format!("{}, {}", images.node, images.pool);
    let result = execute::build(project, &steps, |line| {
        ui.detail(line);
        board.show(
            "images",
            Mark::Working,
            0,
            &format!("building: {}", shortened(line)),
        );
    })
    .await;
    if let Err(error) = result {
        board.show("images", Mark::Failed, 0, "the build failed");
        return Err(error);
    }
    let state = if steps.is_empty() { "up to date" } else { "built" };
    board.show("images", Mark::Done, 0, &format!("{names} ({state})"));
    Ok(())
}

/// So much of a line of output that the board stays one line high.
fn shortened(line: &str) -> String {
    line.chars().filter(|c| !c.is_control()).take(70).collect()
}

pub async fn dry_run(project: &Project, ui: Ui) -> Result<()> {
    let machine = look(project).await?;
    logins::refuse_edited(project, &machine.containers).await?;
    let mut steps: Vec<Planned> = reconcile::files(&project.changes);
    steps.extend(reconcile::images(&project.rendering, &machine.missing_images));
    let observed = observe::servers_patiently(project, machine.containers).await;
    steps.extend(reconcile::containers(
        &project.topology,
        &project.rendering,
        &observed,
    ));
    steps.extend(forecast(project, &observed).await);
    if observed.facts(project.topology.master().id).is_some() {
        steps.extend(extend::look(project).await?.0);
    }
    for step in &steps {
        ui.result(&step.to_string());
    }
    if steps.is_empty() {
        ui.result("nothing to do");
    }
    Ok(())
}

/// What will be done to servers that run.
async fn forecast(project: &Project, observed: &Observed) -> Vec<Planned> {
    let (topology, rendering) = (&project.topology, &project.rendering);
    let outdated = reconcile::outdated(topology, rendering, observed);
    let fixed = observe::fixed_settings(project, &outdated).await;
    reconcile::forecast(topology, rendering, observed, &fixed)
}

/// Says which servers stop for a moment, and why, before one does.
fn announce(steps: &[Planned], board: &Board) {
    let interrupts = |step: &Step| matches!(step, Step::Restart { .. } | Step::Replace { .. });
    let steps: Vec<&Planned> = steps.iter().filter(|planned| interrupts(&planned.step)).collect();
    if !steps.is_empty() {
        board.note("one at a time, each when all others serve:");
    }
    for step in steps {
        board.note(&format!("  {step}"));
    }
}

/// The pool, the master and each replica with its port.
fn endpoints(project: &Project) -> Vec<(String, u16)> {
    let nodes = project
        .topology
        .nodes
        .iter()
        .map(|node| (node.title(), node.port));
    std::iter::once(("pool".to_owned(), project.topology.pool_port))
        .chain(nodes)
        .collect()
}

/// Titles go from `checks` to `slave-100`.
pub fn title_width(project: &Project) -> usize {
    endpoints(project)
        .iter()
        .map(|(title, _)| title.len())
        .max()
        .unwrap_or(0)
        .max(
            if project.topology.mode.has_bouncer() {
                "pgbouncer"
            } else {
                "checks"
            }
            .len(),
        )
}

const _: () = assert!(MAX_REPLICAS == 100, "the help text above names it");
