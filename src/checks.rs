//! Is this machine able to run the cluster? Looks at everything first, then names every problem at once.

mod memory;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytesize::ByteSize;

use crate::data;
use crate::docker;
use crate::engine;
use crate::error::{Failure, Kind, Problem};
use crate::observe::{self, DOCKER_LIMIT};
use crate::observed::{Container, Containers};
use crate::process;
use crate::project::Project;
use crate::topology::Node;
use crate::workdir;

/// A new node needs about 60 MiB of data and keeps up to 256 MiB of WAL for its replicas.
const SPACE_PER_NODE: u64 = 320 << 20;

/// A container that Compose is starting, for an `up` that was killed, holds its ports before it shows as running.
const IN_BETWEEN: Duration = Duration::from_secs(5);

/// What was seen of the machine, all of it usable.
#[derive(Debug)]
pub struct Machine {
    pub engine: String,
    /// Its version; nothing where every container is as wanted, so that it will not be called.
    pub compose: Option<String>,
    /// For people: ports, space.
    pub room: String,
    pub containers: Containers,
    /// Images that have to be built.
    pub missing_images: Vec<String>,
    /// What works and may not work well.
    pub warnings: Vec<String>,
}

impl Machine {
    /// For people: versions, ports, space.
    pub fn summary(&self) -> String {
        let compose = self.compose.as_ref();
        let compose = compose.map_or(String::new(), |version| format!(" · compose {version}"));
        format!("engine {}{compose} · {}", self.engine, self.room)
    }
}

/// Looks at the engine, its memory, Compose, containers, images, ports and the disk, at the same time.
///
/// # Errors
/// [`Kind::Machine`] with every problem and its fix.
pub async fn look(project: &Project) -> Result<Machine> {
    look_at(project, false).await
}

/// The same, and at Compose even where nothing is left for it to do.
///
/// # Errors
/// As [`look`].
pub async fn look_at_everything(project: &Project) -> Result<Machine> {
    look_at(project, true).await
}

async fn look_at(project: &Project, everything: bool) -> Result<Machine> {
    if let Err(error) = which::which("docker") {
        return Err(Failure::new(
            Kind::Machine,
            Problem::new(format!("`docker` is not on PATH ({error})")).fix(
                "install Docker Engine with the Compose plugin (Linux) or Docker Desktop (macOS, Windows)",
            ),
        )
        .into());
    }
    let folder = &project.topology.folder;
    let images = &project.rendering.images;
    let (engine, memory, containers, missing_images) = tokio::join!(
        engine_version(folder),
        engine_memory(folder),
        observe::containers(folder, &project.topology.project),
        missing_images(folder, [&images.node, &images.pool]),
    );
    let is_ready = |containers: &Containers| {
        let mut specs = project.rendering.specs.iter();
        let as_wanted = |(service, spec): (&String, &String)| {
            let container = containers.get(service);
            container.is_some_and(|container| container.is_running() && container.spec == *spec)
        };
        specs.all(as_wanted) && containers.len() == project.rendering.specs.len()
    };
    let ready = containers.as_ref().is_ok_and(is_ready) && missing_images.as_ref().is_ok_and(Vec::is_empty);
    // Starting it takes as long as all the rest.
    let compose = match ready && !everything {
        true => Ok(None),
        false => compose_version(folder).await.map(Some),
    };
    let mut problems = Vec::new();
    let mut keep = |result: Result<Option<String>, Problem>| {
        result
            .map_err(|problem| problems.push(problem))
            .unwrap_or_default()
    };
    let engine = keep(engine.map(Some)).unwrap_or_default();
    let compose = keep(compose);
    // Where no engine answers, nothing of ours runs.
    let mut containers = containers.unwrap_or_default();
    let mut busy = busy_ports(project, &containers).await;
    let deadline = Instant::now() + IN_BETWEEN;
    while !busy.is_empty() && containers.values().any(Container::is_in_between) && Instant::now() < deadline {
        tokio::time::sleep(IN_BETWEEN / 20).await;
        containers = observe::containers(folder, &project.topology.project).await?;
        busy = busy_ports(project, &containers).await;
    }
    problems.extend(busy);
    let place = data::place(project).await;
    let free = workdir::free_space(&place);
    problems.extend(too_little_space(project, &containers, &place, &free));
    let (too_little_memory, warning) = memory.map_or((None, None), |total| memory::check(project, total));
    problems.extend(too_little_memory);
    Failure::unless_empty(Kind::Machine, problems)?;

    Ok(Machine {
        engine,
        compose,
        room: format!(
            "ports {} free · {} of disk free",
            ports(project),
            free.map_or("?".to_owned(), |bytes| ByteSize(bytes).to_string()),
        ),
        containers,
        missing_images: missing_images?,
        warnings: warning.into_iter().collect(),
    })
}

