//! Contestants in turn, each run in another order, so that what the machine does meanwhile hits all of them.

use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::place;
use crate::record::Findings;
use crate::stack::{Kind, Stack};

/// The engine is done with what was removed before.
const REST: Duration = Duration::from_millis(700);

/// One way to do what is measured.
pub trait Contestant {
    fn name(&self) -> String;

    /// Of what is measured.
    fn unit(&self) -> &'static str {
        "s"
    }

    /// What is not timed: a fresh folder, files, containers that are there before.
    fn prepare(&mut self) -> Result<()> {
        Ok(())
    }

    /// The timed part: what was measured, each with its name.
    fn go(&mut self) -> Result<Vec<(String, f64)>>;

    /// Not timed either. Deletes no file.
    fn tear_down(&mut self, _found: &mut Findings) -> Result<()> {
        Ok(())
    }
}

/// Runs all of them `runs` times. One that fails is noted, and the others go on.
pub fn interleave(runs: usize, contestants: &mut [Box<dyn Contestant + '_>], found: &mut Findings) {
    for round in 0..runs {
        for turn in 0..contestants.len() {
            let count = contestants.len();
            let contestant = &mut contestants[(round + turn) % count];
            let name = contestant.name();
            let result = contestant.prepare().and_then(|()| {
                sleep(REST);
                contestant.go()
            });
            match result {
                Ok(values) => {
                    for (what, value) in values {
                        found.add(&name, &what, contestant.unit(), value);
                    }
                }
                Err(error) => found.note(format!("{name} failed in run {}: {error:#}", round + 1)),
            }
            if let Err(error) = contestant.tear_down(found) {
                found.note(format!(
                    "{name} could not be removed after run {}: {error:#}",
                    round + 1
                ));
            }
        }
    }
}

/// A contestant that is one command or closure, with nothing before and after it.
pub struct Simple<F> {
    pub name: String,
    pub what: String,
    pub work: F,
}

impl<F: FnMut() -> Result<()>> Contestant for Simple<F> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn go(&mut self) -> Result<Vec<(String, f64)>> {
        let seconds = crate::process::timed(&mut self.work)?;
        Ok(vec![(self.what.clone(), seconds)])
    }
}

/// The start of a whole cluster in a fresh folder.
pub struct Start {
    pub kind: Kind,
    pub replicas: u16,
    /// What the time is called.
    pub what: String,
    /// Looks at a cluster, given when it was started and how long that took.
    pub look: fn(&Stack, f64, f64, &mut Findings) -> Result<()>,
    stack: Option<Stack>,
    /// Seconds since 1970.
    began: f64,
    took: f64,
}

impl Start {
    pub fn new(kind: Kind, replicas: u16, what: &str) -> Start {
        Start {
            kind,
            replicas,
            what: what.to_owned(),
            look: |_, _, _, _| Ok(()),
            stack: None,
            began: 0.0,
            took: 0.0,
        }
    }
}

impl Contestant for Start {
    fn name(&self) -> String {
        self.kind.name().to_owned()
    }

    fn prepare(&mut self) -> Result<()> {
        self.took = 0.0;
        self.stack = Some(Stack::fresh(self.kind, self.replicas)?);
        // Who syncs nothing must not have the next one write it.
        place::write_out();
        Ok(())
    }

    fn go(&mut self) -> Result<Vec<(String, f64)>> {
        let Some(stack) = &self.stack else {
            return Ok(Vec::new());
        };
        self.began = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        self.took = stack.up()?;
        Ok(vec![(self.what.clone(), self.took)])
    }

    fn tear_down(&mut self, found: &mut Findings) -> Result<()> {
        let Some(stack) = self.stack.take() else {
            return Ok(());
        };
        let looked = if self.took > 0.0 {
            (self.look)(&stack, self.began, self.took, found)
        } else {
            Ok(())
        };
        stack.remove()?;
        looked
    }
}
