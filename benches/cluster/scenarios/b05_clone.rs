//! Three replicas more of a cluster with 2 GB of data.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::scaling::{Bare, has, remove_and_sync, scale, scale_words};
use crate::contest::{Contestant, interleave};
use crate::place;
use crate::process::{Ending, docker, run, wait_until};
use crate::record::Findings;
use crate::stack::{Kind, Stack};
use crate::wire::Session;

const STREAMS: &str = "streams";
const DISK: &str = "3 × cp, sync: the disk";
const BASEBACKUP: &str = "pgcluster";
const COPY: &str = "pgcluster --clone=copy";

pub fn measure(runs: usize, found: &mut Findings) -> Result<()> {
    let stack = Stack::fresh(Kind::Pgcluster, 0)?;
    stack.up()?;
    fill(&stack)?;
    let clones = has(&stack, &["scale"], "--clone");
    let basebackup: &[&str] = if clones { &["--clone=basebackup"] } else { &[] };
    found.note(format!(
        "pgcluster: `{}`.",
        scale_words(&stack, "3", basebackup).join(" ")
    ));
    let bare = Bare::new(&stack, 3);
    let bare_name = bare.name();
    let disk = Disk {
        stack: &stack,
        folder: None,
    };
    let mut contestants: Vec<Box<dyn Contestant + '_>> = vec![
        Box::new(ThreeMore {
            name: BASEBACKUP,
            stack: &stack,
            options: basebackup,
        }),
        Box::new(bare),
        Box::new(disk),
    ];
    if clones {
        contestants.push(Box::new(ThreeMore {
            name: COPY,
            stack: &stack,
            options: &["--clone=copy"],
        }));
    } else {
        found.note("`--clone=copy` does not exist in this version.");
    }
    interleave(runs, &mut contestants, found);
    drop(contestants);
    stack.remove()?;

    let ratio = found.ratio(BASEBACKUP, &bare_name, STREAMS);
    found.at_most("+3 replicas on 2 GB / three bare pg_basebackups", ratio, 1.1, "×");
    let ratio = found.median(COPY, STREAMS) / found.median(DISK, "written");
    found.at_most(
        "the same with `--clone=copy` / what the disk can do",
        ratio,
        1.2,
        "×",
    );
    Ok(())
}

/// 2 GB of rows that hardly compress, in a table that needs no vacuum, and on the disk.
fn fill(stack: &Stack) -> Result<()> {
    let container = stack.container("postgres-master")?;
    let sql = "CREATE TABLE filler AS SELECT n, repeat(md5(n::text), 30) AS text FROM generate_series(1, 2000000) n";
    for sql in [sql, "CHECKPOINT"] {
        let psql = [
            "exec",
            "--user=postgres",
            &container,
            "psql",
            "-Xq",
            "-U",
            "postgresadmin",
            "-c",
            sql,
            "postgresdb",
        ];
        docker(psql)?;
    }
    Ok(())
}

struct ThreeMore<'a> {
    name: &'static str,
    stack: &'a Stack,
    options: &'a [&'a str],
}

impl Contestant for ThreeMore<'_> {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn go(&mut self) -> Result<Vec<(String, f64)>> {
        let mut master = Session::new(self.stack.master);
        master.value("SELECT 1")?;
        let start = Instant::now();
        let ending = Ending::of(scale(self.stack, 3, self.options), start)?;
        wait_until(
            "three replicas stream",
            Duration::from_secs(240),
            Duration::from_millis(50),
            || master.replaying().len() == 3,
        )?;
        let streams = start.elapsed().as_secs_f64();
        let ended = ending.wait()?;
        Ok(vec![
            (STREAMS.to_owned(), streams),
            ("command ends".to_owned(), ended),
        ])
    }

    fn tear_down(&mut self, _found: &mut Findings) -> Result<()> {
        run(&mut scale(self.stack, 0, &[]))?;
        let folders = [1, 2, 3].map(|n| self.stack.folder.join(format!("slave-{n}/pgdata")));
        remove_and_sync(&folders)
    }
}

/// Three copies of the master's data directory at once, until they are on the disk.
struct Disk<'a> {
    stack: &'a Stack,
    folder: Option<PathBuf>,
}

impl Contestant for Disk<'_> {
    fn name(&self) -> String {
        DISK.to_owned()
    }

    fn prepare(&mut self) -> Result<()> {
        self.folder = Some(place::fresh("disk")?);
        Ok(())
    }

    fn go(&mut self) -> Result<Vec<(String, f64)>> {
        let Some(folder) = &self.folder else {
            return Ok(Vec::new());
        };
        // Timed inside, so that the container's own start does not count for the disk.
        let script = format!(
            "cd '{}'; start=$EPOCHREALTIME; for n in 1 2 3; do cp -r '{}/master/pgdata/base' $n & done; wait; \
             sync -f .; echo $start $EPOCHREALTIME",
            folder.display(),
            self.stack.folder.display()
        );
        let times = place::as_root(&script)?;
        let times: Vec<f64> = times.split(' ').filter_map(|time| time.parse().ok()).collect();
        Ok(vec![("written".to_owned(), times[1] - times[0])])
    }

    fn tear_down(&mut self, _found: &mut Findings) -> Result<()> {
        remove_and_sync(self.folder.take().as_slice())
    }
}
