//! What the benchmarks of scaling share: the command that does it, and replicas made by hand.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::contest::Contestant;
use crate::place;
use crate::process::{run, wait_until};
use crate::record::Findings;
use crate::stack::Stack;
use crate::wire::Session;

/// Whether the program has the command, or the option of a command.
pub fn has(stack: &Stack, words: &[&str], option: &str) -> bool {
    run(&mut stack.pgcluster(&[words, &["--help"]].concat())).is_ok_and(|help| help.contains(option))
}

/// The words that bring a cluster to so many replicas.
pub fn scale_words(stack: &Stack, replicas: &str, options: &[&str]) -> Vec<String> {
    let words = match has(stack, &["scale"], "pgcluster scale") {
        true => vec!["scale", replicas],
        false => vec!["up", "--replicas", replicas],
    };
    words
        .iter()
        .chain(options)
        .map(|word| (*word).to_owned())
        .collect()
}

pub fn scale(stack: &Stack, replicas: u16, options: &[&str]) -> Command {
    let words = scale_words(stack, &replicas.to_string(), options);
    stack.pgcluster(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Replicas of a running cluster by `docker run` and a bare `pg_basebackup`, all at once.
pub struct Bare<'a> {
    stack: &'a Stack,
    count: usize,
    runs: usize,
    folders: Vec<PathBuf>,
}

impl Bare<'_> {
    pub fn new(stack: &Stack, count: usize) -> Bare<'_> {
        Bare {
            stack,
            count,
            runs: 0,
            folders: Vec::new(),
        }
    }

    fn replica(&self, number: usize) -> String {
        format!("bare{}x{number}", self.runs)
    }
}

impl Contestant for Bare<'_> {
    fn name(&self) -> String {
        match self.count {
            1 => "docker run, pg_basebackup".to_owned(),
            count => format!("{count} × docker run, pg_basebackup"),
        }
    }

    fn prepare(&mut self) -> Result<()> {
        self.runs += 1;
        self.folders.clear();
        for _ in 0..self.count {
            let folder = place::fresh("bare")?;
            fs::copy(
                concat!(env!("CARGO_MANIFEST_DIR"), "/benches/bare/replica.sh"),
                folder.join("replica.sh"),
            )?;
            // In a file, as anywhere else; the server's own user must own it.
            fs::write(folder.join("pgpass"), "*:*:*:replication_user:password\n")?;
            place::as_root(&format!(
                "cd {}; chown postgres pgpass; chmod 600 pgpass",
                folder.display()
            ))?;
            self.folders.push(folder);
        }
        Ok(())
    }

    fn go(&mut self) -> Result<Vec<(String, f64)>> {
        let mut master = Session::new(self.stack.master);
        master.value("SELECT 1")?;
        let network = self.stack.network();
        let wanted: Vec<String> = (0..self.count).map(|number| self.replica(number)).collect();
        let start = Instant::now();
        std::thread::scope(|scope| {
            let starting: Vec<_> = self
                .folders
                .iter()
                .zip(&wanted)
                .map(|(folder, name)| {
                    let (network, image) = (&network, &place::images().node);
                    let script = ["/node/replica.sh", name];
                    scope.spawn(move || place::run_script(name, image, network, folder, &script))
                })
                .collect();
            starting
                .into_iter()
                .try_for_each(|thread| thread.join().expect("it cannot panic"))
        })?;
        wait_until(
            "bare replicas stream",
            Duration::from_secs(240),
            Duration::from_millis(50),
            || {
                let replaying = master.replaying();
                wanted.iter().all(|name| replaying.contains(name))
            },
        )?;
        Ok(vec![("streams".to_owned(), start.elapsed().as_secs_f64())])
    }

    fn tear_down(&mut self, _found: &mut Findings) -> Result<()> {
        place::remove_containers()?;
        if self.count > 1 {
            // Gigabytes.
            remove_and_sync(&self.folders)?;
        }
        Ok(())
    }
}

/// Not within a timed part, and with time for the disk afterwards.
pub fn remove_and_sync(folders: &[PathBuf]) -> Result<()> {
    let names: Vec<String> = folders
        .iter()
        .map(|folder| format!("'{}'", folder.display()))
        .collect();
    place::as_root(&format!("rm -rf {}; sync", names.join(" ")))?;
    std::thread::sleep(Duration::from_secs(1));
    Ok(())
}
