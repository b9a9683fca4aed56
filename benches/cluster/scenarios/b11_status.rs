//! The question how the cluster is.

use anyhow::Result;

use crate::contest::{Contestant, Simple, interleave};
use crate::process::run;
use crate::record::Findings;
use crate::stack::{Kind, Stack};

const OURS: &str = "pgcluster status";
const THEIRS: &str = "docker compose ps";

pub fn measure(runs: usize, found: &mut Findings) -> Result<()> {
    for replicas in [3, 10] {
        let stack = Stack::fresh(Kind::Pgcluster, replicas)?;
        stack.up()?;
        let what = format!("1 + {replicas}");
        let status = || run(&mut stack.pgcluster(&["status"])).map(drop);
        let ps = || run(&mut stack.compose(&["ps"])).map(drop);
        let mut contestants: Vec<Box<dyn Contestant + '_>> = vec![
            Box::new(Simple {
                name: OURS.to_owned(),
                what: what.clone(),
                work: status,
            }),
            Box::new(Simple {
                name: THEIRS.to_owned(),
                what: what.clone(),
                work: ps,
            }),
        ];
        interleave(runs, &mut contestants, found);
        drop(contestants);
        stack.remove()?;
        let ratio = found.ratio(OURS, THEIRS, &what);
        found.at_most(
            &format!("`status` / `docker compose ps`, {what}"),
            ratio,
            1.0,
            "×",
        );
    }
    let seconds = found.median(OURS, "1 + 3");
    found.at_most("`status`, 1 + 3", seconds * 1000.0, 20.0, "ms");
    Ok(())
}
