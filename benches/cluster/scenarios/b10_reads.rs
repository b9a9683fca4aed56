//! Reads, through the pool in each connection mode, and by other ways to the same servers.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::time::Duration;

use anyhow::Result;

use super::load::{Client, fill};
use crate::contest::{Contestant, interleave};
use crate::place;
use crate::process::{run, wait_until};
use crate::record::Findings;
use crate::stack::{Kind, Stack};

/// Seconds of one cell; pgbench counts from before it connects, which 48 clients need a while for. With seven runs all
/// cells together take a quarter of an hour.
const SECONDS: &str = "2";
const SECONDS_OF_MANY: &str = "3";
const PGPOOL: &str = "bare Pgpool-II";
const PGPOOL_CACHED: &str = "the same, cache on";
const SESSION: &str = "session";
const SESSION_CACHED: &str = "session, QUERY_CACHE=hint";

/// Name and options of pgbench; new connections only with a few clients, as they cost so much more.
const CELLS: [(&str, &[&str]); 7] = [
    ("simple, 1 client", &["-S", "-M", "simple", "-c", "1"]),
    ("simple, 8 clients", &["-S", "-M", "simple", "-c", "8"]),
    ("simple, 48 clients", &["-S", "-M", "simple", "-c", "48"]),
    ("prepared, 1 client", &["-S", "-M", "prepared", "-c", "1"]),
    ("prepared, 8 clients", &["-S", "-M", "prepared", "-c", "8"]),
    ("prepared, 48 clients", &["-S", "-M", "prepared", "-c", "48"]),
    (
        "connecting each time, 8 clients",
        &["-S", "-M", "simple", "-c", "8", "-C"],
    ),
];

const SHORT: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = 4711;";
const LONG: &str = "SELECT count(*) FROM pgbench_accounts WHERE aid BETWEEN 1 AND 30000;";
const HINT: &str = "/*FORCE QUERY CACHE*/ ";

/// Name, file and text of the same reads again and again.
const REPEATED: [(&str, &str, &str, &str); 4] = [
    ("one row again and again", "/tmp/short", "", SHORT),
    (
        "one row again and again, cached",
        "/tmp/short-cached",
        HINT,
        SHORT,
    ),
    ("a count again and again", "/tmp/long", "", LONG),
    ("a count again and again, cached", "/tmp/long-cached", HINT, LONG),
];

pub fn measure(runs: usize, found: &mut Findings) -> Result<()> {
    let stack = Stack::fresh(Kind::Pgcluster, 3)?;
    run(&mut stack.pgcluster(&["generate", "3"]))?;
    for file in [
        "slave-template/config/postgresql.conf",
        "master/config/postgresql.conf",
    ] {
        // Room for the connections that the other pools keep to the same servers.
        let mut file = OpenOptions::new().append(true).open(stack.folder.join(file))?;
        writeln!(file, "max_connections = 600")?;
    }
    stack.up()?;
    let network = stack.network();
    let client = Client::start("pgbench", Some(&network))?;
    let host = Client::start("pgbench-host", None)?;
    fill(&host, &stack, 10)?;
    for (_, file, hint, sql) in REPEATED {
        client.write(file, &format!("{hint}{sql}"))?;
    }
    start_bare("pgpool", "pgpool", &[], &network)?;
    start_bare("pgpool-cached", "pgpool", &["cached"], &network)?;
    start_bare("pgbouncer", "pgbouncer", &[], &network)?;

    let direct = |name, host| Reads {
        name,
        host,
        mode: None,
        cache: "off",
        stack: &stack,
        client: &client,
    };
    let mode = |name, host| Reads {
        mode: Some(name),
        ..direct(name, host)
    };
    let pool = || "pgpool-loadbalancer".to_owned();
    let mut contestants: Vec<Box<dyn Contestant + '_>> = vec![
        Box::new(direct("PostgreSQL directly", "postgres-slave1".to_owned())),
        Box::new(direct(PGPOOL, place::container_name("pgpool"))),
        Box::new(direct(PGPOOL_CACHED, place::container_name("pgpool-cached"))),
        Box::new(direct("bare PgBouncer", place::container_name("pgbouncer"))),
        Box::new(mode(SESSION, pool())),
        Box::new(Reads {
            name: SESSION_CACHED,
            cache: "hint",
            ..mode(SESSION, pool())
        }),
        Box::new(mode("transaction", "pgbouncer".to_owned())),
        Box::new(mode("statement", "pgbouncer".to_owned())),
    ];
    interleave(runs, &mut contestants, found);
    drop(contestants);
    place::remove_containers()?;
    stack.remove()?;
    judge(found);
    Ok(())
}

