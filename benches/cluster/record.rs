//! What one benchmark found, as it is stored: enough to write the report without running anything.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::stats::median;
use crate::timeline::Lane;

#[derive(Serialize, Deserialize)]
pub struct Record {
    pub id: String,
    pub title: String,
    /// `git rev-parse`, with `+` after it where files differ from it.
    pub commit: String,
    /// UTC, as RFC 3339.
    pub date: String,
    pub machine: Machine,
    /// The load average over a minute before the first and after the last run.
    pub load: (f64, f64),
    pub runs: usize,
    /// Seconds that all of it took, preparation and removal with it.
    pub took: f64,
    pub series: Vec<Series>,
    pub goals: Vec<Goal>,
    pub notes: Vec<String>,
    pub timelines: Vec<Timeline>,
}

/// All values of one quantity of one contestant.
#[derive(Serialize, Deserialize)]
pub struct Series {
    pub who: String,
    pub what: String,
    pub unit: String,
    pub values: Vec<f64>,
}

/// Something to reach, and what was reached.
#[derive(Serialize, Deserialize)]
pub struct Goal {
    pub text: String,
    /// Nothing where it was not measured.
    pub value: Option<f64>,
    pub limit: f64,
    /// Else at least.
    pub at_most: bool,
    pub unit: String,
}

impl Goal {
    pub fn is_met(&self) -> bool {
        self.value.is_some_and(|value| match self.at_most {
            true => value <= self.limit,
            false => value >= self.limit,
        })
    }
}

/// One run of one contestant, in seconds from its beginning.
#[derive(Serialize, Deserialize)]
pub struct Timeline {
    pub who: String,
    pub done: f64,
    pub lanes: Vec<Lane>,
}

/// What a benchmark fills while it runs.
#[derive(Default)]
pub struct Findings {
    pub series: Vec<Series>,
    pub goals: Vec<Goal>,
    pub notes: Vec<String>,
    pub timelines: Vec<Timeline>,
}

impl Findings {
    pub fn add(&mut self, who: &str, what: &str, unit: &str, value: f64) {
        eprintln!("    {who}, {what}: {value:.3} {unit}");
        let same = |series: &&mut Series| series.who == who && series.what == what;
        match self.series.iter_mut().find(same) {
            Some(series) => series.values.push(value),
            None => self.series.push(Series {
                who: who.to_owned(),
                what: what.to_owned(),
                unit: unit.to_owned(),
                values: vec![value],
            }),
        }
    }

    /// A note is kept once, however often it is made.
    pub fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.notes.contains(&text) {
            eprintln!("    note: {text}");
            self.notes.push(text);
        }
    }

    /// NaN where nothing was measured.
    pub fn median(&self, who: &str, what: &str) -> f64 {
        let found = self
            .series
            .iter()
            .find(|series| series.who == who && series.what == what);
        found.map_or(f64::NAN, |series| median(&series.values))
    }

    /// How often it was measured.
    pub fn count(&self, who: &str, what: &str) -> usize {
        let mut series = self.series.iter();
        let found = series.find(|series| series.who == who && series.what == what);
        found.map_or(0, |series| series.values.len())
    }

    /// The medians of two contestants in the same quantity, one by the other.
    pub fn ratio(&self, ours: &str, theirs: &str, what: &str) -> f64 {
        self.median(ours, what) / self.median(theirs, what)
    }

    pub fn at_most(&mut self, text: &str, value: f64, limit: f64, unit: &str) {
        self.goal(text, value, limit, unit, true);
    }

    pub fn at_least(&mut self, text: &str, value: f64, limit: f64, unit: &str) {
        self.goal(text, value, limit, unit, false);
    }

    fn goal(&mut self, text: &str, value: f64, limit: f64, unit: &str, at_most: bool) {
        self.goals.push(Goal {
            text: text.to_owned(),
            value: Some(value).filter(|value| value.is_finite()),
            limit,
            at_most,
            unit: unit.to_owned(),
        });
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench")
}

impl Record {
    pub fn store(&self) -> Result<()> {
        fs::create_dir_all(folder())?;
        let path = folder().join(format!("{}.json", self.id));
        fs::write(&path, serde_json::to_string_pretty(self)?)?;
        Ok(())
    }

    /// What was stored last under this name, by this or an earlier run.
    pub fn stored(id: &str) -> Result<Option<Record>> {
        let path = folder().join(format!("{id}.json"));
        if !path.exists() {
            return Ok(None);
        }
        let record = serde_json::from_str(&fs::read_to_string(&path)?)
            .with_context(|| format!("{}: delete it, and run {id} again", path.display()))?;
        Ok(Some(record))
    }
}
