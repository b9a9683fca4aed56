//! From an empty folder to a cluster of 1 + 3, images there.

use anyhow::Result;

use crate::contest::{Contestant, Start, interleave};
use crate::record::{Findings, Timeline};
use crate::stack::{Kind, Stack};
use crate::timeline::gather;

const WHAT: &str = "1 + 3 ready";

pub fn measure(runs: usize, found: &mut Findings) -> Result<()> {
    let kinds = [
        Kind::Pgcluster,
        Kind::Handmade,
        Kind::Sleeps,
        Kind::Naive,
        Kind::Patroni,
    ];
    let mut contestants: Vec<Box<dyn Contestant>> = Vec::new();
    for kind in kinds {
        let mut start = Start::new(kind, 3, WHAT);
        if matches!(kind, Kind::Pgcluster | Kind::Handmade) {
            start.look = look;
        }
        contestants.push(Box::new(start));
    }
    interleave(runs, &mut contestants, found);
    keep_typical_timelines(found);

    let ours = |found: &Findings, theirs: Kind| found.ratio(Kind::Pgcluster.name(), theirs.name(), WHAT);
    let handmade = ours(found, Kind::Handmade);
    found.at_most("`up` 1 + 3 / hand-made minimum", handmade, 1.1, "×");
    found.at_most("the same, better than by hand", handmade, 1.0, "×");
    let naive = 1.0 / ours(found, Kind::Naive);
    found.at_least("faster than the naive Compose file", naive, 6.0, "×");
    let patroni = 1.0 / ours(found, Kind::Patroni);
    found.at_least("faster than Patroni and etcd", patroni, 4.0, "×");
    let floor = ours(found, Kind::Sleeps);
    found.note(format!(
        "`up` takes {floor:.2} times as long as five containers that do nothing."
    ));
    Ok(())
}

fn look(stack: &Stack, began: f64, took: f64, found: &mut Findings) -> Result<()> {
    found.timelines.push(gather(stack, began, took)?);
    Ok(())
}

/// Of each contestant the run that took as long as its median.
fn keep_typical_timelines(found: &mut Findings) {
    let mut kept: Vec<Timeline> = Vec::new();
    for timeline in std::mem::take(&mut found.timelines) {
        let median = found.median(&timeline.who, WHAT);
        let distance = |timeline: &Timeline| (timeline.done - median).abs();
        match kept.iter_mut().find(|other| other.who == timeline.who) {
            Some(other) if distance(&timeline) < distance(other) => *other = timeline,
            Some(_) => {}
            None => kept.push(timeline),
        }
    }
    kept.sort_by(|a, b| b.who.cmp(&a.who));
    found.timelines = kept;
}