fn judge(found: &mut Findings) {
    found.note(
        "pgbench from a container on the cluster's network; the bare ones use the cluster's own servers: PgBouncer and \
         the direct one a replica, Pgpool-II all nodes. Bare Pgpool-II has the package's configuration and what it does \
         not run or balance without: addresses, weights, logins, and 64 children, as with its 32 the clients of 48 wait \
         for ever. `cache on`: those who ask for its query cache by a comment get it, as from QUERY_CACHE=hint.",
    );
    found.note(
        "`session`, `transaction` and `statement` are pgcluster's pool in that CONNECTION_MODE, as it comes: with \
         QUERY_CACHE=off.",
    );
    for (cell, _) in CELLS {
        for (ours, theirs, text) in [
            (SESSION, PGPOOL, "as it comes / bare Pgpool-II"),
            (
                SESSION_CACHED,
                PGPOOL_CACHED,
                "QUERY_CACHE=hint / bare Pgpool-II with its cache",
            ),
        ] {
            let ratio = found.ratio(ours, theirs, cell);
            found.at_least(&format!("{cell}, session mode: {text}"), ratio, 1.0, "×");
        }
    }
    for repeated in REPEATED.chunks(2) {
        let gain = found.median(SESSION_CACHED, repeated[1].0) / found.median(SESSION_CACHED, repeated[0].0);
        found.note(format!(
            "The query cache makes {} {gain:.1} times as fast.",
            repeated[0].0
        ));
    }
}

/// Pgpool-II or PgBouncer as it is shipped, on the cluster's network; `options` are those of its script.
fn start_bare(name: &str, program: &str, options: &[&str], network: &str) -> Result<()> {
    let folder = place::fresh(name)?;
    let script = format!("{program}.sh");
    let from = format!("{}/benches/bare/{script}", env!("CARGO_MANIFEST_DIR"));
    fs::copy(from, folder.join(&script))?;
    fs::write(
        folder.join("pool_passwd"),
        "postgresadmin:TEXTadmin123\npgpool_check:TEXTpoolcheck123\n",
    )?;
    fs::write(folder.join("userlist.txt"), "\"postgresadmin\" \"admin123\"\n")?;
    place::as_root(&format!(
        "cd '{}'; chown postgres pool_passwd userlist.txt; chmod 600 pool_passwd userlist.txt",
        folder.display()
    ))?;
    let script = format!("/node/{script}");
    let words = [&[script.as_str()], options].concat();
    place::run_script(name, &place::images().pool, network, &folder, &words)
}

struct Reads<'a> {
    name: &'static str,
    host: String,
    /// Of the cluster's pool.
    mode: Option<&'static str>,
    cache: &'static str,
    stack: &'a Stack,
    client: &'a Client,
}

impl Contestant for Reads<'_> {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn unit(&self) -> &'static str {
        "reads/s"
    }

    fn prepare(&mut self) -> Result<()> {
        if let Some(mode) = self.mode {
            run(self
                .stack
                .pgcluster(&["up", "--mode", mode])
                .env("QUERY_CACHE", self.cache))?;
        }
        wait_until(
            self.name,
            Duration::from_secs(20),
            Duration::from_millis(500),
            || {
                self.client
                    .pgbench(&self.host, 5432, &["-n", "-S", "-t", "10"])
                    .is_ok()
            },
        )?;
        // The first login of each process of a pool connects to every node; the bare pools have run for a while.
        let warm_up = ["-n", "-S", "-C", "-c", "8", "-j", "2", "-t", "40"];
        self.client.pgbench(&self.host, 5432, &warm_up).map(drop)
    }

    fn go(&mut self) -> Result<Vec<(String, f64)>> {
        let mut cells: Vec<(&str, Vec<&str>)> = CELLS.map(|(name, options)| (name, options.to_vec())).into();
        if self.name == SESSION_CACHED {
            cells.extend(REPEATED.map(|(name, file, _, _)| (name, vec!["-f", file, "-c", "8"])));
        }
        let mut values = Vec::new();
        for (cell, mut options) in cells {
            let threads = if options.contains(&"1") { "1" } else { "2" };
            let seconds = if options.contains(&"48") {
                SECONDS_OF_MANY
            } else {
                SECONDS
            };
            options.extend(["-n", "-j", threads, "-T", seconds]);
            values.push((cell.to_owned(), self.client.rate(&self.host, 5432, &options)?));
        }
        Ok(values)
    }
}
