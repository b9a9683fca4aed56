//! `make bench`: measures pgcluster against other ways to the same end, and writes BENCHMARKS.md. See `benches/notes`.
//!
//! `make bench B="B1 B4"` runs these only, and keeps what is stored of the others; `BENCH_RUNS` is how often (7).

mod contest;
mod machine;
mod place;
mod process;
mod record;
mod report;
mod scenarios;
mod stack;
mod stats;
mod timeline;
mod wire;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};

use machine::Machine;
use record::{Findings, Record};
use scenarios::{SCENARIOS, Scenario};

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<()> {
    // Cargo itself passes --bench.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let ids: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.id).collect();
    if let Some(unknown) = words
        .iter()
        .find(|word| *word != "report" && !ids.contains(&word.as_str()))
    {
        bail!("{unknown}: there is only {}, and `report`", ids.join(" "));
    }
    let runs = std::env::var("BENCH_RUNS").ok();
    let runs: usize = runs.map_or(Ok(7), |runs| runs.parse())?;
    if words == ["report"] {
        return report::write(&ids);
    }
    let _guard = place::Guard;
    wire::runtime().spawn(async {
        asked_to_stop().await;
        eprintln!("bench: interrupted, removing what was started");
        let _ = tokio::task::spawn_blocking(|| drop(place::Guard)).await;
        std::process::exit(130);
    });
    let mut failed = Vec::new();
    for scenario in SCENARIOS {
        if !words.is_empty() && !words.iter().any(|word| word == scenario.id) {
            continue;
        }
        // What the others found is kept.
        if let Err(error) = measure(scenario, runs).and_then(|()| report::write(&ids)) {
            eprintln!("{}: {error:#}", scenario.id);
            failed.push(scenario.id);
        }
        place::empty()?;
    }
    if !failed.is_empty() {
        bail!("without a result: {}", failed.join(" "));
    }
    Ok(())
}

async fn asked_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminated = signal(SignalKind::terminate()).expect("a handler");
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
    }
    #[cfg(not(unix))]
    let _ = tokio::signal::ctrl_c().await;
}

fn measure(scenario: &Scenario, runs: usize) -> Result<()> {
    let runs = scenario.runs(runs);
    eprintln!("{}: {}, {runs} runs", scenario.id, scenario.title);
    place::images();
    let (before, started) = (machine::load(), Instant::now());
    // What runs now was built from it.
    let commit = machine::commit();
    let mut found = Findings::default();
    (scenario.measure)(runs, &mut found)?;
    let record = Record {
        id: scenario.id.to_owned(),
        title: scenario.title.to_owned(),
        commit,
        date: machine::date(),
        machine: Machine::look()?,
        load: (before, machine::load()),
        runs,
        took: started.elapsed().as_secs_f64(),
        series: found.series,
        goals: found.goals,
        notes: found.notes,
        timelines: found.timelines,
    };
    for goal in &record.goals {
        let verdict = if goal.is_met() { "met" } else { "missed" };
        eprintln!(
            "  {}: {:?} {}, limit {}: {verdict}",
            goal.text, goal.value, goal.unit, goal.limit
        );
    }
    eprintln!("  {} took {:.0} s", record.id, record.took);
    record.store()
}
