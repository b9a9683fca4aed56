//! Judgement of what `doctor` looks at: what is right, what may become trouble, and what to do. Pure.

mod cluster;
mod facts;
mod machine;

use serde::{Deserialize, Serialize};

pub use cluster::{cluster, disk, silent};
pub use facts::NodeFacts;
pub use machine::{edits, exposure, health, memory, preflight, versions};

use crate::error::Kind;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Ok,
    /// Nothing fails now.
    Warning,
    Error,
}

/// Whose trouble it is; it decides about the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum About {
    Machine,
    Cluster,
}

/// One thing that was looked at, and how it is. With --json its fields are what scripts rely on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    pub check: &'static str,
    pub about: About,
    pub severity: Severity,
    /// Title of the node, where it is about one.
    pub node: Option<String>,
    pub message: String,
    pub fix: Option<String>,
}

impl Check {
    pub fn ok(check: &'static str, about: About, message: impl Into<String>) -> Self {
        Check {
            check,
            about,
            severity: Severity::Ok,
            node: None,
            message: message.into(),
            fix: None,
        }
    }

    pub fn warning(check: &'static str, about: About, message: impl Into<String>, fix: &str) -> Self {
        Check {
            severity: Severity::Warning,
            fix: Some(fix.to_owned()),
            ..Check::ok(check, about, message)
        }
    }

    pub fn error(check: &'static str, about: About, message: impl Into<String>, fix: &str) -> Self {
        Check {
            severity: Severity::Error,
            ..Check::warning(check, about, message, fix)
        }
    }

    pub fn on(self, node: &str) -> Self {
        Check {
            node: Some(node.to_owned()),
            ..self
        }
    }
}

/// The kind of failure that `checks` amount to, if any of them is an error. A machine that lacks something comes first,
/// as the cluster's errors may follow from that.
pub fn verdict(checks: &[Check]) -> Option<Kind> {
    let has = |about| {
        let mut errors = checks.iter().filter(|check| check.severity == Severity::Error);
        errors.any(|check| check.about == about)
    };
    match (has(About::Machine), has(About::Cluster)) {
        (true, _) => Some(Kind::Machine),
        (false, true) => Some(Kind::NotReady),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_make_a_failure_and_the_machine_comes_first() {
        let ok = Check::ok("a", About::Machine, "");
        let warning = Check::warning("b", About::Machine, "", "");
        let cluster = Check::error("c", About::Cluster, "", "");
        let machine = Check::error("d", About::Machine, "", "");
        assert_eq!(verdict(&[ok, warning]), None);
        assert_eq!(verdict(std::slice::from_ref(&cluster)), Some(Kind::NotReady));
        assert_eq!(verdict(&[cluster, machine]), Some(Kind::Machine));
    }
}
