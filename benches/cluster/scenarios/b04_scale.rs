//! One replica more in a cluster that runs.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::scaling::{Bare, scale, scale_words};
use crate::contest::{Contestant, interleave};
use crate::process::{Ending, wait_until};
use crate::record::Findings;
use crate::stack::{Kind, Stack};
use crate::wire::Session;

const NAP: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(60);
const STREAMS: &str = "streams";

pub fn measure(runs: usize, found: &mut Findings) -> Result<()> {
    let stack = Stack::fresh(Kind::Pgcluster, 2)?;
    stack.up()?;
    found.note(format!(
        "pgcluster: `{}`.",
        scale_words(&stack, "N+1", &[]).join(" ")
    ));
    let bare = Bare::new(&stack, 1);
    let bare_name = bare.name();
    let mut contestants: Vec<Box<dyn Contestant + '_>> = vec![
        Box::new(OneMore {
            stack: &stack,
            replicas: 2,
        }),
        Box::new(bare),
    ];
    interleave(runs, &mut contestants, found);
    drop(contestants);
    stack.remove()?;

    let ours = Kind::Pgcluster.name();
    let ratio = found.ratio(ours, &bare_name, STREAMS);
    found.at_most(
        "+1 replica until it streams / bare pg_basebackup",
        ratio,
        1.5,
        "×",
    );
    let more = found.median(ours, "reads from it, after that");
    found.at_most("reads from it through the pool, after it streams", more, 2.0, "s");
    Ok(())
}

/// The replicas stay, so that each run makes one that was never there.
struct OneMore<'a> {
    stack: &'a Stack,
    replicas: u16,
}

impl Contestant for OneMore<'_> {
    fn name(&self) -> String {
        Kind::Pgcluster.name().to_owned()
    }

    fn prepare(&mut self) -> Result<()> {
        self.replicas += 1;
        Ok(())
    }

    fn go(&mut self) -> Result<Vec<(String, f64)>> {
        let (mut master, mut pool) = (Session::new(self.stack.master), Session::new(self.stack.pool));
        let name = format!("slave{}", self.replicas);
        // Connected before the clock runs.
        master.value("SELECT 1")?;
        pool.value("SELECT 1")?;
        let start = Instant::now();
        let ending = Ending::of(scale(self.stack, self.replicas, &[]), start)?;
        wait_until("the replica streams", LIMIT, NAP, || {
            master.replaying().contains(&name)
        })?;
        let streams = start.elapsed().as_secs_f64();
        let nodes = usize::from(self.replicas) + 1;
        wait_until("the pool has it", LIMIT, NAP, || pool.pool_nodes_up() == nodes)?;
        let pooled = start.elapsed().as_secs_f64();
        // The pool chooses a node for each session, so new ones come to it in the end.
        wait_until("the pool reads from it", LIMIT, Duration::from_millis(5), || {
            let cluster_name = Session::new(self.stack.pool).value("SHOW cluster_name");
            cluster_name.is_ok_and(|cluster_name| cluster_name == name)
        })?;
        let read = start.elapsed().as_secs_f64();
        let ended = ending.wait()?;
        let named = [
            (STREAMS, streams),
            ("in the pool", pooled),
            ("read from", read),
            ("command ends", ended),
        ];
        let mut values: Vec<(String, f64)> = named.map(|(what, value)| (what.to_owned(), value)).into();
        values.push(("reads from it, after that".to_owned(), read - streams));
        Ok(values)
    }
}
