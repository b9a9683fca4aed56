use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::cli::Global;
use crate::deletion::Doomed;
use crate::docker;
use crate::engine;
use crate::observe;
use crate::observed::Containers;
use crate::process;
use crate::roster::Roster;
use crate::topology::{self, BOUNCER_SERVICE, LOGINS_FILE, MASTER_SERVICE, POOL_SERVICE};
use crate::ui::Ui;
use crate::workdir::{self, Lock};

/// Stop the cluster; its data stays
///
/// Stops all servers by their fast shutdown and removes their containers and network. With --remove-volumes it also
/// deletes the data directories or volumes of all nodes, replicas removed earlier included, after asking for the
/// cluster's name. .env, master/config, slave-template/ and your edits stay.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Delete all data as well
    #[arg(long)]
    remove_volumes: bool,
    /// Do not ask before deleting
    #[arg(long, requires = "remove_volumes")]
    yes: bool,
    /// Print what would be done, and why, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// The engine answers when it has sent the signal.
const SIGNAL_LIMIT: Duration = Duration::from_secs(10);

/// Three stages of shutdown, each with a grace period of 60 s.
const DOWN_LIMIT: Duration = Duration::from_secs(300);

pub async fn run(args: &Args, global: &Global, ui: Ui) -> Result<()> {
    let folder = workdir::locate(&global.folder)?;
    let project = topology::project_name(&folder);
    let compose_file = workdir::own_compose_file(&folder)?;
    let there = observe::containers(&folder, &project).await?;
    let running = there.len();
    // A folder `master/pgdata` alone does not make it ours to delete.
    if compose_file.is_none() && running == 0 && !workdir::is_project(&folder) {
        ui.note(&format!("there is no cluster in {}", folder.display()));
        return Ok(());
    }
    let _lock = match args.dry_run {
        true => None,
        false => Some(Lock::take(&folder, "down")?),
    };
    let doomed = match args.remove_volumes {
        true => Doomed::of(&folder, &project, |_| true).await?,
        false => Doomed::none(),
    };
    if args.dry_run {
        ui.result(&format!(
            "stop and remove the containers and the network of {project}"
        ));
        for line in doomed.listing(&folder).await {
            ui.result(&format!("delete {line}"));
        }
        return Ok(());
    }
    doomed.confirm(&folder, &project, args.yes, ui).await?;

    let argv = workdir::compose(&folder, &project).down();
    ui.detail(&argv.pasteable());
    let stopped = process::run(&argv, &folder, DOWN_LIMIT);
    let (stopped, ()) = tokio::join!(stopped, head_start(&there, &folder, ui));
    stopped?;
    workdir::remove_newborn_copy(&folder);
    doomed.delete(&folder, &project).await?;
    if args.remove_volumes && fs::metadata(folder.join(LOGINS_FILE)).is_ok_and(|file| file.len() > 0) {
        // The roles went with the data.
        workdir::write(&folder, &Roster::default().file())?;
    }
    let stopped = match running {
        0 => "nothing was running".to_owned(),
        count => format!("{count} containers stopped and removed"),
    };
    ui.note(&match args.remove_volumes {
        false => format!("{stopped}; the data stays, `pgcluster up` starts it again"),
        true => format!("{stopped}; {}", doomed.deleted()),
    });
    if let Some(written) = workdir::written(&folder).ok().flatten()
        && args.remove_volumes
        && written.in_volumes
        && written.project != project
    {
        ui.note(&format!(
            "kept: the volumes of {}, which docker-compose.yml is of: they belong to the path this folder had",
            written.project
        ));
    }
    Ok(())
}

/// Ends the pool, which has nothing to save, and lets the master begin to stop while Compose starts: it stops the pool and the
/// replicas, and the master after them. So the master ships to its replicas, most of the time all, what it still has.
///
/// Not where PgBouncer lets the transactions of its clients come to their end. What fails here Compose does.
async fn head_start(there: &Containers, folder: &Path, ui: Ui) {
    if there.contains_key(BOUNCER_SERVICE) {
        return;
    }
    let signal = async |service: &str, signal| {
        let Some(container) = there.get(service).filter(|container| container.is_running()) else {
            return;
        };
        let argv = docker::signal(signal, &container.id);
        ui.detail(&argv.pasteable());
        if !engine::post(&docker::api::signal(signal, &container.id)).await {
            let _ = process::run(&argv, folder, SIGNAL_LIMIT).await;
        }
    };
    tokio::join!(signal(POOL_SERVICE, "SIGKILL"), signal(MASTER_SERVICE, "SIGINT"));
}
