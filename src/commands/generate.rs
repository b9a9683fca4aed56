use anyhow::Result;

use crate::cli::Global;
use crate::project::Project;
use crate::reconcile;
use crate::topology;
use crate::ui::Ui;
use crate::workdir::{self, Lock};

/// Write the project's files and start nothing
///
/// Renders docker-compose.yml, pgpool/ and slave-1/ … slave-N/ from the templates. On first use it also writes
/// .env, master/ and slave-template/, which are yours from then on. A second run changes nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Number of replicas, 0 to 100 [default: as many as there are, else 2]
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32))]
    replicas: Option<u32>,
    /// Print what would be written, and why, and write nothing
    #[arg(long)]
    dry_run: bool,
}

pub fn run(args: &Args, global: &Global, ui: Ui) -> Result<()> {
    let folder = workdir::locate(&global.folder)?;
    let load = || Project::load(&folder, global.env_file.as_deref(), args.replicas);
    let project = if args.dry_run {
        load()?
    } else {
        // Nothing is created in a folder whose input is bad, not even the lock.
        load()?;
        let _lock = Lock::take(&folder, "generate")?;
        let project = load()?;
        project.write()?;
        project
    };

    let steps = reconcile::files(&project.changes);
    for step in &steps {
        ui.result(&step.to_string());
    }
    if steps.is_empty() {
        ui.result(&format!(
            "nothing to do: {} files are as they should be",
            project.unchanged
        ));
    }
    note_removed(&project, ui)
}

/// Names what is left behind: data of replicas that are not wanted, files that the template folder has no more.
pub fn note_removed(project: &Project, ui: Ui) -> Result<()> {
    for path in project.leftovers()? {
        ui.note(&format!(
            "kept: {path}, which slave-template/ does not have; delete it if it is not yours, then `pgcluster up`"
        ));
    }
    let data = workdir::data_directories(&project.topology.folder)?;
    for id in data.keys().filter(|id| !project.topology.has(**id)) {
        ui.note(&format!(
            "kept: {}/pgdata, of a replica that is not among the {} wanted",
            topology::title(*id),
            project.topology.replicas().len()
        ));
    }
    Ok(())
}
