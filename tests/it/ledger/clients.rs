//! The clients of the ledger, all in one thread.

use std::future::Future;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::book::{Book, Entry, Pulse, Sees, Sight};
use super::{Load, stops};
use crate::cluster::{Login, reason};

/// A login or a statement without an answer is given up, and so is its connection: where packets vanish, none comes.
const LIMIT: Duration = Duration::from_secs(10);

/// Between two attempts of a client that failed.
const PAUSE: Duration = Duration::from_millis(50);

/// What a client does in one session: others log in all the time too.
const A_SESSION: usize = 50;

/// What the clients have in common with who started them.
pub struct Shared {
    pub load: Load,
    pub stop: AtomicBool,
    /// The number of the run: the table takes no row of another.
    run: u32,
    pub book: Mutex<Book>,
    pub refused: AtomicUsize,
    pub answers: AtomicUsize,
    pub failed_reads: AtomicUsize,
    pub wrong_reads: Mutex<Vec<String>>,
    pub writes: Mutex<Pulse>,
    pub reads: Mutex<Pulse>,
    /// By writer, the last step that it may have sent.
    sent: Vec<AtomicU64>,
    /// By writer, the last step whose COMMIT has returned.
    committed: Vec<AtomicU64>,
}

impl Shared {
    pub fn new(load: Load, run: u32) -> Shared {
        let pulse = || Mutex::new(Pulse::new(Instant::now()));
        let steps = || (0..load.writers).map(|_| AtomicU64::new(0)).collect();
        Shared {
            load,
            run,
            stop: AtomicBool::new(false),
            book: Mutex::default(),
            refused: AtomicUsize::new(0),
            answers: AtomicUsize::new(0),
            failed_reads: AtomicUsize::new(0),
            wrong_reads: Mutex::default(),
            writes: pulse(),
            reads: pulse(),
            sent: steps(),
            committed: steps(),
        }
    }

    fn enter(&self, entry: Entry, returned: bool) {
        let mut book = self.book.lock().expect("no panic");
        if returned {
            book.acknowledged.insert(entry);
            self.committed[entry.writer as usize].store(entry.step, Ordering::SeqCst);
            self.writes.lock().expect("no panic").beat(Instant::now());
        } else {
            // Even an error may have come after the commit: that of a server that stops while it waits for a replica.
            book.doubtful.insert(entry);
        }
    }

    fn note(&self, why: Wrong) {
        if let Wrong::Answer(text) = why {
            self.wrong_reads.lock().expect("no panic").push(text);
        }
        self.failed_reads.fetch_add(1, Ordering::Relaxed);
    }

    pub fn acknowledged(&self) -> usize {
        self.book.lock().expect("no panic").acknowledged.len()
    }

    pub fn answered(&self) -> usize {
        self.answers.load(Ordering::Relaxed)
    }
}

/// Works until it is told to stop, whatever fails.
pub fn work(shared: &Shared, login: &Login) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let writers = join_all((0..shared.load.writers).map(|number| writer(shared, login, number)));
        let readers = join_all((0..shared.load.readers).map(|number| reader(shared, login, number)));
        tokio::join!(writers, readers);
    });
}

async fn bounded<T>(future: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, String> {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(result) => result.map_err(|error| reason(&error)),
        Err(_) => Err("no answer".to_owned()),
    }
}

async fn writer(shared: &Shared, login: &Login, number: u32) {
    let in_blocks = shared.load.in_blocks && number % 2 == 1;
    let mut step = 0;
    while !stops(&shared.stop) {
        let Ok(client) = bounded(login.client()).await else {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let mut sight = Sight::default();
        for _ in 0..A_SESSION {
            if stops(&shared.stop) {
                return;
            }
            step += 1;
            let entry = Entry { writer: number, step };
            // Before it can be seen, or a reader would call it invented.
            shared.sent[number as usize].store(step, Ordering::SeqCst);
            let result = insert(&client, shared.run, entry, in_blocks).await;
            shared.enter(entry, result.is_ok());
            if result.is_err() {
                break;
            }
            if shared.load.sees != Sees::Anything
                && let Err(why) = look(shared, &client, (Whose::Own, number), &mut sight).await
            {
                shared.note(why);
                break;
            }
        }
    }
}

async fn insert(client: &Client, run: u32, entry: Entry, in_block: bool) -> Result<(), String> {
    let Entry { writer, step } = entry;
    let insert = format!(
        "INSERT INTO ledger VALUES ({run}, {writer}, {step}, '{}')",
        entry.note()
    );
    if in_block {
        bounded(client.simple_query("BEGIN")).await?;
        bounded(client.simple_query(&insert)).await?;
        bounded(client.simple_query("COMMIT")).await?;
    } else {
        bounded(client.simple_query(&insert)).await?;
    }
    Ok(())
}

async fn reader(shared: &Shared, login: &Login, number: u32) {
    let mut turn = number;
    while !stops(&shared.stop) {
        if let Err(why) = read_on(shared, login, &mut turn).await {
            shared.note(why);
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Of whom the entries are that a session looks for.
#[derive(Clone, Copy)]
enum Whose {
    Own,
    Anyones,
}

enum Wrong {
    /// Something that no reader may see.
    Answer(String),
    /// None came.
    Nothing,
}

async fn read_on(shared: &Shared, login: &Login, turn: &mut u32) -> Result<(), Wrong> {
    let client = bounded(login.client()).await.map_err(|_| Wrong::Nothing)?;
    let mut sight = Sight::default();
    for _ in 0..A_SESSION {
        if stops(&shared.stop) {
            break;
        }
        let writer = *turn % shared.load.writers;
        *turn = turn.wrapping_add(1);
        look(shared, &client, (Whose::Anyones, writer), &mut sight).await?;
        shared.answers.fetch_add(1, Ordering::Relaxed);
        shared.reads.lock().expect("no panic").beat(Instant::now());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Reads the newest entry of a writer, and holds it against what this session may see and must.
async fn look(
    shared: &Shared,
    client: &Client,
    (whose, writer): (Whose, u32),
    sight: &mut Sight,
) -> Result<(), Wrong> {
    // Taken before the question is sent: what is committed later may be in the answer or not.
    let promised = shared.committed[writer as usize].load(Ordering::SeqCst);
    let sql = format!("SELECT step, note FROM ledger WHERE writer = {writer} ORDER BY step DESC LIMIT 1");
    let messages = bounded(client.simple_query(&sql)).await;
    let messages = messages.map_err(|_| Wrong::Nothing)?;
    let sent = shared.sent[writer as usize].load(Ordering::SeqCst);
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((row.get(0)?.parse().ok()?, row.get(1)?.to_owned())),
        _ => None,
    });
    let (step, note) = row.unwrap_or((0, Entry { writer, step: 0 }.note()));
    let newest = Entry { writer, step };
    if step > sent || note != newest.note() {
        return Err(Wrong::Answer(format!(
            "{note} at {step} of writer {writer}, who has sent {sent}"
        )));
    }
    match (shared.load.sees, whose) {
        (Sees::Everything, _) | (Sees::ItsOwn, Whose::Own) => {
            sight.look(newest, promised).map_err(Wrong::Answer)
        }
        _ => Ok(()),
    }
}
