//! The master's disk is full.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::BACK;
use crate::cluster::{Cluster, Outcome, docker, eventually};
use crate::ledger::Load;

/// Less than a cluster fills in a moment, and more than a new one needs.
const SIZE: &str = "size=400m";

/// A file system of its own, as long as it is not dropped.
struct Disk(PathBuf);

impl Disk {
    /// Nothing where this user may not mount one.
    fn mounted_on(folder: &Path) -> Option<Disk> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(folder);
        let done = Outcome::of(&mut mount);
        if done.code != Some(0) {
            println!("skipped: {done}");
            return None;
        }
        Some(Disk(folder.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_loses_nothing_and_is_left_behind_when_there_is_room() {
    let Some(cluster) = Cluster::new("full disk") else {
        return;
    };
    cluster.run(["generate", "1"]).exits(0);
    let master = cluster.folder.join("master");
    let kept = cluster.folder.join("kept");
    std::fs::rename(&master, &kept).expect("a rename");
    std::fs::create_dir(&master).expect("a folder");
    let Some(_disk) = Disk::mounted_on(&master) else {
        return;
    };
    Outcome::of(Command::new("cp").arg("-a").arg(kept.join(".")).arg(&master)).exits(0);
    std::fs::remove_dir_all(&kept).expect("it is ours");
    cluster.up(1);
    let ledger = cluster.ledger(Load::default());
    ledger.goes_on(100, BACK);
    ledger.mark();

    let id = cluster.container("postgres-master").id;
    Outcome::of(Command::new("docker").args([
        "exec",
        &id,
        "dd",
        "if=/dev/zero",
        "of=/node/ballast",
        "bs=1M",
    ]));
    // Until the next segment of WAL cannot be made.
    eventually("the disk is full", 60, true, || {
        let more = "SELECT count(pg_logical_emit_message(true, 'fill', repeat('x', 1000000))) FROM generate_series(1, 20)";
        cluster.login("master").ask(more).is_err()
    });
    cluster.run(["status"]).exits(3).says("master: ");
    cluster
        .run(["up", "--timeout", "5"])
        .exits(3)
        .says("No space left on device");
    std::fs::remove_file(master.join("ballast")).expect("it is there");

    cluster.run(["up"]).exits(0);
    ledger.goes_on(100, BACK);
    let report = ledger.close();
    let verdict = cluster.audit(&report, 1);
    assert!(verdict.is_clean(), "{verdict:?}");
    cluster.run(["down", "--remove-volumes", "--yes"]).exits(0);
    assert!(docker(["ps", "-aq", "--filter", &format!("id={id}")]).is_empty());
}
