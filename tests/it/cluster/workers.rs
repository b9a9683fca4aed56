//! Many clients that work through the pool at the same time, each in sessions and transactions of its own.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Cluster;
use super::outcome::eventually;
use super::sql::{Login, reason};

/// How they work.
#[derive(Clone, Copy)]
pub struct Work {
    pub workers: usize,
    /// Transactions in a session before the worker says goodbye and comes again.
    pub a_session: usize,
    /// Where BEGIN is refused each statement is a transaction.
    pub in_blocks: bool,
}

/// Workers that go on, whatever fails, until they are stopped.
pub struct Workers {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    done: AtomicUsize,
    /// Why a login or a statement failed; each ends a session.
    failures: Mutex<Vec<String>>,
}

impl Workers {
    pub fn start(cluster: &Cluster, work: Work) -> Workers {
        cluster.sql(
            "master",
            "CREATE TABLE IF NOT EXISTS work (worker int, step bigint)",
        );
        let shared = Arc::<Shared>::default();
        let (its, login) = (Arc::clone(&shared), cluster.login("pool"));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let workers =
                    (0..work.workers).map(|number| worker(Arc::clone(&its), login.clone(), work, number));
                futures_util::future::join_all(workers).await;
            });
        });
        let workers = Workers {
            shared,
            thread: Some(thread),
        };
        workers.go_on();
        workers
    }

    /// All of them together get somewhere.
    #[track_caller]
    pub fn go_on(&self) {
        const STEPS: usize = 100;
        let before = self.shared.done.load(Ordering::Relaxed);
        eventually("the workers go on", 60, true, || {
            self.shared.done.load(Ordering::Relaxed) >= before + STEPS
        });
    }

    /// What failed until now.
    pub fn failures(&self) -> Vec<String> {
        self.shared.failures.lock().expect("no panic").clone()
    }

    /// Ends them, each when its session is over, and gives back what failed.
    pub fn stop(mut self) -> Vec<String> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
        println!("{} transactions", self.shared.done.load(Ordering::Relaxed));
        self.failures()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

/// What failed, where: the stage of the session, and when.
struct Failed {
    stage: &'static str,
    error: tokio_postgres::Error,
}

fn at(stage: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Failed {
    move |error| Failed { stage, error }
}

async fn worker(shared: Arc<Shared>, login: Login, work: Work, number: usize) {
    let started = Instant::now();
    while !shared.stop.load(Ordering::Relaxed) {
        let begun = started.elapsed();
        if let Err(Failed { stage, error }) = session(&shared, &login, work, number).await {
            let why = format!(
                "{stage} at {:.1} s in a session begun at {:.1} s: {}",
                started.elapsed().as_secs_f64(),
                begun.as_secs_f64(),
                reason(&error)
            );
            shared.failures.lock().expect("no panic").push(why);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn session(shared: &Shared, login: &Login, work: Work, number: usize) -> Result<(), Failed> {
    let client = login.client().await.map_err(at("login"))?;
    for step in 0..work.a_session {
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        let insert = format!("INSERT INTO work VALUES ({number}, {step})");
        let read = format!("SELECT count(*) FROM work WHERE worker = {number} AND step > 1000");
        if work.in_blocks {
            client.simple_query("BEGIN").await.map_err(at("begin"))?;
            client.simple_query(&insert).await.map_err(at("insert"))?;
            // The transaction stays open for a moment.
            client
                .simple_query("SELECT pg_sleep(0.03)")
                .await
                .map_err(at("sleep"))?;
            client.simple_query("COMMIT").await.map_err(at("commit"))?;
        } else {
            client.simple_query(&insert).await.map_err(at("insert"))?;
        }
        client.simple_query(&read).await.map_err(at("read"))?;
        shared.done.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
