//! `down` while twenty clients write through the pool, and whether every server came to an orderly end.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::load::{Client, fill};
use crate::contest::{Contestant, interleave};
use crate::place;
use crate::process::log;
use crate::record::Findings;
use crate::stack::{Kind, Stack};

const WHAT: &str = "down";
const REPLICAS: u16 = 3;

pub fn measure(runs: usize, found: &mut Findings) -> Result<()> {
    let busy = Stack::fresh(Kind::Pgcluster, REPLICAS)?;
    let client = Client::start("busy", None)?;
    let mut crashes = Vec::new();
    let floor = Floor {
        stack: Stack::fresh(Kind::Sleeps, REPLICAS)?,
    };
    let mut contestants: Vec<Box<dyn Contestant + '_>> = vec![
        Box::new(Busy {
            stack: &busy,
            client: &client,
            is_filled: false,
            crashes: &mut crashes,
        }),
        Box::new(floor),
    ];
    interleave(runs, &mut contestants, found);
    drop(contestants);
    busy.remove()?;
    place::remove_containers()?;

    let ratio = found.ratio(Kind::Pgcluster.name(), Kind::Sleeps.name(), WHAT);
    found.at_most(
        "`down` with 20 busy clients / of five sleeping containers",
        ratio,
        1.5,
        "×",
    );
    found.at_most("crash recoveries", crashes.len() as f64, 0.0, "");
    for crash in crashes {
        found.note(crash);
    }
    Ok(())
}

struct Busy<'a> {
    stack: &'a Stack,
    client: &'a Client,
    is_filled: bool,
    /// Servers that were not shut down in order.
    crashes: &'a mut Vec<String>,
}

impl Contestant for Busy<'_> {
    fn name(&self) -> String {
        Kind::Pgcluster.name().to_owned()
    }

    fn prepare(&mut self) -> Result<()> {
        self.stack.up()?;
        let log = log(&self.stack.container("postgres-master")?)?;
        for sign in ["was not properly shut down", "was interrupted"] {
            if let Some(line) = log.lines().find(|line| line.contains(sign)) {
                self.crashes.push(line.to_owned());
            }
        }
        if !self.is_filled {
            fill(self.client, self.stack, 1)?;
            self.is_filled = true;
        }
        self.client.load(
            "127.0.0.1",
            self.stack.pool,
            &["-n", "-c", "20", "-j", "2", "-T", "600"],
        )?;
        sleep(Duration::from_secs(2));
        Ok(())
    }

    fn go(&mut self) -> Result<Vec<(String, f64)>> {
        Ok(vec![(WHAT.to_owned(), self.stack.down()?)])
    }

    fn tear_down(&mut self, _found: &mut Findings) -> Result<()> {
        self.client.end_load();
        let script = format!(
            "cd '{}'; for node in master slave-*; do \
             /usr/lib/postgresql/17/bin/pg_controldata -D $node/pgdata | grep 'cluster state' | sed \"s/^/$node: /\"; done",
            self.stack.folder.display()
        );
        let states = place::as_root(&script)?;
        let bad = states.lines().filter(|line| !line.contains("shut down"));
        self.crashes.extend(bad.map(str::to_owned));
        Ok(())
    }
}

struct Floor {
    stack: Stack,
}

impl Contestant for Floor {
    fn name(&self) -> String {
        Kind::Sleeps.name().to_owned()
    }

    fn prepare(&mut self) -> Result<()> {
        self.stack.up().map(drop)
    }

    fn go(&mut self) -> Result<Vec<(String, f64)>> {
        Ok(vec![(WHAT.to_owned(), self.stack.down()?)])
    }
}
