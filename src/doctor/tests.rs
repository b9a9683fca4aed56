use super::super::Severity;
use super::super::facts::{Prepared, Transaction};
use super::*;

fn healthy() -> NodeFacts {
    NodeFacts {
        checksum_failures: Some(0),
        slot_limit: Some(4 << 30),
        wal_limit: 2 << 30,
        wal: 1 << 30,
        slots: vec![Slot {
            name: "slave1".into(),
            active: true,
            wal_status: Some("reserved".into()),
            retained: 0,
        }],
        xid_limit: 200_000_000,
        multixact_limit: 400_000_000,
        connections: 10,
        max_connections: 200,
        ..NodeFacts::default()
    }
}

/// What is found after `breakage`: `error name: message`, the message's beginning.
fn check(breakage: impl FnOnce(&mut NodeFacts), expected: &[&str]) {
    let mut facts = healthy();
    breakage(&mut facts);
    let found: Vec<String> = cluster(&[("master".into(), facts)])
        .into_iter()
        .filter(|check| check.severity != Severity::Ok)
        .map(|check| {
            assert_eq!(check.node.as_deref(), Some("master"));
            assert!(check.fix.is_some_and(|fix| !fix.is_empty()));
            format!("{:?} {}: {}", check.severity, check.check, check.message)
        })
        .collect();
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn a_healthy_node_has_an_ok_for_each_rule() {
    check(|_| {}, &[]);
    let rows = cluster(&[("master".into(), healthy()), ("slave-1".into(), healthy())]);
    assert_eq!(rows.len(), RULES.len());
}

#[test]
fn what_endangers_data_is_an_error() {
    check(
        |f| f.off = vec!["fsync".into(), "full_page_writes".into()],
        &[
            "Error durability: fsync is off",
            "Error durability: full_page_writes is off",
        ],
    );
    check(
        |f| f.checksum_failures = Some(3),
        &["Error checksums: 3 data pages"],
    );
    check(
        |f| f.checksum_failures = None,
        &["Warning checksums: data checksums are off"],
    );
    check(
        |f| f.off = vec!["synchronous_commit".into()],
        &["Warning durability: synchronous_commit"],
    );
    check(
        |f| f.off = vec!["autovacuum".into()],
        &["Warning autovacuum: autovacuum is off"],
    );
    let undumped = |f: &mut NodeFacts| f.undumped = vec!["timescaledb".into(), "vector".into()];
    check(
        undumped,
        &["Warning dumps: pg_dump leaves out the extensions timescaledb, vector"],
    );
    // The master tells for all.
    check(
        |f| {
            undumped(f);
            f.in_recovery = true;
        },
        &[],
    );
}

#[test]
fn slots_are_judged_by_what_they_keep() {
    fn slot(f: &mut NodeFacts, active: bool, status: &str) {
        f.slots[0].active = active;
        f.slots[0].retained = 1 << 30;
        f.slots[0].wal_status = Some(status.into());
    }
    check(
        |f| slot(f, false, "extended"),
        &["Warning slots: slot slave1 is not in use and keeps 1.0 GiB of WAL, of 4.0 GiB at most"],
    );
    check(
        |f| slot(f, true, "unreserved"),
        &["Error slots: slot slave1 is about to lose"],
    );
    check(
        |f| slot(f, false, "lost"),
        &["Error slots: slot slave1 lost the WAL"],
    );
    check(
        |f| f.slot_limit = None,
        &["Warning slots: max_slot_wal_keep_size is not set"],
    );
    check(
        |f| {
            slot(f, false, "reserved");
            f.in_recovery = true;
        },
        &[],
    );
}

#[test]
fn old_transactions_and_ids_are_told() {
    let open = |seconds| Transaction {
        pid: 7,
        role: Some("app".into()),
        state: Some("idle in transaction".into()),
        seconds,
    };
    check(|f| f.transactions = vec![open(60.0)], &[]);
    check(
        |f| f.transactions = vec![open(7200.0)],
        &[
            "Warning transactions: a transaction of app (idle in transaction, process 7) is open for 2.0 hours",
        ],
    );
    check(
        |f| {
            f.prepared = vec![Prepared {
                gid: "g".into(),
                database: "db".into(),
                seconds: 9000.0,
            }];
        },
        &["Warning transactions: the prepared transaction g in db waits for 2.5 hours"],
    );
    check(|f| f.xid_age = 250_000_000, &[]);
    check(
        |f| f.xid_age = 350_000_000,
        &["Warning wraparound: the oldest transaction id"],
    );
    check(
        |f| f.multixact_age = 1_600_000_000,
        &["Error wraparound: the oldest multixact"],
    );
}

#[test]
fn limits_clocks_and_the_rest() {
    check(|f| f.connections = 159, &[]);
    check(|f| f.connections = 160, &["Warning connections: 160 of 200"]);
    check(|f| f.connections = 190, &["Error connections: 190 of 200"]);
    check(|f| f.skew = -1.5, &[]);
    check(|f| f.skew = -30.0, &["Warning clock: its clock is 30 s behind"]);
    check(
        |f| f.collations = vec!["database d".into()],
        &["Warning collations: database d"],
    );
    check(
        |f| f.archive_failures = Some(4),
        &["Warning archiving: archive_command fails (4"],
    );
    check(
        |f| f.pending_restart = vec!["port".into()],
        &["Warning restart: new values of port"],
    );
}

#[test]
fn the_disk_must_hold_the_wal_and_one_more_clone() {
    fn check(free_gib: u64, data_gib: u64, expected: Severity) {
        let replica = NodeFacts {
            in_recovery: true,
            ..healthy()
        };
        // The master may grow by 2 + 4 - 1, the replica by 2 - 1.
        let nodes = [("master".to_owned(), healthy()), ("slave-1".to_owned(), replica)];
        let judged = super::disk(free_gib << 30, data_gib << 30, &nodes);
        assert_eq!(judged.severity, expected, "{judged:?}");
    }
    check(0, 0, Severity::Error);
    check(5, 0, Severity::Warning);
    check(7, 2, Severity::Warning);
    check(9, 2, Severity::Ok);
}
