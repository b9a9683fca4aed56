//! Whether what is waited for comes any further: a wait ends by time without progress, not by time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::health::{Part, State};
use crate::plan::Step;

/// The furthest each node has come, and when one last came further.
pub struct Progress {
    best: BTreeMap<String, (u8, u64)>,
    last: Instant,
    /// Steps that succeeded once: a second time they are no news.
    done: Vec<Step>,
    /// When a node's clone was first seen, and how many bytes it had then.
    clones: BTreeMap<String, (Instant, u64)>,
}

impl Progress {
    pub fn new() -> Self {
        Progress {
            best: BTreeMap::new(),
            last: Instant::now(),
            done: Vec::new(),
            clones: BTreeMap::new(),
        }
    }

    /// A container that starts over and over comes no further than it was.
    pub fn note(&mut self, states: &[Part]) {
        for Part { title, state, .. } in states {
            let now = state.progress();
            let best = self.best.entry(title.clone()).or_default();
            if now > *best {
                *best = now;
                self.last = Instant::now();
            }
            if let State::Cloning(done, _) = state {
                self.clones
                    .entry(title.clone())
                    .or_insert((Instant::now(), *done));
            }
        }
    }

    /// Something came to its end that no state of a node shows.
    pub fn is_made(&mut self) {
        self.last = Instant::now();
    }

    /// A correction succeeded. On a busy machine ten slots take longer than one node may stand still.
    pub(super) fn corrected(&mut self, step: &Step) {
        if !self.done.contains(step) {
            self.done.push(step.clone());
            self.is_made();
        }
    }

    /// The server of `service` starts anew, and so does what counts as progress for it.
    pub(super) fn begin_again(&mut self, states: &[Part], service: &str) {
        for part in states.iter().filter(|part| part.service == service) {
            self.best.remove(&part.title);
        }
        self.last = Instant::now();
    }

    /// How long a clone goes on at the pace it had so far; nothing during its first second.
    pub(super) fn left(&self, title: &str, done: u64, total: u64) -> Option<Duration> {
        let (since, first) = self.clones.get(title)?;
        let elapsed = since.elapsed();
        let pace = done.checked_sub(*first).filter(|bytes| *bytes > 0)? as f64 / elapsed.as_secs_f64();
        let left = total.saturating_sub(done) as f64 / pace;
        (elapsed > Duration::from_secs(1)).then(|| Duration::from_secs_f64(left))
    }

    pub fn stalled_for(&self) -> Duration {
        self.last.elapsed()
    }
}
