//! What a command did, and waiting for what it should lead to.

use std::fmt::Debug;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// A finished command.
#[derive(Debug)]
pub struct Outcome {
    pub command: String,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Outcome {
    /// Runs `command` to its end.
    pub fn of(command: &mut Command) -> Outcome {
        let started = Instant::now();
        let output = command
            .output()
            .unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
        Outcome::from_output(shown(command), output, started.elapsed())
    }

    pub fn from_output(command: String, output: Output, took: Duration) -> Outcome {
        Outcome {
            command,
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            took,
        }
    }

    #[track_caller]
    pub fn exits(self, code: i32) -> Outcome {
        assert_eq!(self.code, Some(code), "exit code of {self}");
        self
    }

    /// Either stream holds `text`.
    #[track_caller]
    pub fn says(self, text: &str) -> Outcome {
        assert!(self.output().contains(text), "`{text}` is missing in {self}");
        self
    }

    #[track_caller]
    pub fn within(self, seconds: u64) -> Outcome {
        assert!(
            self.took <= Duration::from_secs(seconds),
            "longer than {seconds} s: {self}"
        );
        self
    }

    pub fn output(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Outcome {
            command,
            code,
            stdout,
            stderr,
            took,
        } = self;
        let code = code.map_or("a signal".to_owned(), |code| code.to_string());
        writeln!(
            f,
            "$ {command}\n{stdout}{stderr}-- ended with {code} after {:.1} s",
            took.as_secs_f64()
        )
    }
}

/// The program's name and its arguments.
pub fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let arguments = command
        .get_args()
        .map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(name)
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Waits until `look` gives `expected`; fails with what it gave last after `seconds`.
#[track_caller]
pub fn eventually<T: PartialEq + Debug>(what: &str, seconds: u64, expected: T, mut look: impl FnMut() -> T) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        let seen = look();
        if seen == expected {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "not within {seconds} s: {what}\nexpected: {expected:?}\n    seen: {seen:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}
