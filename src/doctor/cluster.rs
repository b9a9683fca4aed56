//! What running servers say, judged.

use bytesize::ByteSize;

use super::facts::{NodeFacts, Slot};
use super::{About, Check};

/// Longer transactions are seldom meant, and keep dead rows from being removed.
const LONG: f64 = 3600.0;

/// Seconds by which a clock may differ; the way to the server and back is taken into account.
const SKEW: f64 = 2.0;

/// Transaction ids and multixacts after which PostgreSQL soon refuses to write, of 2.1 thousand million.
const NEAR_WRAPAROUND: i64 = 1_500_000_000;

/// A name, what is said where all is well, and what finds trouble on one node.
type Rule = (&'static str, &'static str, fn(&NodeFacts) -> Vec<Check>);

const RULES: &[Rule] = &[
    (
        "collations",
        "all collations have the version they were made with",
        collations,
    ),
    ("checksums", "data checksums are on and found nothing", checksums),
    ("dumps", "pg_dump holds every extension", dumps),
    ("durability", "fsync and full_page_writes are on", durability),
    ("autovacuum", "autovacuum is on", autovacuum),
    ("slots", "every replication slot is in use", slots),
    (
        "transactions",
        "no transaction is older than an hour",
        transactions,
    ),
    (
        "wraparound",
        "transaction ids are far from running out",
        wraparound,
    ),
    ("connections", "connections are far from their limit", connections),
    ("clock", "the clocks of nodes and machine agree", clock),
    ("archiving", "no archiving fails", archiving),
    ("restart", "no setting waits for a restart", pending_restart),
];

/// A row for each rule that every node keeps, and one for each that a node breaks.
pub fn cluster(nodes: &[(String, NodeFacts)]) -> Vec<Check> {
    let rows = RULES.iter().flat_map(|(name, fine, judge)| {
        let found: Vec<Check> = nodes
            .iter()
            .flat_map(|(title, facts)| judge(facts).into_iter().map(|check| check.on(title)))
            .collect();
        match found.is_empty() {
            true => vec![Check::ok(name, About::Cluster, *fine)],
            false => found,
        }
    });
    rows.collect()
}

/// A server that could not be asked.
pub fn silent(title: &str, reason: &str) -> Check {
    let message = format!("could not be asked: {reason}");
    warning("answers", message, "`pgcluster status` shows its state").on(title)
}

fn warning(check: &'static str, message: impl Into<String>, fix: &str) -> Check {
    Check::warning(check, About::Cluster, message, fix)
}

fn error(check: &'static str, message: impl Into<String>, fix: &str) -> Check {
    Check::error(check, About::Cluster, message, fix)
}

fn collations(facts: &NodeFacts) -> Vec<Check> {
    let fix = "rebuild the indexes that sort by it (REINDEX DATABASE), then ALTER DATABASE or COLLATION … REFRESH VERSION";
    let mismatch = |text: &String| warning("collations", format!("{text}: indexes may be out of order"), fix);
    facts.collations.iter().map(mismatch).collect()
}

fn checksums(facts: &NodeFacts) -> Vec<Check> {
    match facts.checksum_failures {
        None => vec![warning(
            "checksums",
            "data checksums are off: a disk that corrupts data goes unnoticed",
            "stop the cluster and run pg_checksums --enable on every node",
        )],
        Some(0) => Vec::new(),
        Some(count) => vec![error(
            "checksums",
            format!(
                "{count} data pages did not match their checksum: the disk or the file system corrupts data"
            ),
            "find out which by pg_amcheck and the log; clone a replica anew from a good node, check the disk",
        )],
    }
}

/// Clusters that an early version of this tool made gave extensions the numbers of what PostgreSQL itself consists of.
fn dumps(facts: &NodeFacts) -> Vec<Check> {
    if facts.undumped.is_empty() || facts.in_recovery {
        return Vec::new();
    }
    let names = facts.undumped.join(", ");
    vec![warning(
        "dumps",
        format!("pg_dump leaves out the extensions {names}"),
        "CREATE EXTENSION them first where a dump is restored to; in a cluster made from now on it holds them",
    )]
}

