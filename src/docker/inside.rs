//! Commands that run inside a container of the cluster.

use std::ffi::OsString;

use super::docker;
use crate::process::Argv;

/// A command of Pgpool's control protocol, run inside the pool's container, where its password is.
pub fn pcp(container: &str, command: &str, options: &[&str]) -> Argv {
    docker()
        .and([
            "exec",
            container,
            command,
            "-h",
            "/run/pgcluster",
            "-U",
            "pcp",
            "-w",
        ])
        .and(options.iter().copied())
}

/// Has Pgpool-II take a node in (`attach`) or out (`detach`).
pub fn pool_node(container: &str, verb: &str, id: u32) -> Argv {
    docker()
        .and(["exec", "--user", "postgres", container, "bash"])
        .and(["/pool/pool-node.sh", verb, &id.to_string()])
}

/// What the watcher beside Pgpool-II thinks of the nodes, run inside the pool's container.
pub fn watcher_report(container: &str) -> Argv {
    docker().and(["exec", container, "bash", "/pool/pool-watch.sh", "report"])
}

/// Runs `words` as `postgres` in a container, with our standard input; `terminal` says that this is a terminal.
pub fn exec(container: &str, terminal: bool, variables: &[(&str, &str)], words: &[OsString]) -> Argv {
    let mut argv = docker().and(["exec", "--interactive"]);
    if terminal {
        argv = argv.and(["--tty"]);
    }
    for (name, value) in variables {
        argv = argv.and(["--env".to_owned(), format!("{name}={value}")]);
    }
    argv.and(["--user", "postgres", container]).and(words)
}

/// A question to PgBouncer's console, which lets its own user in over the socket without a password.
pub fn bouncer_console(container: &str, sql: &str) -> Argv {
    docker()
        .and(["exec", "--user", "postgres", container, "psql", "-XA"])
        .and(["-h", "/run/pgcluster", "-p", "5432", "-U", "pgbouncer"])
        .and(["-d", "pgbouncer", "-c", sql])
}

/// Makes PgBouncer close the connections that it has now, each when no client is using it; ends when all are gone, or
/// after `limit` seconds.
pub fn bouncer_renew(container: &str, limit: u64) -> Argv {
    docker()
        .and(["exec", "--user", "postgres", container, "bash"])
        .and(["/bouncer/pool-sessions.sh", "servers", &limit.to_string()])
}

/// Waits, `limit` seconds at most, until the nodes `detached`, which are being detached, are out of Pgpool-II, and then
/// until every login that is going on is over: each connects to every node that was up when it began.
pub fn logins_over(container: &str, limit: u64, detached: &[u32]) -> Argv {
    docker()
        .and(["exec", container, "bash"])
        .and(["/pool/pool-sessions.sh", "logins", &limit.to_string()])
        .and(detached.iter().map(u32::to_string))
}

/// A Perl program with these arguments, as `postgres` in a container, with our standard input.
pub fn perl(container: &str, program: &str, words: &[String]) -> Argv {
    docker()
        .and(["exec", "--interactive", "--user", "postgres", container])
        .and(["perl", "-e", program, "--"])
        .and(words)
}

/// Clients that are connected, and those of them that wait, from PgBouncer's `SHOW POOLS`.
pub fn parse_bouncer_pools(output: &str) -> Option<(u32, u32)> {
    let mut lines = output.lines();
    let head: Vec<&str> = lines.next()?.split('|').collect();
    let column = |name: &str| head.iter().position(|title| *title == name);
    let (database, active, waiting) = (column("database")?, column("cl_active")?, column("cl_waiting")?);
    let mut sums = (0, 0);
    for line in lines {
        let fields: Vec<&str> = line.split('|').collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok());
        // The last line counts the rows; the console's own pool is this question.
        let (Some(now), Some(waits)) = (number(active), number(waiting)) else {
            continue;
        };
        if fields[database] != "pgbouncer" {
            sums = (sums.0 + now + waits, sums.1 + waits);
        }
    }
    Some(sums)
}

/// A connection to the server inside a container, as the process's standard streams: it needs no published port.
/// When either side closes, so does the other.
pub fn tunnel(container: &str) -> Argv {
    const SCRIPT: &str =
        "exec 3<>/dev/tcp/127.0.0.1/5432 || exit; cat <&3 & cat <&0 >&3 & wait -n; kill $(jobs -p)";
    docker().and(["exec", "--interactive", container, "bash", "-c", SCRIPT])
}
