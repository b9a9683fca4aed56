//! How the start grows with the number of replicas.

use anyhow::Result;

use crate::contest::{Contestant, Start, interleave};
use crate::record::Findings;
use crate::stack::Kind;
use crate::stats::slope;

const SIZES: [u16; 4] = [1, 3, 6, 10];

pub fn measure(runs: usize, found: &mut Findings) -> Result<()> {
    let mut contestants: Vec<Box<dyn Contestant>> = Vec::new();
    for replicas in SIZES {
        for kind in [Kind::Pgcluster, Kind::Handmade] {
            contestants.push(Box::new(Start::new(kind, replicas, &what(replicas))));
        }
    }
    interleave(runs, &mut contestants, found);
    let [ours, theirs] = [Kind::Pgcluster, Kind::Handmade].map(|kind| growth(found, kind));
    found.at_most(
        "growth of `up` / of the hand-made minimum",
        ours / theirs,
        1.1,
        "×",
    );
    found.note(format!("A replica more costs pgcluster {ours:.2} s, and {theirs:.2} s by hand (least squares of the medians)."));
    let tens = found.count(Kind::Pgcluster.name(), &what(10));
    found.at_least(
        "starts of 1 + 10 that succeed",
        tens as f64 / runs as f64 * 100.0,
        100.0,
        "%",
    );
    Ok(())
}

fn what(replicas: u16) -> String {
    format!("1 + {replicas}")
}

fn growth(found: &Findings, kind: Kind) -> f64 {
    let point = |replicas: u16| (f64::from(replicas), found.median(kind.name(), &what(replicas)));
    slope(&SIZES.map(point))
}
