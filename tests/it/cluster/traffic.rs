//! Clients that write and read through the pool while the scenario goes on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Cluster;
use super::outcome::eventually;
use super::sql::Login;

/// Each round is a new connection with a write and a read of its own.
pub struct Traffic {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// Numbers whose commit was confirmed.
    written: Mutex<Vec<u64>>,
    /// The node that each read ended on.
    readers: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Traffic {
    /// Goes on until it is stopped, whatever fails.
    pub fn start(cluster: &Cluster) -> Traffic {
        cluster.sql("master", "CREATE TABLE traffic (id bigint PRIMARY KEY)");
        let shared = Arc::<Shared>::default();
        let (its, login) = (Arc::clone(&shared), cluster.login("pool"));
        let thread = std::thread::spawn(move || {
            for id in 1.. {
                if its.stop.load(Ordering::Relaxed) {
                    return;
                }
                if its.round(&login, id).is_err() {
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        });
        Traffic {
            shared,
            thread: Some(thread),
        }
    }

    /// Several writes and reads succeed, and no read of them ends on a node in `avoided`: within `seconds`.
    #[track_caller]
    pub fn flows_past(&self, avoided: &[&str], seconds: u64) {
        const ROUNDS: usize = 5;
        let (started, writes) = (
            Instant::now(),
            self.shared.written.lock().expect("no panic").len(),
        );
        let first = self.shared.readers.lock().expect("no panic").len();
        eventually(&format!("traffic flows past {avoided:?}"), seconds, true, || {
            let readers = self.shared.readers.lock().expect("no panic");
            let new = &readers[first..];
            let last = &new[new.len().saturating_sub(ROUNDS)..];
            let written = self.shared.written.lock().expect("no panic").len();
            last.len() == ROUNDS
                && written >= writes + ROUNDS
                && last.iter().all(|reader| !avoided.contains(&reader.as_str()))
        });
        println!("past {avoided:?} after {:.1} s", started.elapsed().as_secs_f64());
    }

    /// Ends it; everything that was confirmed must be on the master.
    #[track_caller]
    pub fn ends_with_nothing_lost(mut self, cluster: &Cluster) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
        let there = cluster.sql("master", "SELECT id FROM traffic");
        let there: Vec<u64> = there.lines().filter_map(|line| line.parse().ok()).collect();
        let written = self.shared.written.lock().expect("no panic");
        let lost: Vec<&u64> = written.iter().filter(|id| !there.contains(id)).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        assert!(!written.is_empty());
    }
}

impl Shared {
    fn round(&self, login: &Login, id: u64) -> Result<(), String> {
        let mut client = login.connect()?;
        client.ask(&format!("INSERT INTO traffic VALUES ({id})"))?;
        self.written.lock().expect("no panic").push(id);
        let reader = client.ask("SELECT current_setting('cluster_name')")?;
        self.readers.lock().expect("no panic").push(reader);
        Ok(())
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}