fn durability(facts: &NodeFacts) -> Vec<Check> {
    let fix = "remove it from postgresql.conf, local.conf or ALTER SYSTEM, then `pgcluster up`";
    let judged = |name: &String| match name.as_str() {
        "fsync" | "full_page_writes" => Some(error(
            "durability",
            format!("{name} is off: a crash of the machine can destroy the data"),
            fix,
        )),
        "synchronous_commit" => Some(warning(
            "durability",
            "synchronous_commit is off: a crash loses the last commits",
            fix,
        )),
        _ => None,
    };
    facts.off.iter().filter_map(judged).collect()
}

fn autovacuum(facts: &NodeFacts) -> Vec<Check> {
    let is_off = |name: &&String| *name == "autovacuum" || *name == "track_counts";
    let off = |name: &String| {
        warning(
            "autovacuum",
            format!("{name} is off: tables grow, and plans get worse"),
            "remove it from postgresql.conf, local.conf or ALTER SYSTEM, then `pgcluster up`",
        )
    };
    facts.off.iter().filter(is_off).map(off).collect()
}

fn slots(facts: &NodeFacts) -> Vec<Check> {
    let unlimited = (facts.slot_limit.is_none() && !facts.slots.is_empty()).then(|| {
        warning(
            "slots",
            "max_slot_wal_keep_size is not set: a replica that stays away fills the disk",
            "set it in postgresql.conf, for example to 4GB",
        )
    });
    let judged = |slot: &Slot| {
        let (name, kept) = (&slot.name, ByteSize(slot.retained.max(0).unsigned_abs()));
        let limit = facts.slot_limit.map_or("without limit".to_owned(), |limit| {
            format!("of {} at most", ByteSize(limit.max(0).unsigned_abs()))
        });
        match slot.wal_status.as_deref() {
            Some("lost") => Some(error(
                "slots",
                format!("slot {name} lost the WAL it needs; who used it has to be made anew"),
                "clone that replica anew (`pgcluster status` says how), or drop the slot",
            )),
            Some("unreserved") => Some(error(
                "slots",
                format!("slot {name} is about to lose its WAL: {kept} kept"),
                "bring back who uses it at once, or raise max_slot_wal_keep_size",
            )),
            _ if !slot.active => Some(warning(
                "slots",
                format!("slot {name} is not in use and keeps {kept} of WAL, {limit}"),
                "start who uses it; if nobody does any more: SELECT pg_drop_replication_slot('NAME')",
            )),
            _ => None,
        }
    };
    // A replica's own slots are kept for those that would follow it.
    let on_primary = facts.slots.iter().filter(|_| !facts.in_recovery);
    unlimited
        .into_iter()
        .filter(|_| !facts.in_recovery)
        .chain(on_primary.filter_map(judged))
        .collect()
}

fn transactions(facts: &NodeFacts) -> Vec<Check> {
    let open = facts.transactions.iter().filter(|open| open.seconds > LONG);
    let open = open.map(|open| {
        let role = open.role.as_deref().unwrap_or("?");
        let state = open.state.as_deref().unwrap_or("?");
        let message = format!(
            "a transaction of {role} ({state}, process {}) is open for {}: dead rows since then cannot be removed",
            open.pid,
            hours(open.seconds)
        );
        warning("transactions", message, "end it in its program, or by SELECT pg_terminate_backend(PROCESS)")
    });
    let prepared = facts.prepared.iter().filter(|prepared| prepared.seconds > LONG);
    let prepared = prepared.map(|prepared| {
        let message = format!(
            "the prepared transaction {} in {} waits for {}, and survives restarts",
            prepared.gid,
            prepared.database,
            hours(prepared.seconds)
        );
        warning(
            "transactions",
            message,
            "COMMIT PREPARED or ROLLBACK PREPARED it in that database",
        )
    });
    open.chain(prepared).collect()
}

