//! Rendering, and `up` with nothing to do. What is in process `benches/render.rs` measures, before this.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::contest::{Contestant, Simple, interleave};
use crate::place;
use crate::process::{command, pgcluster, run};
use crate::record::Findings;
use crate::stack::{Kind, Stack};

const NO_OP: &str = "nothing to do, 1 + 3";
const FILES: &str = "files of 1 + 100";
const CONFIG: &str = "docker compose config -q";

pub fn measure(runs: usize, found: &mut Findings) -> Result<()> {
    let stack = Stack::fresh(Kind::Pgcluster, 3)?;
    stack.up()?;
    let folder = place::fresh("hundred")?;
    run(&mut pgcluster(&folder, &["generate", "100"]))?;
    let simple = |name: &str, what: &str, work: Box<dyn FnMut() -> Result<()>>| -> Box<dyn Contestant> {
        Box::new(Simple {
            name: name.to_owned(),
            what: what.to_owned(),
            work,
        })
    };
    let up = stack.folder.clone();
    let compose_up = stack.folder.clone();
    let config = folder.clone();
    let done = |command: &mut std::process::Command| run(command).map(drop);
    let mut contestants = vec![
        simple(
            "pgcluster up",
            NO_OP,
            Box::new(move || done(&mut pgcluster(&up, &["up"]))),
        ),
        simple(
            "docker compose up -d",
            NO_OP,
            Box::new(move || done(command("docker", ["compose", "up", "-d"]).current_dir(&compose_up))),
        ),
        simple(
            "pgcluster generate",
            FILES,
            Box::new(move || done(&mut pgcluster(&folder, &["generate", "100"]))),
        ),
        simple(
            CONFIG,
            FILES,
            Box::new(move || done(command("docker", ["compose", "config", "-q"]).current_dir(&config))),
        ),
    ];
    interleave(runs, &mut contestants, found);
    stack.remove()?;

    for (replicas, limit) in [(100, 2.0), (1000, 10.0)] {
        let what = format!("render 1 + {replicas}, in process");
        match criterion(replicas) {
            Ok(seconds) => found.add("pgcluster", &what, "s", seconds),
            Err(error) => found.note(format!("{what}: {error:#}")),
        }
        let milliseconds = found.median("pgcluster", &what) * 1000.0;
        found.at_most(&what, milliseconds, limit, "ms");
    }
    let render = found.median("pgcluster", "render 1 + 100, in process") / found.median(CONFIG, FILES);
    found.at_most(
        "render 1 + 100, in process / `docker compose config -q`",
        render,
        1.0,
        "×",
    );
    let no_op = found.ratio("pgcluster up", "docker compose up -d", NO_OP);
    found.at_most(
        "`up` with nothing to do / `docker compose up -d`",
        no_op,
        1.2,
        "×",
    );
    Ok(())
}

/// The median that criterion found last, in seconds.
fn criterion(replicas: u32) -> Result<f64> {
    let path = format!("target/criterion/render/{replicas}/new/estimates.json");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&path))
        .with_context(|| format!("{path}: `cargo bench --bench render` writes it"))?;
    let estimates: serde_json::Value = serde_json::from_str(&text)?;
    let nanoseconds = estimates["median"]["point_estimate"].as_f64();
    Ok(nanoseconds.context("no median")? / 1e9)
}
