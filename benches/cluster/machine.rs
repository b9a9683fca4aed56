//! On what, and on which commit, something was measured.

use std::fs;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::process::{docker, text};

#[derive(Serialize, Deserialize, PartialEq)]
pub struct Machine {
    pub cores: usize,
    pub cpu: String,
    /// GiB.
    pub memory: u64,
    pub system: String,
    pub engine: String,
    pub compose: String,
    pub storage: String,
}

impl Machine {
    pub fn look() -> Result<Machine> {
        let field = |file: &str, key: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(key));
            line.and_then(|line| line.split_once(':'))
                .map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal").replace(" kB", "");
        Ok(Machine {
            cores: std::thread::available_parallelism().map_or(0, Into::into),
            cpu: field("/proc/cpuinfo", "model name"),
            memory: memory.parse().unwrap_or(0) / 1024 / 1024,
            system: docker(["info", "--format", "{{.KernelVersion}}"])?,
            engine: docker(["version", "--format", "{{.Server.Version}}"])?,
            compose: docker(["compose", "version", "--short"])?,
            storage: docker(["info", "--format", "{{.Driver}}"])?,
        })
    }

    pub fn describe(&self) -> String {
        format!(
            "{} cores ({}), {} GiB, Linux {}, Docker {} on {}, Compose {}",
            self.cores, self.cpu, self.memory, self.system, self.engine, self.storage, self.compose
        )
    }
}

/// The load average over a minute; 0 where the system has none.
pub fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|load| load.parse().ok())
        .unwrap_or(0.0)
}

pub fn commit() -> String {
    let commit = text("git", ["rev-parse", "--short=10", "HEAD"]).unwrap_or_else(|_| "unknown".to_owned());
    // What the harness writes itself is no change.
    let changed = text(
        "git",
        [
            "status",
            "--porcelain",
            "--",
            "src",
            "templates",
            "master",
            "slave-template",
        ],
    );
    match changed.is_ok_and(|files| files.is_empty()) {
        true => commit,
        false => format!("{commit}+"),
    }
}

pub fn date() -> String {
    text("date", ["-u", "+%Y-%m-%dT%H:%M:%SZ"]).unwrap_or_default()
}
