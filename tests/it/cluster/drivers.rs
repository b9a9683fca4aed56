//! Real client libraries: psycopg and asyncpg from PyPI, in an environment that is made once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use super::outcome::Outcome;
use super::sql::Login;

const PACKAGES: &[&str] = &["psycopg[binary]==3.3.*", "asyncpg==0.32.*"];

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/cluster/drivers.py");

/// Runs `drivers.py` for a connection mode with this login.
pub fn drivers(login: &Login, mode: &str) -> Outcome {
    let mut python = Command::new(environment().join("bin/python"));
    python
        .args([SCRIPT, mode])
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", login.port.to_string())
        .env("PGUSER", &login.user)
        .env("PGPASSWORD", login.password.as_deref().unwrap_or_default())
        .env("PGDATABASE", &login.database);
    Outcome::of(&mut python)
}

/// The folder of the environment; its last file is written when everything is there.
fn environment() -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _alone = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("target/tmp")
        .join("python-drivers");
    let complete = folder.join("complete");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&complete).is_ok_and(|made| made == wanted) {
        return folder;
    }
    let _ = fs::remove_dir_all(&folder);
    let made = Command::new("python3").args(["-m", "venv"]).arg(&folder).output();
    match made {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "python3 cannot make an environment (Debian, Ubuntu: apt-get install python3-venv):\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!(
            "no python3, which the drivers need (Debian, Ubuntu: apt-get install python3-venv): {error}"
        ),
    }
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary=:all:",
    ]);
    let installed = Outcome::of(pip.args(PACKAGES));
    assert!(
        installed.code == Some(0),
        "pip cannot get the drivers from PyPI: {installed}"
    );
    fs::write(complete, wanted).expect("the environment's folder");
    folder
}