async fn engine_version(folder: &std::path::Path) -> Result<String, Problem> {
    if let Some((_, body)) = engine::get(docker::api::VERSION, &[200]).await
        && let Some(version) = docker::api::parse_version(&body)
    {
        return Ok(version);
    }
    let argv = docker::version();
    let finished = process::capture(&argv, folder, DOCKER_LIMIT)
        .await
        .map_err(|error| Problem::new(error.to_string()))?;
    docker::parse_engine_version(&finished.stdout).ok_or_else(|| docker::engine_away(&finished.stderr))
}

/// Bytes of memory of the engine's machine; with Docker Desktop that is a virtual one.
async fn engine_memory(folder: &std::path::Path) -> Option<u64> {
    if let Some((_, body)) = engine::get(docker::api::INFO, &[200]).await {
        return docker::api::parse_memory(&body).filter(|bytes| *bytes > 0);
    }
    let output = process::run(&docker::memory(), folder, DOCKER_LIMIT).await.ok()?;
    output.trim().parse().ok().filter(|bytes| *bytes > 0)
}

async fn compose_version(folder: &std::path::Path) -> Result<String, Problem> {
    let argv = docker::compose_version();
    let finished = process::capture(&argv, folder, DOCKER_LIMIT)
        .await
        .map_err(|error| Problem::new(error.to_string()))?;
    let version = finished.stdout.trim().trim_start_matches('v').to_owned();
    let major: Option<u32> = version.split('.').next().and_then(|major| major.parse().ok());
    if finished.success && major.is_some_and(|major| major >= 2) {
        return Ok(version);
    }
    let old = which::which("docker-compose").is_ok();
    let what = match (finished.success, old) {
        (true, _) => format!("Compose {version} is too old"),
        (false, true) => {
            "`docker compose` is missing; the `docker-compose` on PATH is the old Compose 1".to_owned()
        }
        (false, false) => "`docker compose` is missing".to_owned(),
    };
    Err(Problem::new(what).fix(
        "install Compose 2 or newer: the package docker-compose-plugin, or its binary as \
         ~/.docker/cli-plugins/docker-compose (`make prepare` in pgcluster's repository does it on Debian and Ubuntu)",
    ))
}

async fn missing_images(folder: &std::path::Path, images: [&String; 2]) -> Result<Vec<String>> {
    let paths = images.map(|image| docker::api::image(image));
    let [first, second] = paths.each_ref().map(|path| engine::get(path, &[200, 404]));
    if let (Some((first, _)), Some((second, _))) = tokio::join!(first, second) {
        let missing = images.into_iter().zip([first, second]);
        return Ok(missing
            .filter(|(_, status)| *status == 404)
            .map(|(image, _)| image.clone())
            .collect());
    }
    // One call tells whether both are there; only where not, each is asked for.
    let both = docker::image_exists(&images.map(String::as_str));
    if process::capture(&both, folder, DOCKER_LIMIT).await?.success {
        return Ok(Vec::new());
    }
    let mut missing = Vec::new();
    for image in images {
        let one = docker::image_exists(&[image]);
        if !process::capture(&one, folder, DOCKER_LIMIT).await?.success {
            missing.push(image.clone());
        }
    }
    Ok(missing)
}

