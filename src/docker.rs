//! Docker's command lines, and what its output means. Pure functions; [`crate::process`] runs them.

pub mod api;
mod inside;
mod volumes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::Problem;
use crate::observed::{Container, Containers};
use crate::process::Argv;

pub use inside::{
    bouncer_console, bouncer_renew, exec, logins_over, parse_bouncer_pools, pcp, perl, pool_node, tunnel,
    watcher_report,
};
pub use volumes::{
    Volumes, data_in_volumes, parse_data_in_volumes, parse_sizes, parse_volumes, remove_volumes, root_folder,
    sizes_of_volumes, users_of_volumes, volumes,
};

/// The label by which a container tells what it was made from.
pub const SPEC_LABEL: &str = "pgcluster.spec";

/// Compose labels the images that it builds as the containers that it makes: a helper's container from one of them would
/// pass for a node's, but for this.
const SERVES_LABEL: &str = "com.docker.compose.oneoff=False";

fn docker() -> Argv {
    Argv::new(["docker"])
}

/// A Compose project, whatever the environment or the folder's `.env` say.
#[derive(Clone, Debug)]
pub struct Compose<'a> {
    pub folder: &'a Path,
    pub project: &'a str,
    /// The rendered file and the user's override, those that are there.
    pub files: Vec<PathBuf>,
}

impl Compose<'_> {
    fn command(&self) -> Argv {
        let mut argv = docker().and(["compose", "--project-name", self.project]);
        // Compose must not read the user's `.env`: every value is in the rendered file already.
        argv = argv
            .and(["--env-file", NO_FILE, "--project-directory"])
            .and([self.folder]);
        for file in &self.files {
            argv = argv.and(["--file"]).and([file]);
        }
        argv
    }

    pub fn build(&self, services: &[&str]) -> Argv {
        self.command()
            .and(["--progress", "plain", "build"])
            .and(services.iter().copied())
    }

    /// Creates, recreates and starts what is in the files, and removes what is there no more.
    pub fn up(&self) -> Argv {
        self.command()
            .and(["up", "--detach", "--no-build", "--remove-orphans", "--quiet-pull"])
    }

    /// The same, with these services alone of what is in the files, whether others are up to date or not.
    pub fn up_only(&self, services: &[&str]) -> Argv {
        self.up().and(["--no-deps"]).and(services.iter().copied())
    }

    /// Creates, recreates and starts these services; no other is touched, nor removed before its turn.
    pub fn start(&self, services: &[&str]) -> Argv {
        self.command()
            .and(["up", "--detach", "--no-build", "--quiet-pull", "--no-deps"])
            .and(services.iter().copied())
    }

    /// Removes what is in the files no more, and creates what is missing; nothing that is there is recreated.
    pub fn up_without_changes(&self) -> Argv {
        self.up().and(["--no-recreate"])
    }

    pub fn down(&self) -> Argv {
        self.command().and(["down", "--remove-orphans"])
    }

    /// The logs of `services`, with `options` of `docker compose logs`.
    pub fn logs(&self, options: &[String], services: &[String]) -> Argv {
        self.command().and(["logs"]).and(options).and(services)
    }
}

#[cfg(windows)]
const NO_FILE: &str = "NUL";
#[cfg(not(windows))]
const NO_FILE: &str = "/dev/null";

/// Client and engine versions as JSON.
pub fn version() -> Argv {
    docker().and(["version", "--format", "{{json .}}"])
}

pub fn compose_version() -> Argv {
    docker().and(["compose", "version", "--short"])
}

/// Bytes of memory that the engine's machine has.
pub fn memory() -> Argv {
    docker().and(["info", "--format", "{{.MemTotal}}"])
}

/// The project's containers, running or not, one JSON object a line.
pub fn containers(project: &str) -> Argv {
    let format = format!(
        "{{\"id\":{{{{json .ID}}}},\"state\":{{{{json .State}}}},\"status\":{{{{json .Status}}}},\
         \"service\":{{{{json (.Label \"com.docker.compose.service\")}}}},\"spec\":{{{{json (.Label \"{SPEC_LABEL}\")}}}},\
         \"ports\":{{{{json .Ports}}}},\"image\":{{{{json .Image}}}}}}"
    );
    docker()
        .and(["ps", "--all", "--no-trunc", "--filter"])
        .and([format!("label=com.docker.compose.project={project}")])
        .and(["--filter".to_owned(), format!("label={SERVES_LABEL}")])
        .and(["--format".to_owned(), format])
}

/// Names and published ports of all running containers, one JSON object a line.
pub fn published_ports() -> Argv {
    docker().and([
        "ps",
        "--format",
        "{\"name\":{{json .Names}},\"ports\":{{json .Ports}},\"project\":{{json (.Label \"com.docker.compose.project\")}}}",
    ])
}

/// Succeeds if every image is there.
pub fn image_exists(images: &[&str]) -> Argv {
    docker()
        .and(["image", "inspect", "--format", "{{.Id}}"])
        .and(images.iter().copied())
}

/// The images this tool built, newest first.
pub fn own_images() -> Argv {
    docker().and([
        "image",
        "ls",
        "--filter",
        "reference=pgcluster-*",
        "--format",
        "{{.Repository}}:{{.Tag}}",
    ])
}

/// A word such as `restart` or `unpause` for one container.
pub fn container(verb: &str, id: &str) -> Argv {
    docker().and([verb, id])
}

