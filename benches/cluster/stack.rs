//! The contestants: a whole cluster, or what stands for one, started by one way or another.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::place;
use crate::process::{command, docker, finish, pgcluster, run, wait_until};
use crate::wire::Session;

const NAP: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(240);

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Pgcluster,
    /// `benches/handmade`: as fast as it goes, and nothing else.
    Handmade,
    /// `benches/naive`: the Compose file that everyone writes first.
    Naive,
    Patroni,
    /// As many containers that do nothing.
    Sleeps,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Pgcluster => "pgcluster",
            Kind::Handmade => "hand-made minimum",
            Kind::Naive => "naive Compose file",
            Kind::Patroni => "Patroni and etcd",
            Kind::Sleeps => "sleeping containers",
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Kind::Pgcluster => "pgcluster",
            Kind::Handmade => "handmade",
            Kind::Naive => "naive",
            Kind::Patroni => "patroni",
            Kind::Sleeps => "sleeps",
        }
    }
}

/// One of them in a folder of its own.
pub struct Stack {
    pub kind: Kind,
    pub folder: PathBuf,
    pub replicas: u16,
    pub master: u16,
    pub pool: u16,
}

impl Stack {
    /// Everything that can be there before the clock runs.
    pub fn fresh(kind: Kind, replicas: u16) -> Result<Stack> {
        let folder = place::fresh(kind.folder())?;
        // Room for replicas that come later.
        let pool = place::ports(replicas + 12);
        let stack = Stack {
            kind,
            folder,
            replicas,
            master: pool + 1,
            pool,
        };
        match kind {
            Kind::Pgcluster => stack.write_ports()?,
            _ => stack.write_files()?,
        }
        Ok(stack)
    }

    fn write_ports(&self) -> Result<()> {
        let mut env = format!("PGPOOL_PORT={}\nMASTER_PORT={}\n", self.pool, self.master);
        for n in 1..=self.replicas + 10 {
            env += &format!("SLAVE{n}_PORT={}\n", self.master + n);
        }
        fs::write(self.folder.join(".env"), env)?;
        Ok(())
    }

    fn write_files(&self) -> Result<()> {
        let from = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("benches")
            .join(self.kind.folder());
        for folder in ["scripts", "data"] {
            fs::create_dir(self.folder.join(folder))?;
            place::open_to_all(&self.folder.join(folder));
        }
        for entry in fs::read_dir(from)? {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
            let is_script = path.extension().is_some_and(|extension| extension == "sh");
            let to = if is_script {
                self.folder.join("scripts")
            } else {
                self.folder.clone()
            };
            fs::copy(path, to.join(name))?;
        }
        let images = place::images();
        let env = format!(
            "COMPOSE_PROJECT_NAME={}\nNODE_IMAGE={}\nPOOL_IMAGE={}\nPATRONI_IMAGE={}\nPOOL_PORT={}\nMASTER_PORT={}\n\
             NODE_PORTS={}-{}\nREPLICAS={}\n",
            self.project(),
            images.node,
            images.pool,
            if self.kind == Kind::Patroni {
                patroni_image()?
            } else {
                String::new()
            },
            self.pool,
            self.master,
            self.master,
            self.master + self.replicas,
            self.replicas,
        );
        fs::write(self.folder.join(".env"), env)?;
        Ok(())
    }

    pub fn project(&self) -> String {
        place::project_of(&self.folder)
    }

    pub fn compose(&self, words: &[&str]) -> Command {
        let mut command = command("docker", ["compose"].iter().chain(words));
        command.current_dir(&self.folder);
        command
    }

    pub fn pgcluster(&self, words: &[&str]) -> Command {
        pgcluster(&self.folder, words)
    }

    pub fn container(&self, service: &str) -> Result<String> {
        let id = run(&mut self.compose(&["ps", "--all", "--quiet", service]))?;
        Ok(id.lines().next().context("no such container")?.to_owned())
    }

    pub fn network(&self) -> String {
        format!("{}_default", self.project())
    }

    fn up_command(&self) -> Command {
        let replicas = self.replicas.to_string();
        match self.kind {
            Kind::Pgcluster => self.pgcluster(&["up", "--replicas", &replicas]),
            Kind::Handmade => {
                let mut command = command("bash", ["scripts/up.sh", &replicas]);
                command.current_dir(&self.folder);
                command
            }
            Kind::Naive => self.compose(&["up", "-d", "--scale", &format!("replica={replicas}")]),
            Kind::Patroni => self.compose(&["up", "-d", "--scale", &format!("node={}", self.replicas + 1)]),
            Kind::Sleeps => self.compose(&["up", "-d", "--scale", &format!("sleep={}", self.replicas + 2)]),
        }
    }

    /// Starts it, and gives the seconds until it is what it is meant to be.
    ///
    /// # Errors
    /// Its command failed, or it is not there after four minutes.
    pub fn up(&self) -> Result<f64> {
        let start = Instant::now();
        let child = self.up_command().spawn()?;
        match self.kind {
            // It ends when the cluster is proved.
            Kind::Pgcluster | Kind::Sleeps => finish(child).map(drop)?,
            Kind::Handmade | Kind::Naive | Kind::Patroni => {
                let waited = match self.kind {
                    Kind::Patroni => self.wait_for_patroni(),
                    _ => self.wait_for_cluster(),
                };
                let took = start.elapsed().as_secs_f64();
                // The reason, where there is one.
                finish(child)?;
                waited?;
                return Ok(took);
            }
        }
        Ok(start.elapsed().as_secs_f64())
    }

    fn wait_for_cluster(&self) -> Result<()> {
        let (mut master, mut pool) = (Session::new(self.master), Session::new(self.pool));
        let replicas = usize::from(self.replicas);
        wait_until("all replicas replay", LIMIT, NAP, || {
            master.replaying().len() == replicas
        })?;
        wait_until("all nodes up in the pool", LIMIT, NAP, || {
            pool.pool_nodes_up() == replicas + 1
        })
    }

    fn wait_for_patroni(&self) -> Result<()> {
        // Who leads is not known before: only a leader has replicas, as none cascades.
        let ports = self.master..=self.master + self.replicas;
        let mut nodes: Vec<Session> = ports.map(|port| Session::to(port, "postgres")).collect();
        wait_until("a leader and its replicas", LIMIT, NAP, || {
            nodes
                .iter_mut()
                .any(|node| node.replaying().len() == usize::from(self.replicas))
        })
    }

    /// Seconds of an orderly stop.
    pub fn down(&self) -> Result<f64> {
        let mut command = match self.kind {
            Kind::Pgcluster => self.pgcluster(&["down"]),
            _ => self.compose(&["down"]),
        };
        let start = Instant::now();
        run(&mut command)?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// Its containers and its network, at once; its files stay until the benchmark is over.
    pub fn remove(&self) -> Result<()> {
        let project = self.project();
        place::remove_projects(|other| other == project)
    }
}

/// Built once, and kept: its tag is that of the node image that it stands on.
fn patroni_image() -> Result<String> {
    let node = &place::images().node;
    let Some((_, tag)) = node.split_once(':') else {
        bail!("{node} has no tag")
    };
    let image = format!("pgcluster-bench-patroni:{tag}");
    if docker(["image", "inspect", &image]).is_err() {
        eprintln!("    building {image}");
        let context = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/patroni");
        let argument = format!("NODE_IMAGE={node}");
        let build = ["build", "--quiet", "--build-arg", &argument, "--tag", &image];
        run(command("docker", build).arg(context))?;
    }
    Ok(image)
}
