//! What went wrong, how bad it is for a script, and what to do about it.
//!
//! A [`Failure`] travels inside `anyhow::Error`; it is rendered once, in [`render`].

use std::fmt;

/// The class of a failure; each has its own exit code, published in the README.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something unforeseen: a bug, a full disk, a command that failed.
    Failed,
    /// Bad input: arguments, `.env`, templates, a folder that is not as it should be.
    Input,
    /// The cluster is not healthy, or did not become ready in time.
    NotReady,
    /// Another `pgcluster` works in this folder.
    Locked,
    /// The machine lacks something: engine, Compose, a free port, disk space.
    Machine,
    /// The user pressed Ctrl-C.
    Interrupted,
}

impl Kind {
    pub const ALL: [Kind; 6] = [
        Kind::Failed,
        Kind::Input,
        Kind::NotReady,
        Kind::Locked,
        Kind::Machine,
        Kind::Interrupted,
    ];

    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Failed => 1,
            Kind::Input => 2,
            Kind::NotReady => 3,
            Kind::Locked => 4,
            Kind::Machine => 5,
            Kind::Interrupted => 130,
        }
    }
}

/// One thing that is wrong, with its fix where there is one and what was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    pub what: String,
    pub fix: Option<String>,
    /// Lines of output or log that show it.
    pub evidence: Vec<String>,
}

impl Problem {
    pub fn new(what: impl Into<String>) -> Self {
        Problem {
            what: what.into(),
            ..Problem::default()
        }
    }

    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    pub fn evidence(mut self, lines: Vec<String>) -> Self {
        self.evidence = lines;
        self
    }
}

/// One or more problems of the same kind, reported together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: Kind,
    pub problems: Vec<Problem>,
}

impl Failure {
    pub fn new(kind: Kind, problem: Problem) -> Self {
        Failure {
            kind,
            problems: vec![problem],
        }
    }

    /// `Err` with all of `problems`, or `Ok` if there are none.
    pub fn unless_empty(kind: Kind, problems: Vec<Problem>) -> Result<(), Failure> {
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Failure { kind, problems })
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", problem.what)?;
            for line in &problem.evidence {
                write!(f, "\n    | {line}")?;
            }
            if let Some(fix) = &problem.fix {
                write!(f, "\n    fix: {fix}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// The exit code of a program that has told its user itself what went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassedOn(pub u8);

impl PassedOn {
    /// `Err` unless `code` means success.
    pub fn unless_success(code: u8) -> Result<(), PassedOn> {
        if code == 0 { Ok(()) } else { Err(PassedOn(code)) }
    }
}

impl fmt::Display for PassedOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {}", self.0)
    }
}

impl std::error::Error for PassedOn {}

/// The exit code for `error`: that of its [`Failure`], the one passed on, or that of [`Kind::Failed`].
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if let Some(PassedOn(code)) = error.downcast_ref() {
        return *code;
    }
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Failure>())
        .map_or(Kind::Failed, |failure| failure.kind)
        .exit_code()
}

/// The lines a user sees for `error`: every problem, or the chain of causes; none where a program told it already.
pub fn render(error: &anyhow::Error) -> Vec<String> {
    if error.is::<PassedOn>() {
        return Vec::new();
    }
    match error.downcast_ref::<Failure>() {
        Some(failure) => failure
            .problems
            .iter()
            .map(|problem| {
                Failure::new(failure.kind, problem.clone())
                    .to_string()
                    .trim_end()
                    .to_owned()
            })
            .collect(),
        None => vec![format!("{error:#}")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_shown_with_its_fix() {
        let failure = Failure {
            kind: Kind::Input,
            problems: vec![
                Problem::new("MASTER_PORT: `x` is not a port").fix("use 1 to 65535"),
                Problem::new("stopped").evidence(vec!["FATAL: no".into()]),
            ],
        };
        let error = anyhow::Error::new(failure);
        assert_eq!(exit_code(&error), 2);
        assert_eq!(
            render(&error),
            [
                "MASTER_PORT: `x` is not a port\n    fix: use 1 to 65535",
                "stopped\n    | FATAL: no"
            ]
        );
    }

    #[test]
    fn an_unforeseen_error_shows_its_causes() {
        let error = anyhow::anyhow!("permission denied").context("cannot write .env");
        assert_eq!(exit_code(&error), 1);
        assert_eq!(render(&error), ["cannot write .env: permission denied"]);
    }

    #[test]
    fn an_exit_code_that_is_passed_on_is_not_explained_again() {
        assert_eq!(PassedOn::unless_success(0), Ok(()));
        let error = anyhow::Error::new(PassedOn::unless_success(3).unwrap_err());
        assert_eq!((exit_code(&error), render(&error)), (3, Vec::new()));
    }
}
