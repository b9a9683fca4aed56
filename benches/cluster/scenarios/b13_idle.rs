//! What a cluster of 1 + 3 costs that nobody uses: with its health checks, and without.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::process::{docker, run};
use crate::record::Findings;
use crate::stack::{Kind, Stack};

const WINDOW: Duration = Duration::from_secs(60);
/// What starts once is over.
const CALM: Duration = Duration::from_secs(20);
const OURS: &str = "pgcluster";
const WITHOUT: &str = "without health checks";
const CPU: &str = "% of a core";

pub fn measure(runs: usize, found: &mut Findings) -> Result<()> {
    let stack = Stack::fresh(Kind::Pgcluster, 3)?;
    let without = Stack::fresh(Kind::Pgcluster, 3)?;
    fs::write(without.folder.join("compose.override.yaml"), no_health_checks(3))?;
    stack.up()?;
    without.up()?;
    let both = [(OURS, containers(&stack)?), (WITHOUT, containers(&without)?)];
    sleep(CALM);
    found.note("Both at the same time, in the same windows of 60 s; the engine's own work for health checks is not in it.");
    let processes = Processes::look(&both[0].1)?;
    let started = Instant::now();
    for _ in 0..runs {
        window(&both, found)?;
    }
    found.note(processes.describe(&Processes::look(&both[0].1)?, started.elapsed()));
    for (who, containers) in &both {
        for container in containers {
            found.add(
                who,
                &format!("memory of {}", container.service),
                "MiB",
                container.memory()?,
            );
        }
    }
    stack.remove()?;
    without.remove()?;
    let cpu = found.median(OURS, "all containers");
    found.at_most("CPU of an idle 1 + 3, all containers", cpu, 5.0, CPU);
    Ok(())
}

fn no_health_checks(replicas: u32) -> String {
    let replicas = (1..=replicas).map(|n| format!("postgres-slave{n}"));
    let services = ["postgres-master", "pgpool-loadbalancer"]
        .map(str::to_owned)
        .into_iter()
        .chain(replicas);
    services.fold("services:\n".to_owned(), |mut text, service| {
        let _ = writeln!(text, "  {service}: {{healthcheck: {{disable: true}}}}");
        text
    })
}

fn window(both: &[(&str, Vec<Container>)], found: &mut Findings) -> Result<()> {
    let used = || -> Result<Vec<f64>> {
        both.iter()
            .flat_map(|(_, containers)| containers)
            .map(Container::cpu)
            .collect()
    };
    let (started, before) = (Instant::now(), used()?);
    sleep(WINDOW);
    let (after, seconds) = (used()?, started.elapsed().as_secs_f64());
    let mut shares = before
        .iter()
        .zip(&after)
        .map(|(before, after)| (after - before) / seconds * 100.0);
    for (who, containers) in both {
        let mut sum = 0.0;
        for (container, share) in containers.iter().zip(&mut shares) {
            found.add(who, &container.service, CPU, share);
            sum += share;
        }
        found.add(who, "all containers", CPU, sum);
    }
    Ok(())
}

struct Container {
    id: String,
    service: String,
    /// The file of its control group that counts what it used, and how much of it is a second.
    usage: PathBuf,
    a_second: f64,
    processes: PathBuf,
}

fn containers(stack: &Stack) -> Result<Vec<Container>> {
    let services = run(&mut stack.compose(&["config", "--services"]))?;
    let mut services: Vec<&str> = services.lines().collect();
    services.sort_unstable();
    services
        .into_iter()
        .map(|service| Container::find(stack, service))
        .collect()
}

impl Container {
    /// By the group that its first process is in: version 1 or 2.
    fn find(stack: &Stack, service: &str) -> Result<Container> {
        let id = stack.container(service)?;
        let pid = docker(["inspect", "--format", "{{.State.Pid}}", &id])?;
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        let path_of = |wanted: &str| {
            groups.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let is_it = parts.next()?.split(',').any(|controller| controller == wanted);
                is_it.then_some(())?;
                parts.next().map(|path| path.trim_start_matches('/').to_owned())
            })
        };
        let (folder, usage, a_second) = match path_of("cpuacct") {
            Some(path) => (
                PathBuf::from("/sys/fs/cgroup/cpuacct").join(path),
                "cpuacct.usage",
                1e9,
            ),
            None => {
                let path = path_of("").context("the container is in no control group")?;
                (PathBuf::from("/sys/fs/cgroup").join(path), "cpu.stat", 1e6)
            }
        };
        Ok(Container {
            id,
            service: service.to_owned(),
            usage: folder.join(usage),
            a_second,
            processes: folder.join("cgroup.procs"),
        })
    }

    /// Seconds of CPU since it started.
    fn cpu(&self) -> Result<f64> {
        let text = fs::read_to_string(&self.usage)?;
        // Either the number alone, or a line for each of several.
        let number = text
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "))
            .unwrap_or(&text);
        Ok(number.trim().parse::<f64>()? / self.a_second)
    }

    /// MiB, as the engine counts: without what the system would drop first.
    fn memory(&self) -> Result<f64> {
        let said = docker(["stats", "--no-stream", "--format", "{{.MemUsage}}", &self.id])?;
        let used = said.split('/').next().unwrap_or_default().trim();
        let unit_at = used.find(|c: char| c.is_alphabetic()).context("no unit")?;
        let (number, unit) = used.split_at(unit_at);
        let factor = match unit {
            "KiB" => 1.0 / 1024.0,
            "MiB" => 1.0,
            "GiB" => 1024.0,
            _ => 1.0 / 1024.0 / 1024.0,
        };
        Ok(number.parse::<f64>()? * factor)
    }
}

/// Seconds of CPU by container and name of the program, with that of children that are gone.
struct Processes(BTreeMap<String, f64>);

impl Processes {
    fn look(containers: &[Container]) -> Result<Processes> {
        let mut used = BTreeMap::new();
        for container in containers {
            for pid in fs::read_to_string(&container.processes)?.lines() {
                // One that has just ended used nothing worth a word.
                let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
                    continue;
                };
                let Some((start, fields)) = stat.rsplit_once(") ") else {
                    continue;
                };
                let name = start.split_once('(').map_or("", |(_, name)| name);
                // Fields 14 to 17 of proc(5), in hundredths of a second.
                let ticks: f64 = fields
                    .split(' ')
                    .skip(11)
                    .take(4)
                    .filter_map(|field| field.parse::<f64>().ok())
                    .sum();
                *used
                    .entry(format!("{} in {}", name, container.service))
                    .or_insert(0.0) += ticks / 100.0;
            }
        }
        Ok(Processes(used))
    }

    fn describe(&self, later: &Processes, elapsed: Duration) -> String {
        let share = |(name, used): (&String, &f64)| {
            let before = self.0.get(name).copied().unwrap_or(0.0);
            ((used - before) / elapsed.as_secs_f64() * 100.0, name.clone())
        };
        let mut shares: Vec<(f64, String)> = later.0.iter().map(share).collect();
        shares.sort_by(|a, b| b.0.total_cmp(&a.0));
        let named = shares
            .iter()
            .take(6)
            .map(|(share, name)| format!("{name} {share:.2} %"));
        format!(
            "Who uses it, with health checks: {}.",
            named.collect::<Vec<_>>().join(", ")
        )
    }
}