/// After the container's own stop signal (SIGINT), or SIGKILL, the engine does not start it again.
pub fn signal(signal: &str, id: &str) -> Argv {
    docker().and(["kill", "--signal", signal, id])
}

pub fn logs(id: &str, lines: usize) -> Argv {
    docker()
        .and(["logs", "--tail"])
        .and([lines.to_string()])
        .and([id])
}

/// A program as root in a running container that reads its standard input.
pub fn exec_with_input(container: &str, words: &[&str]) -> Argv {
    docker()
        .and(["exec", "--interactive", container])
        .and(words.iter().copied())
}

/// Logs in at `host` for replication, from inside a node and with the password file that this node streams with.
pub fn replication_login(container: &str, host: &str, user: &str) -> Argv {
    docker().and([
        "exec",
        "--env=PGPASSFILE=/run/pgcluster/pgpass",
        "--env=PGCONNECT_TIMEOUT=5",
        container,
        "psql",
        "-XqAtw",
        "--host",
        host,
        "--username",
        user,
        "--dbname=replication=true",
        "--command=IDENTIFY_SYSTEM",
    ])
}

/// Runs `words` as root in a throw-away container that sees the project folder at `/project` and nothing else.
pub fn helper(folder: &Path, image: &str, words: &[&str]) -> Argv {
    docker()
        .and([
            "run",
            "--rm",
            "--network",
            "none",
            "--workdir",
            "/project",
            "--mount",
        ])
        .and([mount(folder, "/project")])
        .and(["--entrypoint", words[0], image])
        .and(words[1..].iter().copied())
}

/// The same for a program that reads its standard input.
pub fn helper_with_input(folder: &Path, image: &str, words: &[&str]) -> Argv {
    let mut argv = helper(folder, image, words);
    argv.0.insert(2, "--interactive".into());
    argv
}

/// Runs `words` as root in a throw-away container that sees at `/node` what the containers of a node do: its folder, or
/// its volume.
pub fn in_node(place: &NodePlace, image: &str, words: &[&str]) -> Argv {
    let mount = match place {
        NodePlace::Folder(folder) => mount(folder, "/node"),
        NodePlace::Volume(name) => format!("type=volume,source={name},target=/node"),
    };
    docker()
        .and(["run", "--rm", "--network", "none", "--mount"])
        .and([mount])
        .and(["--entrypoint", words[0], image])
        .and(words[1..].iter().copied())
}

/// Where a node's data is.
#[derive(Clone, Debug)]
pub enum NodePlace {
    Folder(PathBuf),
    Volume(String),
}

/// A bind mount in Docker's comma-separated form, where a field with a comma or quote is quoted as in CSV.
fn mount(folder: &Path, target: &str) -> String {
    let source = format!("source={}", folder.display());
    if source.contains([',', '"']) {
        format!("type=bind,\"{}\",target={target}", source.replace('"', "\"\""))
    } else {
        format!("type=bind,{source},target={target}")
    }
}

/// Lists the control files of the extensions in a node image, in a throw-away container.
pub fn extensions(image: &str) -> Argv {
    docker()
        .and(["run", "--rm", "--network", "none", "--entrypoint", "find", image])
        .and(["/usr/share/postgresql", "-name", "*.control"])
}

/// The names in the output of [`extensions`].
pub fn parse_extensions(output: &str) -> Vec<&str> {
    output
        .lines()
        .filter_map(|line| line.trim().rsplit('/').next()?.strip_suffix(".control"))
        .collect()
}

/// Reads the output of [`containers`].
///
/// # Errors
/// A line that is not the JSON asked for.
pub fn parse_containers(output: &str) -> serde_json::Result<Containers> {
    #[derive(Deserialize)]
    struct Line {
        service: String,
        #[serde(flatten)]
        container: Container,
    }
    let mut containers = BTreeMap::new();
    for line in output.lines().filter(|line| !line.trim().is_empty()) {
        let line: Line = serde_json::from_str(line)?;
        containers.insert(line.service, line.container);
    }
    Ok(containers)
}

/// The package that apt does not know, from a line of a build's output.
pub fn unknown_package(line: &str) -> Option<String> {
    let (_, rest) = line
        .split_once("E: Unable to locate package ")
        .or_else(|| Some(("", line.split_once("E: Package '")?.1.split_once('\'')?.0)))?;
    rest.split_whitespace().next().map(str::to_owned)
}

/// The engine's version in the output of [`version`]; `None` when the client reached no engine.
pub fn parse_engine_version(output: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(output.trim()).ok()?;
    Some(value.get("Server")?.get("Version")?.as_str()?.to_owned())
}

/// The problem behind what the client wrote to its standard error when it reached no engine.
pub fn engine_away(stderr: &str) -> Problem {
    let reason = stderr
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or("no reason given");
    let fix = if reason.contains("permission denied") {
        "add yourself to the `docker` group and log in again, or use sudo"
    } else {
        "start Docker Desktop, or on Linux: sudo systemctl start docker"
    };
    Problem::new(format!("the Docker engine does not answer: {reason}")).fix(fix)
}

/// The container, if any, that publishes `port`, from the output of [`published_ports`].
pub fn parse_port_owner(output: &str, port: u16) -> Option<String> {
    #[derive(Deserialize)]
    struct Line {
        name: String,
        ports: String,
    }
    let wanted = format!(":{port}->");
    output
        .lines()
        .filter_map(|line| serde_json::from_str::<Line>(line).ok())
        .find(|line| line.ports.contains(&wanted))
        .map(|line| line.name)
}

#[cfg(test)]
mod tests;
