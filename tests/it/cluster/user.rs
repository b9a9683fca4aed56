//! Running pgcluster as somebody else than root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::engine::docker;
use super::{BINARY, clean};

/// No system gives it to anyone.
const UID: u32 = 12_345;

/// Someone in the group that may use Docker.
#[derive(Debug)]
pub struct OrdinaryUser {
    home: PathBuf,
    group: u32,
}

impl OrdinaryUser {
    /// Gives `folder` to a user with a home in `parent`. Where the tests do not run as root they are that already.
    pub fn owner_of(parent: &Path, folder: &Path) -> Option<OrdinaryUser> {
        if fs::metadata("/proc/self").map_or(1, |me| me.uid()) != 0 {
            return None;
        }
        let group = fs::metadata("/var/run/docker.sock")
            .expect("the engine's socket")
            .gid();
        let home = parent.join("home");
        let plugins = home.join(".docker/cli-plugins");
        fs::create_dir_all(&plugins).expect("a home");
        // Root's own plugins and the build folder may be closed to others.
        let format = "{{range .ClientInfo.Plugins}}{{if eq .Name \"compose\"}}{{.Path}}{{end}}{{end}}";
        fs::copy(
            docker(["info", "--format", format]),
            plugins.join("docker-compose"),
        )
        .expect("Compose");
        fs::copy(BINARY, home.join("pgcluster")).expect("a copy of pgcluster");
        fs::set_permissions(parent, fs::Permissions::from_mode(0o755)).expect("root may do that");
        for path in [
            folder.to_owned(),
            folder.join(".env"),
            home.clone(),
            home.join(".docker"),
        ] {
            chown(path, Some(UID), Some(group)).expect("root may do that");
        }
        Some(OrdinaryUser { home, group })
    }

    /// The start of a command line.
    pub fn command(&self) -> Command {
        let mut command = clean("setpriv".as_ref());
        command
            .env("HOME", &self.home)
            .env_remove("DOCKER_CONFIG")
            .args([
                format!("--reuid={UID}"),
                format!("--regid={}", self.group),
                "--clear-groups".to_owned(),
            ])
            .arg(self.home.join("pgcluster"));
        command
    }
}
