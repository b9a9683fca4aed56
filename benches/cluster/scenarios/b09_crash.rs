//! The master is killed under load: how long until a write goes through the pool again?

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::load::Client;
use crate::contest::{Contestant, interleave};
use crate::place;
use crate::process::{docker, wait_until};
use crate::record::Findings;
use crate::stack::{Kind, Stack};
use crate::wire::Session;

const WHAT: &str = "first write";
const BARE: &str = "bare PostgreSQL, docker start";
const NAP: Duration = Duration::from_millis(20);
/// Docker waits longer and longer before it starts a container again that lived for less than ten seconds.
const LOAD: Duration = Duration::from_secs(11);

pub fn measure(runs: usize, found: &mut Findings) -> Result<()> {
    let stack = Stack::fresh(Kind::Pgcluster, 3)?;
    stack.up()?;
    let client = Client::start("load", None)?;
    let bare_port = place::ports(1);
    let bare = start_bare(bare_port)?;
    let master = stack.container("postgres-master")?;
    for port in [stack.master, bare_port] {
        client.pgbench("127.0.0.1", port, &["-i", "-q", "-s", "5"])?;
        Session::new(port).ask("CREATE TABLE proof (at timestamptz)")?;
    }
    found.note(
        "pgcluster's server is killed from inside its container (`kill -KILL -1`), as after `docker kill` Docker starts \
         nothing again; the bare one by `docker kill`, and `docker start` follows at once.",
    );
    // All at once: init, which is told by its child's end, goes too.
    let kill = || docker(["exec", "--user=postgres", &master, "bash", "-c", "kill -KILL -1"]);
    let killed_inside = move || {
        // The command dies with the container.
        let _ = kill();
        Ok(())
    };
    let restarted = || {
        docker(["kill", &bare])
            .and_then(|_| docker(["start", &bare]))
            .map(drop)
    };
    let mut contestants: Vec<Box<dyn Contestant + '_>> = vec![
        Box::new(Crash {
            name: Kind::Pgcluster.name(),
            client: &client,
            port: stack.pool,
            kill: Box::new(killed_inside),
        }),
        Box::new(Crash {
            name: BARE,
            client: &client,
            port: bare_port,
            kill: Box::new(restarted),
        }),
    ];
    interleave(runs, &mut contestants, found);
    drop(contestants);
    stack.remove()?;
    place::remove_containers()?;

    let ratio = found.ratio(Kind::Pgcluster.name(), BARE, WHAT);
    found.at_most(
        "first write after a crash, through the pool / bare",
        ratio,
        1.5,
        "×",
    );
    let ours = found.median(Kind::Pgcluster.name(), WHAT);
    found.at_most("first write through the pool after a crash", ours, 5.0, "s");
    Ok(())
}

fn start_bare(port: u16) -> Result<String> {
    let folder = place::fresh("postgres")?;
    let publish = format!("127.0.0.1:{port}:5432");
    let mount = format!("{}:/node", folder.display());
    let script = "initdb -D /node/pgdata -U postgresadmin --auth=trust >/dev/null; \
        echo 'host all all all trust' >>/node/pgdata/pg_hba.conf; \
        echo 'CREATE DATABASE postgresdb;' | postgres --single -D /node/pgdata postgres >/dev/null; ";
    let serve = "exec postgres -D /node/pgdata -c listen_addresses='*' -c unix_socket_directories=/tmp \
        -c wal_level=logical -c max_wal_size=2GB -c max_connections=250 -c wal_compression=on";
    let script = format!("[ -e /node/pgdata ] || {{ {script} }}; {serve}");
    let name = place::run_container(
        "postgres",
        &[
            "--publish",
            &publish,
            "--volume",
            &mount,
            "--user=postgres",
            "--entrypoint=bash",
            "--stop-signal=SIGINT",
            &place::images().node,
            "-c",
            &script,
        ],
    )?;
    let mut session = Session::new(port);
    wait_until("the bare server", Duration::from_secs(30), NAP * 5, || {
        session.value("SELECT 1").is_ok()
    })?;
    Ok(name)
}

struct Crash<'a> {
    name: &'static str,
    client: &'a Client,
    port: u16,
    /// And, where nobody else does it, starts it again.
    kill: Box<dyn FnMut() -> Result<()> + Send + 'a>,
}

impl Contestant for Crash<'_> {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn prepare(&mut self) -> Result<()> {
        self.client
            .load("127.0.0.1", self.port, &["-n", "-c", "8", "-T", "600"])?;
        sleep(LOAD);
        Ok(())
    }

    fn go(&mut self) -> Result<Vec<(String, f64)>> {
        let start = Instant::now();
        let port = self.port;
        std::thread::scope(|scope| {
            let kill = scope.spawn(|| {
                let result = (self.kill)();
                result.map(|()| start.elapsed())
            });
            // Not before it is dead: a write then would be one of before.
            wait_until("the server dies", Duration::from_secs(10), NAP, || {
                Session::new(port)
                    .ask("INSERT INTO proof VALUES (now())")
                    .is_err()
            })?;
            wait_until("a write", Duration::from_secs(60), NAP, || {
                Session::new(port).ask("INSERT INTO proof VALUES (now())").is_ok()
            })?;
            let took = start.elapsed().as_secs_f64();
            kill.join().expect("it cannot panic")?;
            Ok(vec![(WHAT.to_owned(), took)])
        })
    }

    fn tear_down(&mut self, _found: &mut Findings) -> Result<()> {
        self.client.end_load();
        sleep(Duration::from_secs(2));
        Ok(())
    }
}
