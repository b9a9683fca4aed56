//! What the machine, the folder and the containers show, judged.

use bytesize::ByteSize;

use super::{About, Check};
use crate::error::Problem;
use crate::health::Finding;
use crate::settings::Settings;

/// Below these the project was never tried.
const OLDEST_ENGINE: (u32, u32) = (20, 10);
const OLDEST_COMPOSE: (u32, u32) = (2, 21);

/// The problems that keep a cluster from starting here.
pub fn preflight(problems: &[Problem]) -> Vec<Check> {
    let error = |problem: &Problem| {
        let fix = problem.fix.clone().unwrap_or_default();
        Check::error("machine", About::Machine, problem.what.clone(), &fix)
    };
    problems.iter().map(error).collect()
}

/// Whether the versions are ones that are known to work. An empty one is unknown, and a problem of its own.
pub fn versions(engine: &str, compose: &str) -> Vec<Check> {
    let judged = |name: &'static str, version: &str, oldest: (u32, u32)| {
        let mut numbers = version
            .split(['.', '-', '+'])
            .map(|number| number.parse().unwrap_or(0));
        let found: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        match found < oldest {
            _ if version.is_empty() => None,
            true => Some(Check::warning(
                "versions",
                About::Machine,
                format!("{name} {version} is older than {}.{}", oldest.0, oldest.1),
                "update it",
            )),
            false => Some(Check::ok("versions", About::Machine, format!("{name} {version}"))),
        }
    };
    let engine = judged("Docker Engine", engine, OLDEST_ENGINE);
    let compose = judged("Compose", compose, OLDEST_COMPOSE);
    engine.into_iter().chain(compose).collect()
}

/// Whether the engine has enough memory: `total` bytes for `nodes` servers with `buffers` bytes in all.
pub fn memory(total: u64, nodes: usize, buffers: u64) -> Check {
    let text = format!("{} of memory for {nodes} nodes", ByteSize(total));
    let fix = "give Docker more memory, run fewer replicas, or lower shared_buffers";
    if total < (nodes as u64 + 1) * (256 << 20) {
        Check::warning("memory", About::Machine, format!("{text} is little"), fix)
    } else if buffers > total / 10 * 4 {
        let message = format!(
            "{text}, and their shared_buffers alone take {}",
            ByteSize(buffers)
        );
        Check::warning("memory", About::Machine, message, fix)
    } else {
        Check::ok("memory", About::Machine, text)
    }
}

/// Who may read the passwords, or guess them. `others_read` says that of the file at `path`.
pub fn exposure(settings: &Settings, others_read: bool, path: &str) -> Vec<Check> {
    let known = settings.default_passwords();
    let passwords = match (known.is_empty(), settings.bind.is_loopback()) {
        (true, _) => Check::ok("passwords", About::Cluster, "every password is your own"),
        (false, true) => Check::ok(
            "passwords",
            About::Cluster,
            format!(
                "{} as documented; only this machine reaches the ports",
                known.join(", ")
            ),
        ),
        (false, false) => Check::error(
            "passwords",
            About::Cluster,
            format!(
                "BIND_ADDRESS lets others reach the ports, and {} {} in the documentation",
                known.join(", "),
                if known.len() == 1 { "stands" } else { "stand" }
            ),
            "choose others: change them by SQL and in .env together, or set BIND_ADDRESS=127.0.0.1",
        ),
    };
    let file = (others_read && known.len() < 3).then(|| {
        let message = format!("others on this machine can read the passwords in {path}");
        Check::warning("passwords", About::Cluster, message, &format!("chmod 600 {path}"))
    });
    std::iter::once(passwords).chain(file).collect()
}

/// What `up` would change: files, images, containers of an older definition.
pub fn edits(files: usize, images: usize, outdated: &[String]) -> Check {
    let mut parts = Vec::new();
    if files > 0 {
        parts.push(format!(
            "{files} files are not as settings and templates have them"
        ));
    }
    if images > 0 {
        parts.push("the image is out of date".to_owned());
    }
    if !outdated.is_empty() {
        parts.push(format!("older definitions run: {}", outdated.join(", ")));
    }
    match parts.is_empty() {
        true => Check::ok(
            "edits",
            About::Cluster,
            "files, images and containers are those of the settings",
        ),
        false => Check::warning(
            "edits",
            About::Cluster,
            parts.join("; "),
            "`pgcluster up` brings it into effect",
        ),
    }
}

/// What `status` finds wrong.
pub fn health(findings: Vec<Finding>) -> Vec<Check> {
    if findings.is_empty() {
        let fine = "all nodes serve, and every replica streams";
        return vec![Check::ok("health", About::Cluster, fine)];
    }
    findings
        .into_iter()
        .map(|finding| {
            Check::error("health", About::Cluster, finding.problem, &finding.remedy).on(&finding.node)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Severity;
    use super::*;
    use crate::env_file::EnvFile;

    #[test]
    fn old_versions_are_told() {
        fn check(engine: &str, compose: &str, expected: &[Severity]) {
            let found: Vec<Severity> = versions(engine, compose).iter().map(|c| c.severity).collect();
            assert_eq!(found, expected, "{engine} {compose}");
        }
        check("28.2.2", "2.40.3-desktop.1", &[Severity::Ok, Severity::Ok]);
        check("20.10.24+dfsg1", "2.21.0", &[Severity::Ok, Severity::Ok]);
        check("19.3.1", "2.20.3", &[Severity::Warning, Severity::Warning]);
        check("", "5.0.0", &[Severity::Ok]);
    }

    #[test]
    fn known_passwords_are_an_error_only_where_others_can_use_them() {
        fn check(env: &str, others_read: bool, expected: &[Severity]) {
            let file = EnvFile::parse(env.as_bytes(), Path::new(".env")).unwrap();
            let (settings, _) = Settings::resolve(&file, |_| None, 1).unwrap();
            let found = exposure(&settings, others_read, ".env");
            let found: Vec<Severity> = found.iter().map(|c| c.severity).collect();
            assert_eq!(found, expected, "{env}");
        }
        check("", true, &[Severity::Ok]);
        check("BIND_ADDRESS=0.0.0.0", false, &[Severity::Error]);
        check("POSTGRES_PASSWORD=own", true, &[Severity::Ok, Severity::Warning]);
        let own = "POSTGRES_PASSWORD=a\nREPLICATION_PASSWORD=b\nPOOL_PASSWORD=c\n";
        check(&format!("{own}BIND_ADDRESS=0.0.0.0"), false, &[Severity::Ok]);
    }

    #[test]
    fn memory_is_judged_by_what_the_nodes_take() {
        fn check(total: u64, buffers: u64, expected: Severity) {
            assert_eq!(memory(total << 20, 3, buffers << 20).severity, expected);
        }
        check(900, 0, Severity::Warning);
        check(4096, 384, Severity::Ok);
        check(4096, 3072, Severity::Warning);
    }

    #[test]
    fn what_up_would_change_is_one_warning() {
        assert_eq!(edits(0, 0, &[]).severity, Severity::Ok);
        assert_eq!(
            edits(2, 1, &["pool".into()]).message,
            "2 files are not as settings and templates have them; the image is out of date; older definitions run: pool"
        );
    }
}
