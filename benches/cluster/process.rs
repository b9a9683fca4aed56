//! The only place of the harness that starts a process.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A command without the caller's settings for Compose or pgcluster, and with its output kept.
pub fn command<S: AsRef<OsStr>>(program: &str, words: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    for key in ["COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES"] {
        command.env_remove(key);
    }
    command
}

/// Runs it to the end.
///
/// # Errors
/// It could not be started, or did not end with success: with the command and the end of what it said.
pub fn run(command: &mut Command) -> Result<String> {
    let child = command.spawn().with_context(|| format!("{command:?}"))?;
    finish(child).with_context(|| format!("{command:?}"))
}

/// Waits for a process that was started before. As [`run`].
pub fn finish(child: Child) -> Result<String> {
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said.lines().collect();
        let end = lines[lines.len().saturating_sub(12)..].join("\n");
        bail!("{}\n{end}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// When a command that runs beside us ends.
pub struct Ending(JoinHandle<Result<f64>>);

impl Ending {
    /// Starts the command; its time counts from `start`.
    pub fn of(mut command: Command, start: Instant) -> Result<Ending> {
        let child = command.spawn().with_context(|| format!("{command:?}"))?;
        Ok(Ending(std::thread::spawn(move || {
            finish(child)?;
            Ok(start.elapsed().as_secs_f64())
        })))
    }

    /// Seconds, once it has ended.
    ///
    /// # Errors
    /// It did not end with success.
    pub fn wait(self) -> Result<f64> {
        self.0.join().expect("it cannot panic")
    }
}

/// Runs a program and gives back what it wrote.
pub fn text<S: AsRef<OsStr>>(program: &str, words: impl IntoIterator<Item = S>) -> Result<String> {
    run(&mut command(program, words))
}

pub fn docker<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Result<String> {
    text("docker", words)
}

/// Everything that a container logged, both streams, with the engine's time stamps.
pub fn log(container: &str) -> Result<String> {
    let output = command("docker", ["logs", "--timestamps", container]).output()?;
    let streams = [output.stdout, output.stderr];
    Ok(streams
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .concat())
}

/// The program that is measured: the release build beside this harness.
pub fn pgcluster(folder: &Path, words: &[&str]) -> Command {
    let mut command = command(env!("CARGO_BIN_EXE_pgcluster"), words);
    command.current_dir(folder);
    command
}

/// Seconds that `work` took.
pub fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

/// Asks each `nap` until the answer is yes.
///
/// # Errors
/// It was not within `limit`.
pub fn wait_until(what: &str, limit: Duration, nap: Duration, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > limit {
            bail!("{what}: not within {} s", limit.as_secs());
        }
        std::thread::sleep(nap);
    }
    Ok(())
}
