//! Faults under load: what was acknowledged is there afterwards, once, on every node, and nobody had to help.
//!
//! `make test` has some of them once, `make torture` all of them several times, with a table for RELIABILITY.md.

mod clock;
mod cut_short;
mod full_disk;
mod list;
mod strike;
mod table;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::cluster::{Cluster, eventually};
use crate::ledger::{Ledger, Load, Report, Verdict};
use list::{FAULTS, Fault};
use table::Row;

/// Long enough for whatever comes back by itself, on a machine that does much else.
const BACK: u64 = 60;

const REPLICAS: u32 = 2;

/// Only where TORTURE_ENGINE is a command that does it: it touches everything else on the machine.
const ENGINE: &str = "the engine is restarted";

/// Where a fault strikes.
pub struct Scene<'a> {
    cluster: &'a Cluster,
    ledger: &'a Ledger,
    /// Seconds that what takes a while is left alone.
    patience: u64,
    waited: Cell<bool>,
}

/// From the environment.
fn number(key: &str, default: u64) -> u64 {
    std::env::var(key).map_or(default, |value| value.parse().expect("a number"))
}

fn ready(name: &str) -> Option<Cluster> {
    let cluster = Cluster::new(name)?;
    cluster.up(REPLICAS);
    Some(cluster)
}

/// One fault under load, from beginning to end: whether the book is right afterwards, and for how many seconds something
/// was away.
fn suffer(cluster: &Cluster, fault: &Fault, patience: u64) -> (Report, Verdict, Option<u64>) {
    let ledger = cluster.ledger(Load::default());
    ledger.goes_on(100, BACK);
    ledger.mark();
    let scene = Scene {
        cluster,
        ledger: &ledger,
        patience,
        waited: Cell::new(false),
    };
    (fault.strike)(&scene);
    let waited = scene.waited.get().then_some(patience);
    ledger.goes_on(50, BACK);
    cluster.replicates_again_to(REPLICAS);
    ledger.goes_on(10, BACK);
    let report = ledger.close();
    println!("{}:", fault.name);
    let verdict = cluster.audit(&report, REPLICAS);
    (report, verdict, waited)
}

/// Several faults, one after the other, on one cluster.
fn suffer_each(cluster: &str, names: &[&str]) {
    let Some(cluster) = ready(cluster) else {
        return;
    };
    for name in names {
        let fault = FAULTS.iter().find(|fault| fault.name == *name);
        let (_, verdict, _) = suffer(&cluster, fault.expect("it is in the list"), 5);
        assert!(verdict.is_clean(), "{name}: {verdict:?}");
    }
    ends_well(&cluster);
}

/// Nothing is left to anyone, and every block of every data directory is right.
#[track_caller]
fn ends_well(cluster: &Cluster) {
    // The watcher may still judge by a look that began before.
    eventually("status finds nothing", 90, Some(0), || {
        cluster.run(["status"]).code
    });
    cluster.run(["down"]).exits(0);
    cluster.checksums_are_right(REPLICAS);
}

#[test]
fn servers_that_are_killed_come_back_and_nothing_is_lost() {
    suffer_each(
        "killed",
        &[
            "the master's server is killed",
            "a backend of the master is killed",
            "a replica's server is killed",
        ],
    );
}

#[test]
fn what_freezes_or_is_cut_off_is_done_without_and_comes_back() {
    suffer_each(
        "frozen",
        &[
            "the master is frozen",
            "a replica is cut off the network",
            "the pool is killed",
        ],
    );
}

#[test]
fn a_clock_that_is_wrong_by_an_hour_disturbs_nothing() {
    suffer_each("clocks", &["a replica's clock is an hour ahead"]);
}

#[test]
fn everything_dies_at_once_and_nothing_is_lost() {
    suffer_each(
        "all at once",
        &["every container is killed", "every server is killed"],
    );
}

/// The ledger itself: a server that acknowledges what it has not written, and dies.
#[test]
fn the_ledger_tells_a_loss() {
    let Some(cluster) = Cluster::new("liar") else {
        return;
    };
    cluster.run(["generate", "0"]).exits(0);
    cluster.append(
        "master/config/postgresql.conf",
        "synchronous_commit = off\nwal_writer_delay = 10s\nwal_writer_flush_after = 1GB",
    );
    cluster.up(0);
    let ledger = cluster.ledger(Load::default());
    // The table at least.
    cluster.sql("master", "CHECKPOINT");
    ledger.goes_on(300, BACK);

    cluster.crash("postgres-master");

    ledger.goes_on(10, BACK);
    let report = ledger.close();
    let verdict = cluster.judge(&report);
    println!("{report}; lost {}", verdict.lost.len());
    assert!(!verdict.lost.is_empty(), "{report}");
    assert_eq!((verdict.double, verdict.invented), (vec![], vec![]));
}

/// `make torture`: every fault several times; TORTURE_RUNS, TORTURE_SECONDS for what freezes, TORTURE_ENGINE, a command
/// that restarts the engine, and TORTURE_ONLY, a part of a name, choose.
#[test]
#[ignore = "takes hours: make torture"]
fn torture() {
    let (runs, patience) = (number("TORTURE_RUNS", 5), number("TORTURE_SECONDS", 60));
    let only = std::env::var("TORTURE_ONLY").unwrap_or_default();
    let mut rows = Vec::new();
    let can_be_done = |fault: &&Fault| fault.name != ENGINE || std::env::var_os("TORTURE_ENGINE").is_some();
    for fault in FAULTS
        .iter()
        .filter(can_be_done)
        .filter(|fault| fault.name.contains(&only))
    {
        let mut row = Row::new(fault.name);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let cluster = ready("torture").expect("PGCLUSTER_DOCKER=1");
            for _ in 0..runs {
                let (report, verdict, waited) = suffer(&cluster, fault, patience);
                row.patience = waited;
                row.note(&report, &verdict);
            }
            ends_well(&cluster);
        }));
        row.failed |= result.is_err();
        println!("{}", row.line());
        rows.push(row);
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("RELIABILITY.md");
    let names: Vec<&str> = FAULTS.iter().map(|fault| fault.name).collect();
    table::publish(&file, &rows, &names);
    let failed: Vec<&str> = rows
        .iter()
        .filter(|row| row.failed)
        .map(|row| row.fault)
        .collect();
    assert_eq!(failed, [""; 0]);
}
