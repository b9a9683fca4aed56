use std::collections::BTreeMap;

use anyhow::Result;

use crate::cli::Global;
use crate::data;
use crate::logins;
use crate::observed::Containers;
use crate::project::{Project, Wish};
use crate::rebuild;
use crate::reconcile;
use crate::settings::{self, DataPlace};
use crate::topology;
use crate::ui::Ui;
use crate::workdir::{self, OLD_DATA};

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

pub async fn run(args: &Args, global: &Global, ui: Ui) -> Result<()> {
    let folder = workdir::locate(&global.folder)?;
    let env_file = global.env_file.as_deref();
    let wish = Wish {
        replicas: match args.replicas {
            Some(wished) => Some(wished),
            None => data::replicas_in_volumes(&folder).await,
        },
        ..Wish::default()
    };
    let project = if args.dry_run {
        let project = Project::load(&folder, env_file, &wish)?;
        data::refuse_elsewhere(&project, false).await?;
        project
    } else {
        let (project, _lock) = Project::load_locked(&folder, env_file, &wish, "generate")?;
        data::refuse_elsewhere(&project, false).await?;
        logins::refuse_edited(&project, &Containers::new()).await?;
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
    notes(&project, ui).await
}

/// Says what a user should know and may have overlooked: passwords that lie open, and what is left behind.
pub async fn notes(project: &Project, ui: Ui) -> Result<()> {
    let known = project.settings.default_passwords();
    if !project.settings.bind.is_loopback() && !known.is_empty() {
        ui.note(&format!(
            "warning: BIND_ADDRESS lets others reach the ports, with the default {}",
            known.join(", ")
        ));
    }
    let secrets = settings::secrets(&project.settings).len();
    if known.len() < secrets && workdir::is_exposed(&project.env_path) {
        let path = project.env_path.display();
        ui.note(&format!(
            "warning: others can read the passwords in {path}: chmod 600 {path}"
        ));
    }
    for path in project.leftovers()? {
        ui.note(&format!(
            "kept: {path}, which slave-template/ does not have; delete it if it is not yours, then `pgcluster up`"
        ));
    }
    let topology = &project.topology;
    let directories = workdir::data_directories(&topology.folder)?;
    for id in directories
        .iter()
        .filter(|(id, _)| topology.has(**id))
        .filter(|(_, paths)| paths.iter().any(|path| path.ends_with(OLD_DATA)))
        .map(|(id, _)| *id)
    {
        ui.note(&format!(
            "kept: {}, what it had before it was cloned again",
            rebuild::kept(project, id)
        ));
    }
    let mut data: BTreeMap<u32, String> = directories
        .into_keys()
        .map(|id| (id, format!("{}/pgdata", topology::title(id))))
        .collect();
    if project.settings.data == DataPlace::Volume {
        // Where Docker cannot be asked, this much is left unsaid.
        let volumes = data::volumes(&topology.folder, &topology.project).await;
        let volumes = volumes.unwrap_or_default().into_iter();
        data.extend(volumes.map(|(id, name)| (id, format!("the volume {name}"))));
    }
    for (_, place) in data.iter().filter(|(id, _)| !topology.has(**id)) {
        ui.note(&format!(
            "kept: {place}, of a replica that is not among the {} wanted",
            topology.replicas().len()
        ));
    }
    Ok(())
}
