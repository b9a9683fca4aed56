use anyhow::Result;
use serde::Serialize;

use crate::cli::{Global, NodeWord};
use crate::error::{Failure, Kind, Problem};
use crate::project::Project;
use crate::target::{self, Target};
use crate::ui::Ui;
use crate::url::Place;

/// Print where to connect to
///
/// NODE is pool, master, slave-1, slave-2 …, or any-replica, which gives all replicas for the client to choose from.
/// For example: psql "$(pgcluster url master)", or eval "$(pgcluster url --format env --with-password)".
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which server [default: pool; with --json all]
    #[arg(value_name = "NODE", value_parser = NodeWord, hide_possible_values = true)]
    nodes: Vec<String>,
    /// libpq and jdbc are URLs; env is lines for a shell's `eval`
    #[arg(long, value_enum, default_value = "libpq")]
    format: Format,
    /// Put POSTGRES_PASSWORD in as well
    #[arg(long)]
    with_password: bool,
    /// Print all forms as JSON
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Libpq,
    Jdbc,
    Env,
}

/// With --json: what scripts rely on.
#[derive(Serialize)]
struct Row {
    node: String,
    host: String,
    port: String,
    user: String,
    database: String,
    libpq: String,
    jdbc: String,
}

pub fn run(args: &Args, global: &Global, ui: Ui) -> Result<()> {
    let project = Project::load_existing(global)?;
    let mut targets = target::resolve(&project.topology, &args.nodes, true)?;
    if targets.is_empty() {
        targets.push(Target::Pool);
        if args.json {
            targets.extend(project.topology.nodes.iter().map(|node| Target::Node(node.id)));
        }
    }
    if args.format == Format::Env && targets.len() > 1 {
        return Err(Failure::new(
            Kind::Input,
            Problem::new(
                "--format env is for one node: the variables of the next would replace those of the first",
            )
            .fix("name one node"),
        )
        .into());
    }
    let place = |target: &Target| {
        Place::new(
            &project.settings,
            target.ports(&project.topology),
            args.with_password,
        )
        .trusting(project.trusted_file())
    };
    if args.json {
        let rows: Vec<Row> = targets.iter().map(|target| row(target, &place(target))).collect();
        ui.result(&serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    for place in targets.iter().map(place) {
        ui.result(&match args.format {
            Format::Libpq => place.libpq(),
            Format::Jdbc => place.jdbc(),
            Format::Env => place.exports(),
        });
    }
    Ok(())
}

fn row(target: &Target, place: &Place) -> Row {
    let variables = place.variables();
    let variable = |wanted| {
        let found = variables.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    Row {
        node: target.title(),
        host: variable("PGHOST"),
        port: variable("PGPORT"),
        user: variable("PGUSER"),
        database: variable("PGDATABASE"),
        libpq: place.libpq(),
        jdbc: place.jdbc(),
    }
}
