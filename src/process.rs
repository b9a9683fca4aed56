//! The only place that starts processes.

mod talk;

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;

pub use talk::{Tunnel, converse, feed, interact, tunnel};

use crate::error::{Failure, Kind, Problem};
use crate::points;

/// Lines of output shown when a command fails.
const LAST_LINES: usize = 15;

/// A command as a list of arguments; it never passes through a shell, and never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argv(pub Vec<OsString>);

impl Argv {
    pub fn new<I, S>(words: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        Argv(words.into_iter().map(Into::into).collect())
    }

    pub fn and<I, S>(mut self, words: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        self.0.extend(words.into_iter().map(Into::into));
        self
    }

    /// The command as one could paste it into a shell.
    pub fn pasteable(&self) -> String {
        self.shown(|word| word)
    }

    /// The same for who is told that it failed: of a word that is a script, its first line.
    fn in_short(&self) -> String {
        self.shown(|word| match word.trim_start().split_once('\n') {
            Some((first, _)) => format!("{first} …").into(),
            None => word,
        })
    }

    fn shown(&self, cut: impl Fn(Cow<'_, str>) -> Cow<'_, str>) -> String {
        let words = self.0.iter().map(|word| {
            let word = cut(word.to_string_lossy());
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
            if !word.is_empty() && word.chars().all(plain) {
                word.into_owned()
            } else {
                format!("'{}'", word.replace('\'', r"'\''"))
            }
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

/// What a finished process left.
#[derive(Clone, Debug)]
pub struct Finished {
    pub success: bool,
    pub status: String,
    pub stdout: String,
    pub stderr: String,
}

/// Runs to the end and keeps the output, whatever the exit status.
///
/// # Errors
/// The program is missing, or did not end within `limit`.
pub async fn capture(argv: &Argv, folder: &Path, limit: Duration) -> Result<Finished> {
    points::pass("before a process");
    let output = tokio::time::timeout(limit, command(argv, folder).output())
        .await
        .map_err(|_| too_slow(argv, limit))?
        .map_err(|error| not_started(argv, &error))?;
    points::pass("after a process");
    Ok(Finished {
        success: output.status.success(),
        status: output.status.to_string(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Runs to the end and gives back its standard output.
///
/// # Errors
/// As [`capture`], and an exit status other than 0: the command, its status and its last output.
pub async fn run(argv: &Argv, folder: &Path, limit: Duration) -> Result<String> {
    let finished = capture(argv, folder, limit).await?;
    if finished.success {
        return Ok(finished.stdout);
    }
    let output = format!("{}{}", finished.stdout, finished.stderr);
    Err(failed(
        argv,
        &finished.status,
        output.lines().map(str::to_owned).collect(),
    )
    .into())
}

/// Runs to the end, however long it takes, handing every line of its output to `on_line`.
///
/// # Errors
/// As [`run`].
pub async fn stream(argv: &Argv, folder: &Path, mut on_line: impl FnMut(&str)) -> Result<()> {
    points::pass("before a process");
    let mut child = command(argv, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| not_started(argv, &error))?;
    let (sender, mut lines) = tokio::sync::mpsc::unbounded_channel();
    forward(child.stdout.take(), Stream::Out, sender.clone());
    forward(child.stderr.take(), Stream::Err, sender);
    // Which of two streams is read first is chance: what a program says of its failure is to come last.
    let (mut seen, mut complaints) = (Vec::new(), Vec::new());
    while let Some((stream, line)) = lines.recv().await {
        on_line(&line);
        match stream {
            Stream::Out => seen.push(line),
            Stream::Err => complaints.push(line),
        }
    }
    seen.append(&mut complaints);
    let status = child.wait().await.context("cannot wait for a process")?;
    points::pass("after a process");
    if status.success() {
        Ok(())
    } else {
        Err(failed(argv, &status.to_string(), seen).into())
    }
}

#[derive(Clone, Copy)]
enum Stream {
    Out,
    Err,
}

fn forward<R>(output: Option<R>, stream: Stream, sender: tokio::sync::mpsc::UnboundedSender<(Stream, String)>)
where
    R: AsyncRead + Unpin + Send + 'static,
{
    let Some(output) = output else { return };
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if sender.send((stream, line)).is_err() {
                break;
            }
        }
    });
}

fn command(argv: &Argv, folder: &Path) -> Command {
    let mut command = Command::new(&argv.0[0]);
    command
        .args(&argv.0[1..])
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    // Compose would take these for its flags; ours are on the command line.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("COMPOSE_") {
            command.env_remove(name);
        }
    }
    command
}

fn too_slow(argv: &Argv, limit: Duration) -> Failure {
    Failure::new(
        Kind::Machine,
        Problem::new(format!(
            "no answer within {} s: {}",
            limit.as_secs(),
            argv.in_short()
        ))
        .fix("see whether the Docker engine hangs: docker info"),
    )
}

fn not_started(argv: &Argv, error: &std::io::Error) -> Failure {
    let program = argv.0[0].to_string_lossy();
    Failure::new(
        Kind::Machine,
        Problem::new(format!("cannot run `{program}`: {error}"))
            .fix(format!("install it, and see that `{program}` is on PATH")),
    )
}

fn failed(argv: &Argv, status: &str, output: Vec<String>) -> Failure {
    let lines: Vec<String> = output
        .into_iter()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = lines[lines.len().saturating_sub(LAST_LINES)..].to_vec();
    Failure::new(
        Kind::Failed,
        Problem::new(format!("{status}: {}", argv.in_short())).evidence(last),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_pasted() {
        fn check(words: &[&str], expected: &str) {
            assert_eq!(Argv::new(words.iter().copied()).pasteable(), expected);
        }
        check(&["docker", "ps", "-a"], "docker ps -a");
        check(
            &["docker", "--format", "{{json .}}"],
            "docker --format '{{json .}}'",
        );
        check(&["echo", "it's", ""], r"echo 'it'\''s' ''");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn what_fails_is_named_without_its_script() {
        let argv = Argv::new(["sh", "-c", "# fails\necho why\nexit 3", "word"]);
        let error = run(&argv, Path::new("/"), Duration::from_secs(5)).await;
        let error = error.unwrap_err().downcast::<Failure>().unwrap();
        let problem = &error.problems[0];
        assert_eq!(problem.what, "exit status: 3: sh -c '# fails …' word");
        assert_eq!(problem.evidence, ["why"]);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn what_hangs_is_given_up_and_named() {
        let argv = Argv::new(["sleep", "5"]);
        let error = capture(&argv, Path::new("/"), Duration::from_millis(50)).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("no answer within 0 s: sleep 5"), "{error}");
    }
}
