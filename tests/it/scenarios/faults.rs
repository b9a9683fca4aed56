//! A server dies under load: what was committed is there, and everything finds together again without pgcluster.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Login, eventually};

#[test]
fn nothing_committed_is_lost_when_the_master_dies() {
    let Some(cluster) = Cluster::new("master dies") else {
        return;
    };
    cluster.up(1);
    cluster.sql("master", "CREATE TABLE ids (id bigint PRIMARY KEY)");
    let writer = Writer::start(cluster.login("pool"));
    writer.has_written_more(500);

    cluster.crash("postgres-master");

    writer.has_written_more(100);
    cluster.replicates_again_to(1);
    let written = writer.stop();
    nothing_is_lost(&cluster, &written, 1);

    // What the user does by hand Docker does not undo; `up` does.
    cluster.docker_each("kill", "postgres-master");
    cluster.run(["up"]).exits(0);
    cluster.replicates_to(1);
    nothing_is_lost(&cluster, &written, 1);
}

#[test]
fn a_replica_that_dies_rejoins_by_itself_and_the_pool_uses_it() {
    let Some(cluster) = Cluster::new("replica dies") else {
        return;
    };
    cluster.up(2);
    cluster.sql("master", "CREATE TABLE ids (id bigint PRIMARY KEY)");
    let writer = Writer::start(cluster.login("pool"));
    writer.has_written_more(200);

    cluster.crash("postgres-slave1");

    writer.has_written_more(200);
    cluster.replicates_again_to(2);
    writer.has_written_more(50);

    // Away for so long that the pool leaves it out.
    cluster.docker_each("stop", "postgres-slave1");
    eventually("the pool leaves it out", 40, true, || {
        cluster.replication().contains("postgres-slave1 down/")
    });
    writer.has_written_more(50);
    cluster.docker_each("start", "postgres-slave1");
    cluster.replicates_again_to(2);

    nothing_is_lost(&cluster, &writer.stop(), 2);
    eventually("reads reach it again", 10, true, || {
        cluster.try_sql("pool", "SELECT current_setting('cluster_name')") == "slave1"
    });
}

#[test]
fn after_a_restart_of_the_pool_no_node_stays_down() {
    let Some(cluster) = Cluster::new("pool restarts") else {
        return;
    };
    cluster.up(1);
    // The pool notes it as down; the restart must not keep that.
    cluster.docker_each("stop", "postgres-slave1");
    eventually("the pool leaves it out", 40, true, || {
        cluster.replication().contains("postgres-slave1 down/")
    });
    cluster.docker_each("start", "postgres-slave1");

    cluster.docker_each("restart", "pgpool-loadbalancer");

    cluster.replicates_again_to(1);
}

pub fn nothing_is_lost(cluster: &Cluster, written: &[u64], replicas: u32) {
    let replicas = (1..=replicas).map(|id| format!("slave-{id}"));
    for place in std::iter::once("master".to_owned()).chain(replicas) {
        eventually(
            &format!("every committed id is on {place}"),
            15,
            Vec::<u64>::new(),
            || {
                let rows = cluster.try_sql(&place, "SELECT id FROM ids");
                let there: HashSet<u64> = rows.lines().filter_map(|line| line.parse().ok()).collect();
                written.iter().copied().filter(|id| !there.contains(id)).collect()
            },
        );
    }
}

/// Inserts 1, 2, 3 … as fast as it can, and notes each number once its commit was confirmed.
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    written: Mutex<Vec<u64>>,
    stop: AtomicBool,
}

impl Writer {
    pub fn start(login: Login) -> Writer {
        let shared = Arc::<Shared>::default();
        let its = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let mut connection = None;
            for id in 1.. {
                if its.stop.load(Ordering::Relaxed) {
                    return;
                }
                if connection.is_none() {
                    connection = login.connect().ok();
                }
                let Some(open) = &mut connection else {
                    std::thread::sleep(Duration::from_millis(50));
                    continue;
                };
                match open.ask(&format!("INSERT INTO ids VALUES ({id})")) {
                    Ok(_) => its.written.lock().expect("no panic").push(id),
                    Err(_) => connection = None,
                }
            }
        });
        Writer {
            shared,
            thread: Some(thread),
        }
    }

    fn count(&self) -> usize {
        self.shared.written.lock().expect("no panic").len()
    }

    /// Writes work, again if need be: `more` of them within 30 s.
    #[track_caller]
    pub fn has_written_more(&self, more: usize) {
        let (started, before) = (Instant::now(), self.count());
        eventually("writes work", 30, true, || self.count() >= before + more);
        println!("{more} writes after {:.1} s", started.elapsed().as_secs_f64());
    }

    pub fn stop(mut self) -> Vec<u64> {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic");
        }
        std::mem::take(&mut *self.shared.written.lock().expect("no panic"))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}
