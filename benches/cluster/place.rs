//! Where everything of one run lies, so that all of it can go again: one folder, and containers that are told by it.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::{command, docker, pgcluster, run};

/// On every container that Compose did not make; its value is the name of this run's folder.
const LABEL: &str = "pgcluster.bench";

/// The folder of this run. What is in it is deleted at its end and not before: an ext4 without a journal gives no inode
/// again for five minutes, and who makes files meanwhile looks through all those that were deleted near by.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        // Far from what an earlier run deleted, where the file system can do that.
        let _ = command("chattr", ["+T", env!("CARGO_TARGET_TMPDIR")]).output();
        // Beside what was built: the system's folder for temporary files may be memory.
        let folder = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        let folder = folder.expect("a temporary folder").keep();
        open_to_all(&folder);
        fs::canonicalize(folder).expect("it is there")
    })
}

fn root_name() -> String {
    let name = root().file_name().unwrap_or_default().to_string_lossy();
    name.to_lowercase()
}

/// A new folder, whose name is that of a Compose project too.
pub fn fresh(name: &str) -> Result<PathBuf> {
    static COUNT: AtomicUsize = AtomicUsize::new(1);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = root().join(format!("{}-{name}-{number}", root_name()));
    fs::create_dir(&folder)?;
    open_to_all(&folder);
    Ok(folder)
}

/// The programs in the containers run as another user.
pub fn open_to_all(folder: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Where it fails the containers cannot write, and say so.
        let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o777));
    }
    #[cfg(not(unix))]
    let _ = folder;
}

/// The first of `count` successive ports on which nothing listens; none is given out twice.
///
/// They begin at `BENCH_PORT`, or 21000, below those of outgoing connections.
pub fn ports(count: u16) -> u16 {
    static GIVEN: AtomicUsize = AtomicUsize::new(0);
    let first = std::env::var("BENCH_PORT")
        .ok()
        .and_then(|port| port.parse().ok());
    let first: u16 = first.unwrap_or(21_000);
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    loop {
        // Wraps around: those of benchmarks that are over are free again.
        let given = GIVEN.fetch_add(usize::from(count), Ordering::Relaxed) % (1000 - usize::from(count));
        let start = first + given as u16;
        if (start..start + count).all(is_free) {
            return start;
        }
    }
}

/// The images of the cluster, which all contestants use.
pub struct Images {
    pub node: String,
    pub pool: String,
}

pub fn images() -> &'static Images {
    static IMAGES: OnceLock<Images> = OnceLock::new();
    IMAGES.get_or_init(|| look_up_images().expect("`make images` builds them"))
}

fn look_up_images() -> Result<Images> {
    let folder = fresh("images")?;
    run(&mut pgcluster(&folder, &["generate", "1"]))?;
    let all = run(command("docker", ["compose", "config", "--images"]).current_dir(&folder))?;
    let find = |name: &str| {
        let image = all.lines().find(|image| image.starts_with(name));
        image
            .map(str::to_owned)
            .with_context(|| format!("no image {name}"))
    };
    let images = Images {
        node: find("pgcluster-node:")?,
        pool: find("pgcluster-pool:")?,
    };
    docker(["image", "inspect", &images.node, &images.pool])?;
    Ok(images)
}

/// The full name of a container of this run, by which others on its network reach it.
pub fn container_name(name: &str) -> String {
    format!("{}-{name}", root_name())
}

/// `docker run --detach` with the label by which it is removed.
pub fn run_container(name: &str, words: &[&str]) -> Result<String> {
    let (name, label) = (
        format!("{}-{name}", root_name()),
        format!("{LABEL}={}", root_name()),
    );
    let start = [
        "run",
        "--detach",
        "--pull=never",
        "--name",
        &name,
        "--label",
        &label,
    ];
    docker(start.iter().chain(words)).map(|_| name)
}

