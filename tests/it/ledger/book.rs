//! What the writers know of their entries, and what a table says to that. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// One row: which writer made it, and as its how manieth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub writer: u32,
    pub step: u64,
}

impl Entry {
    /// What stands beside it in its row, so that a mixed up row shows.
    pub fn note(self) -> String {
        format!("{}:{}", self.writer, self.step)
    }
}

/// Every entry that was sent, by what is known of its commit.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// COMMIT returned.
    pub acknowledged: BTreeSet<Entry>,
    /// It was sent, and no answer came or an error: it may be there.
    pub doubtful: BTreeSet<Entry>,
}

/// How a table differs from the book.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Acknowledged, and not there.
    pub lost: Vec<Entry>,
    /// There more than once.
    pub double: Vec<Entry>,
    /// There, and never sent.
    pub invented: Vec<Entry>,
}

impl Book {
    /// Holds the book against the rows of a table.
    pub fn judge(&self, rows: &[Entry]) -> Verdict {
        let mut counts: BTreeMap<Entry, usize> = BTreeMap::new();
        for entry in rows {
            *counts.entry(*entry).or_default() += 1;
        }
        let there = |entry: &&Entry| counts.contains_key(entry);
        let sent = |entry: &Entry| self.acknowledged.contains(entry) || self.doubtful.contains(entry);
        Verdict {
            lost: self.acknowledged.iter().filter(|e| !there(e)).copied().collect(),
            double: counts.iter().filter(|(_, n)| **n > 1).map(|(e, _)| *e).collect(),
            invented: counts.keys().filter(|entry| !sent(entry)).copied().collect(),
        }
    }
}

impl Verdict {
    pub fn is_clean(&self) -> bool {
        *self == Verdict::default()
    }
}

/// What a session is sure to see of the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sees {
    /// Nothing that was never sent, and that is all.
    Anything,
    /// What it wrote itself.
    ItsOwn,
    /// What anyone has committed, and never less than it has seen.
    Everything,
}

/// What a session has seen of each writer's entries.
#[derive(Clone, Debug, Default)]
pub struct Sight(BTreeMap<u32, u64>);

impl Sight {
    /// The session sees `newest` of a writer, where it is sure to see `promised` at least, and what it has seen before.
    ///
    /// # Errors
    ///
    /// What is missing.
    pub fn look(&mut self, newest: Entry, promised: u64) -> Result<(), String> {
        let Entry { writer, step } = newest;
        let before = self.0.insert(writer, step).unwrap_or(0);
        if step < before {
            return Err(format!("writer {writer}: {step} after {before}"));
        }
        if step < promised {
            return Err(format!(
                "writer {writer}: {step}, and {promised} was committed before"
            ));
        }
        Ok(())
    }
}

/// How long nothing succeeded.
#[derive(Clone, Copy, Debug)]
pub struct Pulse {
    last: Instant,
    longest: Duration,
}

impl Pulse {
    pub fn new(now: Instant) -> Pulse {
        Pulse {
            last: now,
            longest: Duration::ZERO,
        }
    }

    /// Something succeeded.
    pub fn beat(&mut self, now: Instant) {
        self.longest = self.longest_until(now);
        self.last = now;
    }

    /// The longest time without a beat since it was made.
    pub fn longest_until(&self, now: Instant) -> Duration {
        self.longest.max(now.saturating_duration_since(self.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(steps: &[u64]) -> Vec<Entry> {
        steps
            .iter()
            .map(|step| Entry {
                writer: 1,
                step: *step,
            })
            .collect()
    }

    fn check(rows: &[u64], lost: &[u64], double: &[u64], invented: &[u64]) {
        let book = Book {
            acknowledged: entries(&[1, 2]).into_iter().collect(),
            doubtful: entries(&[3]).into_iter().collect(),
        };
        let expected = Verdict {
            lost: entries(lost),
            double: entries(double),
            invented: entries(invented),
        };
        assert_eq!(book.judge(&entries(rows)), expected, "{rows:?}");
    }

    #[test]
    fn what_is_lost_double_or_invented_is_told() {
        check(&[1, 2], &[], &[], &[]);
        check(&[1, 2, 3], &[], &[], &[]);
        check(&[1, 3], &[2], &[], &[]);
        check(&[1, 1, 2], &[], &[1], &[]);
        check(&[1, 2, 3, 3], &[], &[3], &[]);
        check(&[1, 2, 4], &[], &[], &[4]);
    }

    #[test]
    fn a_session_that_goes_back_or_sees_too_little_is_told() {
        let sees = |steps: &[(u32, u64)], promised| {
            let mut sight = Sight::default();
            let looks = steps.iter().map(|(writer, step)| {
                sight.look(
                    Entry {
                        writer: *writer,
                        step: *step,
                    },
                    promised,
                )
            });
            looks
                .collect::<Result<Vec<()>, String>>()
                .map(|looks| looks.len())
        };
        assert_eq!(sees(&[(1, 1), (1, 1), (2, 1), (1, 3)], 0), Ok(4));
        assert_eq!(
            sees(&[(1, 1), (1, 3), (2, 1), (1, 2)], 0),
            Err("writer 1: 2 after 3".to_owned())
        );
        assert_eq!(
            sees(&[(1, 4), (1, 5)], 5),
            Err("writer 1: 4, and 5 was committed before".to_owned())
        );
    }

    #[test]
    fn the_longest_silence_counts_even_when_it_lasts() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pulse = Pulse::new(start);
        pulse.beat(at(1));
        pulse.beat(at(4));
        pulse.beat(at(5));
        assert_eq!(pulse.longest_until(at(6)), Duration::from_secs(3));
        assert_eq!(pulse.longest_until(at(9)), Duration::from_secs(4));
    }
}
