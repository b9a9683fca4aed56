//! The ledger held against the nodes of a cluster.

use super::book::{Entry, Verdict};
use super::{Ledger, Load, Report};
use crate::cluster::{Cluster, eventually};

/// A scan of the whole table: an index may be what lies.
const ROWS: &str = "SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off;
    SELECT writer, step FROM ledger";

/// The same for any number of rows, in one value.
const SUM: &str = "SELECT count(*) || ' ' || coalesce(sum(hashtextextended(writer || '/' || step || '/' || note, 0)), 0) FROM ledger";

/// Every index of the database against its table, and every table's rows.
const INDEXES: &str = "SELECT count(bt_index_check(index.oid, true)) FROM pg_class AS index
    JOIN pg_index ON indexrelid = index.oid AND indisvalid
    JOIN pg_am ON pg_am.oid = index.relam AND amname = 'btree' WHERE index.relpersistence = 'p'";
const TABLES: &str = "SELECT relname, damage.* FROM pg_class, verify_heapam(pg_class.oid) AS damage
    WHERE relkind IN ('r', 't', 'm') AND relpersistence = 'p'";

impl Cluster {
    /// Clients that write and read through the pool.
    #[track_caller]
    pub fn ledger(&self, load: Load) -> Ledger {
        self.sql("master", "CREATE EXTENSION IF NOT EXISTS amcheck");
        let replicas = self.nodes().into_iter().filter(|node| node != "master");
        let copies: Vec<_> = replicas.map(|node| self.login(&node)).collect();
        Ledger::open(&self.login("master"), &copies, &self.login("pool"), load)
    }

    /// What the master says to the book.
    pub fn judge(&self, report: &Report) -> Verdict {
        let rows = self.sql("master", ROWS);
        let rows: Vec<Entry> = rows
            .lines()
            .filter_map(|line| {
                let (writer, step) = line.split_once('|')?;
                Some(Entry {
                    writer: writer.parse().ok()?,
                    step: step.parse().ok()?,
                })
            })
            .collect();
        report.book.judge(&rows)
    }

    /// No reader saw what it may not, indexes and tables are sound, and all replicas have what the master has. What the
    /// book says to that is given back.
    #[track_caller]
    pub fn audit(&self, report: &Report, replicas: u32) -> Verdict {
        println!("{report}");
        assert_eq!(report.wrong_reads, [""; 0]);
        assert!(!report.book.acknowledged.is_empty());
        let mut places = vec!["master".to_owned()];
        places.extend((1..=replicas).map(|id| format!("slave-{id}")));
        for place in &places {
            // Anew each time: what a client had sent into a network that was cut may arrive, and be done, after the load has ended.
            eventually(&format!("{place} has every row"), 30, String::new(), || {
                let (master, here) = (self.sql("master", SUM), self.try_sql(place, SUM));
                match master == here {
                    true => String::new(),
                    false => format!("{here} instead of {master}"),
                }
            });
            assert_eq!(self.sql(place, TABLES), "", "tables on {place}");
            self.sql(place, INDEXES);
        }
        self.judge(report)
    }

    /// After a fast shutdown: every block of every node has the checksum that it should have.
    #[track_caller]
    pub fn checksums_are_right(&self, replicas: u32) {
        let mut folders = vec!["master".to_owned()];
        folders.extend((1..=replicas).map(|id| format!("slave-{id}")));
        for folder in folders {
            let command = format!("/usr/lib/postgresql/17/bin/pg_checksums --check -D {folder}/pgdata");
            let check = self.as_root(&command);
            assert!(check.contains("Bad checksums:  0"), "{folder}: {check}");
        }
    }
}