/// One of our images on this network, as postgres, which runs a script of its folder.
pub fn run_script(name: &str, image: &str, network: &str, folder: &Path, script: &[&str]) -> Result<()> {
    let mount = format!("{}:/node", folder.display());
    let options = [
        "--network",
        network,
        "--volume",
        &mount,
        "--user=postgres",
        "--entrypoint=bash",
        image,
    ];
    run_container(name, &[&options, script].concat()).map(drop)
}

/// As root in a container, with the folder of this run at its own path: for what belongs to another user here.
pub fn as_root(script: &str) -> Result<String> {
    let mount = format!("{0}:{0}", root().display());
    docker([
        "run",
        "--rm",
        "--pull=never",
        "--network=none",
        "--user=root",
        "--volume",
        &mount,
        "--entrypoint=bash",
        &images().node,
        "-euc",
        script,
    ])
}

/// Containers and networks of these projects; their data stays.
pub fn remove_projects(is_ours: impl Fn(&str) -> bool) -> Result<()> {
    for (list, remove) in [
        (
            ["ps", "--all"].as_slice(),
            ["rm", "--force", "--volumes"].as_slice(),
        ),
        (&["network", "ls"], &["network", "rm"]),
        (&["volume", "ls"], &["volume", "rm"]),
    ] {
        let name = if list[0] == "volume" {
            "{{.Name}}"
        } else {
            "{{.ID}}"
        };
        let format = format!(r#"{name} {{{{.Label "com.docker.compose.project"}}}}"#);
        let listed = docker(list.iter().copied().chain(["--format", &format]))?;
        let ours = listed.lines().filter_map(|line| line.split_once(' '));
        let ids: Vec<&str> = ours
            .filter(|(_, project)| is_ours(project))
            .map(|(id, _)| id)
            .collect();
        if !ids.is_empty() {
            docker(remove.iter().copied().chain(ids))?;
        }
    }
    Ok(())
}

pub fn remove_containers() -> Result<()> {
    let filter = format!("label={LABEL}={}", root_name());
    let ids = docker(["ps", "--all", "--quiet", "--filter", &filter])?;
    if !ids.is_empty() {
        docker(["rm", "--force", "--volumes"].into_iter().chain(ids.lines()))?;
    }
    Ok(())
}

/// Compose's name for the project in a folder: what is written in its file, or the name of the folder.
pub fn project_of(folder: &Path) -> String {
    let text = fs::read_to_string(folder.join("docker-compose.yml")).unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("name: "));
    let fallback = || {
        folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    name.map_or_else(fallback, |name| name.trim_matches('"').to_owned())
}

/// Has the disk take what is in memory, where there is such a program.
pub fn write_out() {
    let _ = command("sync", [""; 0]).output();
}

/// Removes the containers of this run, and what its files take of the disk.
pub fn empty() -> Result<()> {
    remove_stacks()?;
    let large = "-type f -size +64k -exec truncate --size=0 {} +";
    as_root(&format!("find '{}' {large}", root().display()))?;
    write_out();
    std::thread::sleep(Duration::from_secs(2));
    Ok(())
}

/// Removes everything of this run.
fn clear() -> Result<()> {
    let folders = remove_stacks()?;
    // Where there are no images yet, nothing belongs to anyone else.
    if folders.iter().any(|folder| fs::remove_dir_all(folder).is_err()) {
        as_root(&format!("rm -rf '{}'/*", root().display()))?;
    }
    Ok(())
}

/// Gives back their folders.
fn remove_stacks() -> Result<Vec<PathBuf>> {
    let folders = fs::read_dir(root())?.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let folders: Vec<PathBuf> = folders.collect();
    let projects: Vec<String> = folders.iter().map(|folder| project_of(folder)).collect();
    remove_containers()?;
    remove_projects(|project| projects.iter().any(|ours| ours == project))?;
    Ok(folders)
}

/// The end of a run, whatever ends it.
pub struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = clear() {
            eprintln!("not everything could be removed: {error:#}");
        }
        // Empty by now, and this user's.
        let _ = fs::remove_dir(root());
    }
}
