use std::ffi::OsString;
use std::time::Duration;

use anyhow::Result;
use secrecy::ExposeSecret;

use crate::cli::{Global, NodeWord};
use crate::docker;
use crate::error::{Failure, Kind, PassedOn, Problem};
use crate::health;
use crate::observe;
use crate::observed::{Container, Containers};
use crate::process;
use crate::project::Project;
use crate::target::{self, Target};
use crate::ui::{self, Ui};
use crate::url::{self, Place};
use crate::workdir;

/// Open psql on the pool or a node, as the superuser
///
/// Uses the psql of this machine, or where there is none the one in the node's container; that one sees no files of
/// this machine, so give it a script by `pgcluster psql < FILE`. The exit code is psql's. What follows `--` goes to
/// psql: pgcluster psql slave-1 -- -c 'SELECT 1'
#[derive(Debug, clap::Args)]
pub struct Args {
    /// pool, master, slave-1, slave-2 …, or any-replica for the serving replica with the fewest connections
    #[arg(value_name = "NODE", default_value = "pool", value_parser = NodeWord, hide_possible_values = true)]
    node: String,
    /// Arguments of psql
    #[arg(value_name = "ARGS", last = true)]
    args: Vec<OsString>,
}

/// A short command in a container takes some 100 ms.
const EXEC_LIMIT: Duration = Duration::from_secs(20);

/// Variables of the user's that would lead elsewhere, or make libpq ask for what these servers do not have.
const FOREIGN: &[&str] = &[
    "PGHOSTADDR",
    "PGPASSWORD",
    "PGREQUIREAUTH",
    "PGREQUIRESSL",
    "PGSERVICE",
    "PGSSLCERT",
    "PGSSLCRL",
    "PGSSLCRLDIR",
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "PGTARGETSESSIONATTRS",
];

pub async fn run(args: &Args, global: &Global, ui: Ui) -> Result<()> {
    let project = Project::load_existing(global)?;
    let topology = &project.topology;
    let words = std::slice::from_ref(&args.node);
    let containers = observe::containers(&topology.folder, &topology.project);
    let (target, containers) = match target::resolve(topology, words, true)?.pop() {
        Some(Target::AnyReplica) => any_replica(&project, containers.await?).await?,
        Some(target) => (target, containers.await?),
        None => (Target::Pool, containers.await?),
    };
    let port = target.ports(topology)[0];
    let Some(container) = containers.values().find(|container| container.answers(port)) else {
        return Err(not_running(&target).into());
    };
    let code = match which::which("psql") {
        Ok(psql) => on_this_machine(&project, ui, psql.into(), port, &args.args).await?,
        Err(_) => inside(&project, ui, container, &target, port, &args.args).await?,
    };
    Ok(PassedOn::unless_success(code)?)
}

/// Of the replicas that stream, the one with the fewest connections.
async fn any_replica(project: &Project, containers: Containers) -> Result<(Target, Containers)> {
    let topology = &project.topology;
    let observed = observe::servers(project, containers).await;
    let chosen = topology
        .replicas()
        .iter()
        .filter(|node| health::node_state(topology, &observed, node).is_serving())
        .min_by_key(|node| observed.facts(node.id).map(|facts| facts.connections));
    match chosen {
        Some(node) => Ok((Target::Node(node.id), observed.containers)),
        None => Err(Failure::new(
            Kind::NotReady,
            Problem::new("no replica streams").fix("`pgcluster status` says why"),
        )
        .into()),
    }
}

fn not_running(target: &Target) -> Failure {
    Failure::new(
        Kind::NotReady,
        Problem::new(format!("{} does not run", target.title()))
            .fix("`pgcluster up` starts it; `pgcluster status` shows every node"),
    )
}

/// The password is in a file that only this user can read, and that is there no longer than psql.
async fn on_this_machine(
    project: &Project,
    ui: Ui,
    psql: OsString,
    port: u16,
    args: &[OsString],
) -> Result<u8> {
    let settings = &project.settings;
    let (host, admin) = (settings.host().to_string(), &settings.admin);
    let topology = &project.topology;
    // For all ports, so that `\c` reaches the other nodes.
    let ports = topology
        .nodes
        .iter()
        .map(|node| node.port)
        .chain([topology.pool_port]);
    let lines: String = ports
        .map(|port| {
            url::password_line(
                &host,
                &port.to_string(),
                &admin.user,
                admin.password.expose_secret(),
            )
        })
        .collect();
    let file = workdir::write_for_now(&topology.folder, lines.as_bytes())?;
    let place = Place::new(settings, vec![port], false).trusting(project.trusted_file());
    let variables: Vec<(&str, Option<OsString>)> = FOREIGN
        .iter()
        .map(|name| (*name, None))
        .chain(
            place
                .variables()
                .into_iter()
                .map(|(name, value)| (name, Some(value.into()))),
        )
        .chain([("PGPASSFILE", Some(file.as_os_str().to_owned()))])
        .collect();
    let argv = process::Argv::new([psql]).and(args);
    ui.detail(&argv.pasteable());
    // Files that the user names are relative to where the user stands.
    process::interact(&argv, &std::env::current_dir()?, &variables).await
}

/// A node lets its own `postgres` in over the socket; the pool asks for the password, from a file in memory.
async fn inside(
    project: &Project,
    ui: Ui,
    container: &Container,
    target: &Target,
    port: u16,
    args: &[OsString],
) -> Result<u8> {
    let folder = &project.topology.folder;
    let admin = &project.settings.admin;
    let mut variables = vec![
        ("PGUSER", admin.user.as_str()),
        ("PGDATABASE", project.settings.database.as_str()),
        // The container's file system is read-only, and a history of statements has no place in it.
        ("PSQL_HISTORY", "/dev/null"),
    ];
    let (inner, file);
    let passfile = match target {
        Target::Pool | Target::Bouncer => {
            let line = url::password_line("127.0.0.1", "*", &admin.user, admin.password.expose_secret());
            let write = words(&[
                "sh",
                "-c",
                "umask 077 && file=$(mktemp) && cat >\"$file\" && echo \"$file\"",
            ]);
            let argv = docker::exec(&container.id, false, &[], &write);
            file = process::feed(&argv, folder, line.as_bytes(), EXEC_LIMIT)
                .await?
                .trim()
                .to_owned();
            inner = container.inner_port(port).unwrap_or(5432).to_string();
            variables.extend([("PGHOST", "127.0.0.1"), ("PGPORT", &inner), ("PGPASSFILE", &file)]);
            Some(&file)
        }
        _ => {
            variables.push(("PGHOST", "/run/postgresql"));
            None
        }
    };
    let psql = [words(&["psql"]), args.to_vec()].concat();
    let argv = docker::exec(&container.id, ui::is_interactive(), &variables, &psql);
    ui.detail(&argv.pasteable());
    let code = process::interact(&argv, folder, &[]).await;
    if let Some(file) = passfile {
        let argv = docker::exec(&container.id, false, &[], &words(&["rm", "-f", file]));
        process::run(&argv, folder, EXEC_LIMIT).await?;
    }
    code
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(Into::into).collect()
}
