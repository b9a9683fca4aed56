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

/// Makes PgBouncer open its connections anew, when none of them is logging in: one that is cut then fails the clients
/// that wait for it ("server login has been failing"). Waits five seconds for that at most.
pub fn bouncer_reconnect(container: &str) -> Argv {
    const SCRIPT: &str = "\
        ask() { psql -XA -h /run/pgcluster -p 5432 -U pgbouncer -d pgbouncer -c \"$1\"; }\n\
        for _ in {1..50}; do\n\
          ask 'SHOW POOLS' | awk -F'|' 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == \"sv_login\") at = i }\n\
            NR > 1 { logins += $at } END { exit logins > 0 }' && break\n\
          sleep 0.1\n\
        done\n\
        ask RECONNECT";
    docker()
        .and(["exec", "--user", "postgres", container, "bash", "-c"])
        .and([SCRIPT])
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