fn wraparound(facts: &NodeFacts) -> Vec<Check> {
    let judged = |what: &str, age: i64, limit: i64| {
        let message = format!("the oldest {what} is {age} back; autovacuum should have frozen it at {limit}");
        let fix = "see what holds it: open and prepared transactions, slots; then VACUUM (FREEZE) the oldest tables";
        if age > NEAR_WRAPAROUND {
            Some(error("wraparound", message, fix))
        } else if age > limit.saturating_add(limit / 2) {
            Some(warning("wraparound", message, fix))
        } else {
            None
        }
    };
    [
        judged("transaction id", facts.xid_age, facts.xid_limit),
        judged("multixact", facts.multixact_age, facts.multixact_limit),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn connections(facts: &NodeFacts) -> Vec<Check> {
    let (now, limit) = (facts.connections, facts.max_connections);
    let message = format!("{now} of {limit} connections are in use");
    let fix = "close idle ones, connect through the pool, or raise max_connections in postgresql.conf";
    if u64::from(now) * 100 >= u64::from(limit) * 95 {
        vec![error("connections", message, fix)]
    } else if u64::from(now) * 100 >= u64::from(limit) * 80 {
        vec![warning("connections", message, fix)]
    } else {
        Vec::new()
    }
}

fn clock(facts: &NodeFacts) -> Vec<Check> {
    if facts.skew.abs() <= SKEW {
        return Vec::new();
    }
    let way = if facts.skew > 0.0 { "ahead of" } else { "behind" };
    let message = format!(
        "its clock is {:.0} s {way} that of this machine",
        facts.skew.abs()
    );
    vec![warning(
        "clock",
        message,
        "restart Docker Desktop, or set the clock of the engine's machine (NTP)",
    )]
}

fn archiving(facts: &NodeFacts) -> Vec<Check> {
    let failing = |count: i64| {
        warning(
            "archiving",
            format!("archive_command fails ({count} times so far): WAL piles up until it works"),
            "its log says why: `pgcluster logs master`",
        )
    };
    facts.archive_failures.map(failing).into_iter().collect()
}

fn pending_restart(facts: &NodeFacts) -> Vec<Check> {
    if facts.pending_restart.is_empty() {
        return Vec::new();
    }
    let names = facts.pending_restart.join(", ");
    let fix = "`pgcluster up` restarts what needs it";
    vec![warning(
        "restart",
        format!("new values of {names} wait for a restart"),
        fix,
    )]
}

/// Whether the disk holds what may come: `free` bytes of it, `data` bytes in each node.
///
/// WAL is recycled, so it grows to its limits and no further; a replica that is made anew takes as much as the master.
pub fn disk(free: u64, data: u64, nodes: &[(String, NodeFacts)]) -> Check {
    const ALMOST_NOTHING: u64 = 512 << 20;
    let growth: u64 = nodes
        .iter()
        .map(|(_, facts)| {
            let for_slots = facts.slot_limit.filter(|_| !facts.in_recovery).unwrap_or(0);
            (facts.wal_limit + for_slots - facts.wal).max(0).unsigned_abs()
        })
        .sum();
    let (about, free_text) = (About::Machine, ByteSize(free));
    let fix = "free some space, remove a replica, or lower max_wal_size and max_slot_wal_keep_size";
    if free < ALMOST_NOTHING {
        let message = format!("only {free_text} of disk are free: PostgreSQL stops when it is full");
        Check::error("disk", about, message, fix)
    } else if free < growth {
        let message = format!(
            "{free_text} of disk are free, and the WAL of all nodes may grow by {}",
            ByteSize(growth)
        );
        Check::warning("disk", about, message, fix)
    } else if free - growth < data {
        let message = format!(
            "{free_text} of disk are free: too little to clone a replica anew ({} of data)",
            ByteSize(data)
        );
        Check::warning("disk", about, message, fix)
    } else {
        let message = format!(
            "{free_text} of disk are free; WAL may grow by {}, a new replica takes {}",
            ByteSize(growth),
            ByteSize(data)
        );
        Check::ok("disk", about, message)
    }
}

fn hours(seconds: f64) -> String {
    format!("{:.1} hours", seconds / 3600.0)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
