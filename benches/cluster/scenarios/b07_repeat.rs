//! Start and removal, again and again, of clusters of every size.

use anyhow::Result;

use crate::process::{run, timed};
use crate::record::Findings;
use crate::stack::{Kind, Stack};

pub fn measure(runs: usize, found: &mut Findings) -> Result<()> {
    let mut succeeded = 0;
    for round in 0..runs {
        let replicas = 4 + (round % 7) as u16;
        let what = format!("1 + {replicas}");
        let stack = Stack::fresh(Kind::Pgcluster, replicas)?;
        let result = stack.up().and_then(|up| {
            let down = timed(|| run(&mut stack.pgcluster(&["down", "--remove-volumes", "--yes"])))?;
            Ok((up, down))
        });
        match result {
            Ok((up, down)) => {
                succeeded += 1;
                found.add("up", &what, "s", up);
                found.add("down --remove-volumes", &what, "s", down);
            }
            Err(error) => found.note(format!(
                "run {} with {replicas} replicas failed: {error:#}",
                round + 1
            )),
        }
        stack.remove()?;
    }
    found.at_least(
        "`up` and `down` that succeed",
        f64::from(succeeded) / runs as f64 * 100.0,
        100.0,
        "%",
    );
    Ok(())
}
