//! The ledger: clients that write unique entries through an endpoint and note each only when its COMMIT returned, and
//! clients that check what they read. After a fault it is held against every node.

mod audit;
mod book;
mod clients;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cluster::{Login, eventually};
use book::{Book, Pulse};
pub use book::{Sees, Verdict};
use clients::Shared;

/// Who works, and how.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub writers: u32,
    pub readers: u32,
    /// Every second writer uses BEGIN and COMMIT; where those are refused, all write single statements.
    pub in_blocks: bool,
    /// What a session is sure to see.
    pub sees: Sees,
}

impl Default for Load {
    fn default() -> Load {
        Load {
            writers: 4,
            readers: 2,
            in_blocks: true,
            sees: Sees::Anything,
        }
    }
}

/// Clients at work, until they are stopped or this is dropped.
pub struct Ledger {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the clients saw.
#[derive(Clone, Debug)]
pub struct Report {
    pub book: Book,
    /// Logins and statements of which it is certain that they did nothing.
    pub refused: usize,
    pub reads: usize,
    pub failed_reads: usize,
    /// What no reader may ever see.
    pub wrong_reads: Vec<String>,
    /// The longest time since the last [`Ledger::mark`] in which no commit returned.
    pub without_writes: Duration,
    /// The same for answers to readers.
    pub without_reads: Duration,
}

impl Ledger {
    /// Makes the table, anew, by `maker`, and waits until each of `copies` has this one: a reader that is sent to a late
    /// one would take the rows of a run before for invented. Gives back the number of the run: the table takes no row of
    /// another, as what a client of a run before had sent into a network that was cut may arrive now.
    #[track_caller]
    pub fn make_table(maker: &Login, copies: &[Login]) -> u32 {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let run = RUNS.fetch_add(1, Ordering::SeqCst);
        const WHICH: &str = "SELECT to_regclass('ledger')::oid";
        let table = format!(
            "DROP TABLE IF EXISTS ledger; CREATE TABLE ledger (run int CHECK (run = {run}),
                writer int, step bigint, note text NOT NULL, PRIMARY KEY (writer, step))"
        );
        maker.ask(&table).expect("a table");
        let made = maker.ask(WHICH);
        assert!(made.is_ok(), "{made:?}");
        for copy in copies {
            eventually("every copy has the new table", 60, made.clone(), || {
                copy.ask(WHICH)
            });
        }
        run
    }

    /// Makes the table and lets the clients begin to work at `endpoint`.
    #[track_caller]
    pub fn open(maker: &Login, copies: &[Login], endpoint: &Login, load: Load) -> Ledger {
        let run = Ledger::make_table(maker, copies);
        let shared = Arc::new(Shared::new(load, run));
        let (its, login) = (Arc::clone(&shared), endpoint.clone());
        let thread = std::thread::spawn(move || clients::work(&its, &login));
        Ledger {
            shared,
            thread: Some(thread),
        }
    }

    /// From here on the times without writes and reads are taken anew.
    pub fn mark(&self) {
        let now = Instant::now();
        for pulse in [&self.shared.writes, &self.shared.reads] {
            *pulse.lock().expect("no panic") = Pulse::new(now);
        }
    }

    /// So many more entries are acknowledged, and at least one reader gets an answer, within `seconds`.
    #[track_caller]
    pub fn goes_on(&self, more: usize, seconds: u64) {
        let (writes, reads) = (self.shared.acknowledged(), self.shared.answered());
        let readers = self.shared.load.readers > 0;
        eventually("writes and reads go on", seconds, true, || {
            self.shared.acknowledged() >= writes + more && (!readers || self.shared.answered() > reads)
        });
    }

    /// Ends all clients.
    pub fn close(mut self) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        let now = Instant::now();
        let longest = |pulse: &Mutex<Pulse>| pulse.lock().expect("no panic").longest_until(now);
        let (without_writes, without_reads) = (longest(&self.shared.writes), longest(&self.shared.reads));
        self.thread.take().map(JoinHandle::join);
        let count = |counter: &std::sync::atomic::AtomicUsize| counter.load(Ordering::Relaxed);
        let take = |texts: &Mutex<Vec<String>>| std::mem::take(&mut *texts.lock().expect("no panic"));
        Report {
            book: std::mem::take(&mut *self.shared.book.lock().expect("no panic")),
            refused: count(&self.shared.refused),
            reads: count(&self.shared.answers),
            failed_reads: count(&self.shared.failed_reads),
            wrong_reads: take(&self.shared.wrong_reads),
            without_writes,
            without_reads,
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} acknowledged, {} doubtful, {} refused; {} reads, {} failed, {} wrong; {:.1} s without writes, {:.1} s without reads",
            self.book.acknowledged.len(),
            self.book.doubtful.len(),
            self.refused,
            self.reads,
            self.failed_reads,
            self.wrong_reads.len(),
            self.without_writes.as_secs_f64(),
            self.without_reads.as_secs_f64(),
        )
    }
}

/// Whether a stop was asked for.
fn stops(stop: &AtomicBool) -> bool {
    stop.load(Ordering::Relaxed)
}