/// Every published port with its key.
fn claims(project: &Project) -> Vec<(String, u16)> {
    let mut claims: Vec<(String, u16)> = project
        .topology
        .nodes
        .iter()
        .map(|node: &Node| {
            let key = match node.id {
                0 => "MASTER_PORT".to_owned(),
                n => format!("SLAVE{n}_PORT"),
            };
            (key, node.port)
        })
        .collect();
    claims.push(("PGPOOL_PORT".to_owned(), project.topology.pool_port));
    claims
}

/// Ports in use by something else than the cluster's own containers.
async fn busy_ports(project: &Project, containers: &Containers) -> Vec<Problem> {
    let ours = |port: u16| containers.values().any(|container| container.publishes(port));
    let busy: Vec<(String, u16, io::Error)> = claims(project)
        .into_iter()
        .filter(|(_, port)| !ours(*port))
        .filter_map(|(key, port)| {
            let address = SocketAddr::new(project.settings.bind, port);
            Some((key, port, TcpListener::bind(address).err()?))
        })
        .collect();
    if busy.is_empty() {
        return Vec::new();
    }
    let published = process::run(&docker::published_ports(), &project.topology.folder, DOCKER_LIMIT)
        .await
        .unwrap_or_default();
    busy.into_iter()
        .map(|(key, port, error)| busy_port(&key, port, &error, docker::parse_port_owner(&published, port)))
        .collect()
}

fn busy_port(key: &str, port: u16, error: &io::Error, owner: Option<String>) -> Problem {
    let what = match (error.kind(), owner) {
        (io::ErrorKind::AddrInUse, Some(owner)) => {
            format!("{key}: port {port} is held by the container {owner}")
        }
        (io::ErrorKind::AddrInUse, None) if cfg!(target_os = "macos") && [5000, 7000].contains(&port) => {
            format!("{key}: port {port} is taken, most likely by macOS's AirPlay Receiver")
        }
        (io::ErrorKind::AddrInUse, None) => format!("{key}: port {port} is taken by another program"),
        _ => format!("{key}: port {port} cannot be used: {error}"),
    };
    Problem::new(what).fix(format!("set {key} to a free port in .env, or free {port}"))
}

/// Where the space cannot be seen, in Docker's virtual machine, nothing is said.
fn too_little_space(
    project: &Project,
    containers: &Containers,
    place: &Path,
    free: &io::Result<u64>,
) -> Option<Problem> {
    let nodes = project.topology.nodes.iter();
    let new = nodes.filter(|node| !containers.contains_key(&node.service()));
    too_little(new.count() as u64, place, *free.as_ref().ok()?)
}

/// For so many new nodes; `free` are bytes.
fn too_little(nodes: u64, place: &Path, free: u64) -> Option<Problem> {
    let needed = nodes * SPACE_PER_NODE;
    (free < needed).then(|| {
        Problem::new(format!(
            "{} of disk are free in {}, and the new nodes need {}",
            ByteSize(free),
            place.display(),
            ByteSize(needed)
        ))
        .fix("free some space, ask for fewer replicas, or use a folder on another disk")
    })
}

/// `5000–5003, 6432`
fn ports(project: &Project) -> String {
    let mut ports: Vec<u16> = claims(project).into_iter().map(|(_, port)| port).collect();
    ports.sort_unstable();
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for port in ports {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == port => *last = port,
            _ => runs.push((port, port)),
        }
    }
    let runs = runs.into_iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}–{last}"),
    });
    runs.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_nodes_need_space() {
        let check = |nodes, free, expected: bool| {
            let problem = too_little(nodes, Path::new("/data"), free);
            assert_eq!(problem.is_some(), expected, "{nodes} nodes, {free} free");
            if let Some(problem) = problem {
                assert!(problem.what.contains("of disk are free in /data"), "{problem:?}");
            }
        };
        check(0, 0, false);
        check(1, SPACE_PER_NODE, false);
        check(1, SPACE_PER_NODE - 1, true);
        check(3, SPACE_PER_NODE * 2, true);
    }
}
