//! Processes that are talked to while they run.

use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Join};
use tokio::process::{Child, ChildStdin, ChildStdout};

use super::{Argv, Failure, command, failed, not_started, too_slow};

/// Runs to the end with `input` as its standard input, and gives back its standard output.
///
/// # Errors
/// As [`run`].
pub async fn feed(argv: &Argv, folder: &Path, input: &[u8], limit: Duration) -> Result<String> {
    let mut child = piped(argv, folder)?;
    let attempt = async {
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ended before it read says why itself.
            let _ = stdin.write_all(input).await;
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(limit, attempt)
        .await
        .map_err(|_| too_slow(argv, limit))?
        .context("cannot wait for a process")?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(complained(argv, output.status, &output.stderr).into())
}

/// Runs a program to its end, and writes to it after each line that it prints what `reply` has for that.
///
/// # Errors
/// As [`run`](super::run), and those of `reply`: the program is ended then.
pub async fn converse(
    argv: &Argv,
    folder: &Path,
    mut reply: impl AsyncFnMut(&str) -> Result<String>,
    limit: Duration,
) -> Result<()> {
    let mut child = piped(argv, folder)?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let mut input = child.stdin.take().context("no input")?;
    let mut errors = child.stderr.take().context("no errors")?;
    // Read all the time: it would wait for that.
    let complaints = async {
        let mut text = Vec::new();
        errors.read_to_end(&mut text).await.map(|_| text)
    };
    let talk = async {
        while let Some(line) = lines.next_line().await? {
            let reply = reply(&line).await?;
            // A program that ended before it read says why itself.
            let _ = input.write_all(reply.as_bytes()).await;
        }
        Ok::<_, anyhow::Error>(child.wait().await?)
    };
    let both = async { tokio::try_join!(talk, async { Ok(complaints.await?) }) };
    let (status, complaints) = tokio::time::timeout(limit, both)
        .await
        .map_err(|_| too_slow(argv, limit))??;
    if status.success() {
        return Ok(());
    }
    Err(complained(argv, status, &complaints).into())
}

fn complained(argv: &Argv, status: ExitStatus, complaints: &[u8]) -> Failure {
    let lines = String::from_utf8_lossy(complaints);
    failed(
        argv,
        &status.to_string(),
        lines.lines().map(str::to_owned).collect(),
    )
}

fn piped(argv: &Argv, folder: &Path) -> Result<Child, Failure> {
    command(argv, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| not_started(argv, &error))
}

/// Hands the terminal, or whatever the standard streams are, to a program until it ends; gives back its exit code, as
/// a shell counts it: 128 and the number of the signal that ended it.
///
/// `variables` are set, or removed where they have no value. They hold no secret.
///
/// # Errors
/// The program is missing.
pub async fn interact(argv: &Argv, folder: &Path, variables: &[(&str, Option<OsString>)]) -> Result<u8> {
    let mut command = command(argv, folder);
    command
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit());
    for (name, value) in variables {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let status = command
        .spawn()
        .map_err(|error| not_started(argv, &error))?
        .wait()
        .await
        .context("cannot wait for a process")?;
    Ok(code(status))
}

#[cfg(unix)]
fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// Windows has exit codes that do not fit: they stay failures.
#[cfg(not(unix))]
fn code(status: ExitStatus) -> u8 {
    status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1)
}

/// A process that runs, and its standard input and output as one stream. It ends when this is dropped.
pub struct Tunnel {
    pub process: Child,
    pub stream: Join<ChildStdout, ChildStdin>,
}

/// Starts a process to talk to.
///
/// # Errors
/// The program is missing.
pub fn tunnel(argv: &Argv, folder: &Path) -> Result<Tunnel> {
    let mut process = command(argv, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| not_started(argv, &error))?;
    let (output, input) = (process.stdout.take(), process.stdin.take());
    let stream = tokio::io::join(output.context("no output")?, input.context("no input")?);
    Ok(Tunnel { process, stream })
}
