//! Extensions in a cluster that is there: are they in the image, and does the database have them?

use std::time::Duration;

use anyhow::Result;

use crate::checks::Machine;
use crate::docker;
use crate::error::{Failure, Kind, Problem};
use crate::extensions::{self, TEMPLATE};
use crate::observe;
use crate::plan::{Planned, Step};
use crate::postgres::Session;
use crate::process;
use crate::project::Project;
use crate::topology::MASTER_SERVICE;

/// A container that lists a folder takes half a second.
const LOOK_LIMIT: Duration = Duration::from_secs(60);

/// Refuses names that the node image does not have. A server whose configuration wants to load such a one does not
/// start, so this comes before the configuration is written.
///
/// # Errors
/// [`Kind::Input`] with every such name.
pub async fn refuse_unknown(project: &Project, machine: &Machine) -> Result<()> {
    let wanted = extensions::extra(&project.settings.extensions);
    if wanted.is_empty() || is_known(project, machine, &wanted).await {
        return Ok(());
    }
    let image = &project.rendering.images.node;
    let argv = docker::extensions(image);
    let listing = process::run(&argv, &project.topology.folder, LOOK_LIMIT).await?;
    let there: Vec<&str> = docker::parse_extensions(&listing);
    let problem = |name: &&String| {
        Problem::new(format!("EXTENSIONS: `{name}` is not in the image {image}")).fix(format!(
            "add its Debian package to EXTRA_PACKAGES in .env (often postgresql-17-{}), or take the name out",
            name.trim_start_matches("pg_").replace('_', "-")
        ))
    };
    let problems = wanted
        .iter()
        .filter(|name| !there.contains(&name.as_str()))
        .map(problem)
        .collect();
    Ok(Failure::unless_empty(Kind::Input, problems)?)
}

/// The running master, which has the image of now, knows them all.
async fn is_known(project: &Project, machine: &Machine, wanted: &[&String]) -> bool {
    let port = project.topology.master().port;
    let image = &project.rendering.images.node;
    let runs = machine
        .containers
        .get(MASTER_SERVICE)
        .is_some_and(|master| master.answers(port) && master.image == *image);
    if !runs {
        return false;
    }
    let mut session = Session::new(observe::endpoint(project, port));
    let available = session.available_extensions().await.unwrap_or_default();
    wanted.iter().all(|name| available.contains(name))
}

/// What the databases lack, and what could be updated, as lines for people.
///
/// # Errors
/// [`Kind::NotReady`] if the master does not tell.
pub async fn look(project: &Project) -> Result<(Vec<Planned>, Vec<String>)> {
    let settings = &project.settings;
    let (mut steps, mut updates) = (Vec::new(), Vec::new());
    let template = settings.extensions_in_template.then_some(TEMPLATE);
    for database in [settings.database.as_str()].into_iter().chain(template) {
        let installed = session(project, database).installed_extensions().await;
        let installed = installed.map_err(|silence| {
            let what = format!("the extensions of {database} cannot be read: {}", silence.reason);
            Failure::new(Kind::NotReady, Problem::new(what).fix("run `pgcluster up` again"))
        })?;
        steps.extend(extensions::missing(&settings.extensions, database, &installed));
        updates.extend(installed.updates.iter().map(|(name, version)| {
            format!(
                "{name} {} in {database} can become {version}: ALTER EXTENSION \"{name}\" UPDATE;",
                installed.versions[name]
            )
        }));
    }
    Ok((steps, updates))
}

/// Creates what [`look`] found missing.
///
/// # Errors
/// [`Kind::Failed`] with what the master said of each that it did not create.
pub async fn create(project: &Project, steps: &[Planned]) -> Result<()> {
    let mut problems = Vec::new();
    for planned in steps {
        let Step::CreateExtension { name, database } = &planned.step else {
            continue;
        };
        if let Err(silence) = session(project, database).create_extension(name).await {
            problems.push(
                Problem::new(format!("EXTENSIONS: `{name}` in {database}: {}", silence.reason))
                    .fix("see what it needs in its documentation, or take it out of EXTENSIONS in .env"),
            );
        }
    }
    Ok(Failure::unless_empty(Kind::Failed, problems)?)
}

fn session(project: &Project, database: &str) -> Session {
    let mut endpoint = observe::endpoint(project, project.topology.master().port);
    database.clone_into(&mut endpoint.database);
    Session::new(endpoint).patient()
}
