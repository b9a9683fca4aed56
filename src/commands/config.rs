use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use crate::cli::Global;
use crate::project::{Project, Wish};
use crate::settings::{self, Origin, Value};
use crate::ui::Ui;
use crate::workdir;

/// Show the settings as they are resolved: environment, then .env, then default
///
/// What it shows is what the next `pgcluster up` goes by. Passwords are shown as ***.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Tell where each value comes from
    #[arg(long)]
    show_origin: bool,
    /// Show passwords
    #[arg(long)]
    show_secrets: bool,
    /// Print JSON: each key with its value and origin
    #[arg(long)]
    json: bool,
}

/// With --json: what scripts rely on.
#[derive(Serialize)]
struct Row<'a> {
    value: &'a str,
    /// `environment`, `file` or `default`.
    origin: &'static str,
    file: Option<String>,
    line: Option<usize>,
}

pub fn run(args: &Args, global: &Global, ui: Ui) -> Result<()> {
    let folder = workdir::locate(&global.folder)?;
    let project = Project::load(&folder, global.env_file.as_deref(), &Wish::default())?;
    let path = project
        .env_path
        .strip_prefix(&folder)
        .unwrap_or(&project.env_path);
    let path = path.display().to_string();
    if args.json {
        let rows: BTreeMap<&str, Row> = project
            .values
            .iter()
            .map(|value| (value.key.as_str(), row(value, &path, args.show_secrets)))
            .collect();
        ui.result(&serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    let mut head = vec!["KEY", "VALUE"];
    head.extend(args.show_origin.then_some("FROM"));
    let rows = project.values.iter().map(|value| {
        let mut cells = vec![value.key.clone(), shown(value, args.show_secrets).to_owned()];
        cells.extend(args.show_origin.then(|| match &value.origin {
            Origin::File(_) => format!("{path}, {}", value.origin),
            origin => origin.to_string(),
        }));
        cells
    });
    ui.table(&head, rows.collect());
    Ok(())
}

fn row<'a>(value: &'a Value, path: &str, with_secrets: bool) -> Row<'a> {
    let (origin, line) = match value.origin {
        Origin::Environment => ("environment", None),
        Origin::File(line) => ("file", Some(line)),
        Origin::Default => ("default", None),
    };
    Row {
        value: shown(value, with_secrets),
        origin,
        file: line.map(|_| path.to_owned()),
        line,
    }
}

fn shown(value: &Value, with_secrets: bool) -> &str {
    match settings::is_secret(&value.key) && !with_secrets {
        true => "***",
        false => &value.text,
    }
}
