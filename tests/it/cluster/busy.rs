//! Clients with a prepared statement, as drivers use them, that are at work all the time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::sql::{Login, reason};

/// Who has no answer to a query of 50 ms in this time hangs.
const PATIENCE: Duration = Duration::from_secs(90);

/// While it is answered, every node has long told that it has nothing to do.
const QUERY: &str = "SELECT 1 FROM pg_sleep(0.05)";

pub struct Busy {
    runtime: Runtime,
    clients: Vec<Client>,
}

struct Client {
    /// The node that it reads from.
    reader: String,
    fate: Arc<Mutex<Fate>>,
    task: JoinHandle<()>,
}

#[derive(Clone, Debug, Default)]
struct Fate {
    answers: u32,
    failure: Option<String>,
}

impl Busy {
    /// `count` sessions of `login`, which go on until this is dropped.
    pub fn start(login: &Login, count: usize) -> Busy {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let clients = (0..count).map(|_| runtime.block_on(Client::start(login)));
        let clients = clients.collect();
        Busy { runtime, clients }
    }

    pub fn readers(&self) -> Vec<String> {
        self.clients.iter().map(|client| client.reader.clone()).collect()
    }

    /// Waits until each has had more answers, or is cut; gives back from whom those read that were cut, and why.
    ///
    /// # Panics
    /// One hangs.
    pub fn go_on(&self) -> Vec<String> {
        let before: Vec<u32> = self.fates().into_iter().map(|fate| fate.answers).collect();
        let is_on = |(fate, before): (Fate, &u32)| fate.failure.is_some() || fate.answers > before + 20;
        self.runtime.block_on(async {
            while !self.fates().into_iter().zip(&before).all(is_on) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        let fates = self.clients.iter().zip(self.fates());
        fates
            .filter_map(|(client, fate)| Some(format!("{}: {}", client.reader, fate.failure?)))
            .inspect(|failure| assert!(!failure.contains(HANGS), "{failure}"))
            .collect()
    }

    fn fates(&self) -> Vec<Fate> {
        let fate = |client: &Client| client.fate.lock().expect("no panic").clone();
        self.clients.iter().map(fate).collect()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.clients.iter().for_each(|client| client.task.abort());
    }
}

const HANGS: &str = "no answer";

impl Client {
    async fn start(login: &Login) -> Client {
        let client = login.client().await.expect("a session");
        let row = client
            .query_one("SELECT current_setting('cluster_name')", &[])
            .await
            .expect("a reader");
        let fate = Arc::new(Mutex::new(Fate::default()));
        let told = Arc::clone(&fate);
        let task = tokio::spawn(async move {
            let statement = client.prepare(QUERY).await.expect("a statement");
            loop {
                let answer = tokio::time::timeout(PATIENCE, client.query(&statement, &[])).await;
                let mut fate = told.lock().expect("no panic");
                match answer {
                    Ok(Ok(_)) => fate.answers += 1,
                    Ok(Err(error)) => fate.failure = Some(reason(&error)),
                    Err(_) => fate.failure = Some(HANGS.to_owned()),
                }
                if fate.failure.is_some() {
                    return;
                }
            }
        });
        Client {
            reader: row.get(0),
            fate,
            task,
        }
    }
}
