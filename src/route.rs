//! What Pgpool-II said while it decided where a statement goes, and what follows from it. Pure.
//!
//! The destination and Pgpool-II's own words are observed. The reason is derived from them, and kept apart.

use std::collections::BTreeSet;

use crate::settings::ReadConsistency;

/// Something that Pgpool-II told a session by the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remark {
    pub message: String,
    pub detail: String,
}

/// What Pgpool-II takes a statement for, by its form alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Only a primary can do it.
    Primary,
    /// Any node can do it.
    Any,
    /// All nodes do it: it concerns the session or the transaction.
    Every,
}

/// The transaction as Pgpool-II sees it where it looks further than the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// One was begun and goes on.
    pub open: bool,
    /// A statement of it wrote.
    pub wrote: bool,
    pub failed: bool,
}

/// Everything that was heard about one statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Ids of the nodes it was sent to.
    pub nodes: BTreeSet<u32>,
    pub form: Option<Form>,
    pub transaction: Option<Transaction>,
    /// Why it could not go to a replica, in Pgpool-II's words.
    pub because: Option<String>,
    /// The transaction is SERIALIZABLE, which its server tells.
    pub serializable: bool,
    /// The function or relation that Pgpool-II looked at last before it said so.
    pub looked_at: Option<String>,
}

impl Trace {
    /// What `remarks` tell about the statement that Pgpool-II logs as `logged`: `Parse: SELECT 1`.
    pub fn read(remarks: &[Remark], logged: &str) -> Trace {
        let mut trace = Trace::default();
        let mut looked_at = None;
        for Remark { message, detail } in remarks {
            if let Some(id) = node_of(message, logged) {
                trace.nodes.insert(id);
            } else if !trace.nodes.is_empty() {
                // What comes after it was sent is about other statements.
            } else if message == "decide where to send the query" {
                trace.form = form(detail);
            } else if message.starts_with("checking load balance preconditions") {
                trace.transaction = Some(transaction(message));
            } else if let Some(because) = message.strip_prefix("could not load balance because ") {
                trace.because = Some(because.to_owned());
                trace.looked_at = looked_at.take();
            } else if message.contains(" walker") {
                looked_at = name_at_the_end(message).or(looked_at);
            }
        }
        trace
    }

    /// Why it goes where it goes. `hinted`: the statement has the hint that keeps it from replicas.
    pub fn reason(&self, hinted: bool, replicas: usize, consistency: ReadConsistency) -> String {
        if self.nodes.is_empty() {
            return "Pgpool-II did not say where it sends it".to_owned();
        }
        if let Some(because) = &self.because {
            let name = self.looked_at.clone().unwrap_or_default();
            return match because.as_str() {
                "writing functions are used" => {
                    format!("it calls {name}(), which is volatile and so may write")
                }
                "systems catalogs are used" => format!("it reads a system catalog, {name}"),
                "temporary tables are used" => {
                    format!("{name} is a temporary table, which only the master has")
                }
                "unlogged tables are used" => {
                    format!("{name} is an unlogged table, which only the master has")
                }
                "of too much replication delay" => {
                    "it reads only, and the session's replica is too far behind".to_owned()
                }
                other => format!("Pgpool-II says: {other}"),
            };
        }
        let on_master = self.nodes.contains(&0);
        match (self.form, self.transaction) {
            (Some(Form::Every), _) => {
                "it concerns the session or the transaction, on each node of it".to_owned()
            }
            (Some(Form::Primary), _) => "it writes, locks, or is otherwise for a primary alone".to_owned(),
            (_, Some(transaction)) if on_master && transaction.open && self.serializable => {
                "the transaction is SERIALIZABLE, which a replica cannot be".to_owned()
            }
            (_, Some(transaction)) if on_master && transaction.wrote => {
                "an earlier statement of the transaction wrote".to_owned()
            }
            (_, Some(transaction)) if on_master && transaction.failed => {
                "an earlier statement of the transaction failed".to_owned()
            }
            (_, Some(_)) if on_master && hinted => "its hint asks for the master".to_owned(),
            (_, Some(_)) if on_master && replicas == 0 => "it reads only, and there is no replica".to_owned(),
            (_, Some(_)) if on_master => {
                "it reads only, and no replica was up and near enough when the session began".to_owned()
            }
            (_, Some(_)) => "it reads only; another session may get another replica".to_owned(),
            (_, None) if on_master && consistency == ReadConsistency::Session => {
                "the session wrote before, and READ_CONSISTENCY=session keeps its reads on the master"
                    .to_owned()
            }
            (_, None) => "Pgpool-II does not take it for a plain read".to_owned(),
        }
    }
}

/// The hint that keeps a statement from replicas, as pgpool.conf has it.
pub fn has_primary_hint(sql: &str) -> bool {
    let sql = sql.to_ascii_uppercase();
    sql.match_indices("/*").any(|(at, _)| {
        let comment = sql[at + 2..].split("*/").next().unwrap_or_default();
        comment.trim_matches(' ') == "NO LOAD BALANCE"
    })
}

/// Pgpool-II cuts what it says at 254 bytes, or a little before where a character ends there.
const CUT: usize = 250;

/// The node in `DB node id: 2 backend pid: 70 statement: Parse: SELECT 1`, if it is about that statement.
fn node_of(message: &str, logged: &str) -> Option<u32> {
    let (id, rest) = message.strip_prefix("DB node id: ")?.split_once(' ')?;
    let (_, statement) = rest.split_once("statement: ")?;
    // A character that was cut in two.
    let start = statement.trim_end_matches('\u{fffd}');
    let is_it =
        statement == logged || (message.len() >= CUT && !start.is_empty() && logged.starts_with(start));
    is_it.then(|| id.parse().ok())?
}

/// From `destination = 2 for query= "SELECT 1"`: the numbers of Pgpool-II's POOL_DEST.
fn form(detail: &str) -> Option<Form> {
    match detail.strip_prefix("destination = ")?.split(' ').next()? {
        "0" => Some(Form::Primary),
        "1" | "2" => Some(Form::Any),
        "3" => Some(Form::Every),
        _ => None,
    }
}

/// From `… TSTATE:T writing_transaction:1 failed_transaction:0`.
fn transaction(message: &str) -> Transaction {
    let says = |word: &str| message.split(' ').any(|part| part == word);
    Transaction {
        open: !says("TSTATE:I"),
        wrote: says("writing_transaction:1"),
        failed: says("failed_transaction:1") || says("TSTATE:E"),
    }
}

/// The last name in quotes: `random` in `function call walker, function name: ""random""`.
fn name_at_the_end(message: &str) -> Option<String> {
    let name = message.trim_end_matches('"');
    let (_, name) = name.rsplit_once(['"', ' '])?;
    (!name.is_empty() && message.ends_with('"')).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQL: &str = "Parse: SELECT f()";

    fn remark(message: &str, detail: &str) -> Remark {
        Remark {
            message: message.to_owned(),
            detail: detail.to_owned(),
        }
    }

    /// What Pgpool-II 4.7.3 says for a statement sent to `node`.
    fn remarks(destination: u32, state: &str, more: &[&str], node: u32) -> Vec<Remark> {
        let mut remarks = vec![remark(
            "decide where to send the query",
            &format!("destination = {destination} for query= \"SELECT f()\""),
        )];
        if destination == 2 {
            let message = format!("checking load balance preconditions. {state}");
            remarks.push(remark(&message, ""));
        }
        remarks.extend(more.iter().map(|message| remark(message, "")));
        remarks.push(remark(
            "DB node id: 0 backend pid: 9 statement: SELECT count(*) FROM pg_catalog.pg_proc",
            "",
        ));
        remarks.push(remark(
            &format!("DB node id: {node} backend pid: 9 statement: {SQL}"),
            "",
        ));
        remarks
    }

    const IDLE: &str = "TSTATE:I writing_transaction:0 failed_transaction:0";

    fn check(remarks: &[Remark], expected_node: u32, expected: &str) {
        let trace = Trace::read(remarks, SQL);
        assert_eq!(trace.nodes, BTreeSet::from([expected_node]));
        assert_eq!(trace.reason(false, 2, ReadConsistency::Eventual), expected);
    }

    #[test]
    fn reasons_follow_from_what_the_pool_says() {
        check(
            &remarks(2, IDLE, &[], 2),
            2,
            "it reads only; another session may get another replica",
        );
        check(
            &remarks(0, "", &[], 0),
            0,
            "it writes, locks, or is otherwise for a primary alone",
        );
        check(
            &remarks(2, "TSTATE:T writing_transaction:1 failed_transaction:0", &[], 0),
            0,
            "an earlier statement of the transaction wrote",
        );
        // Pgpool-II takes such a transaction for one that writes.
        let state = "TSTATE:T writing_transaction:1 failed_transaction:0";
        let mut trace = Trace::read(&remarks(2, state, &[], 0), SQL);
        trace.serializable = true;
        assert_eq!(
            trace.reason(false, 2, ReadConsistency::Eventual),
            "the transaction is SERIALIZABLE, which a replica cannot be"
        );
    }

    #[test]
    fn what_keeps_a_read_from_replicas_is_named() {
        let functions = [
            "non immutable function walker. checking function \"\"now\"\"",
            "function call walker, function name: \"\"f\"\"",
            "could not load balance because writing functions are used",
        ];
        check(
            &remarks(2, IDLE, &functions, 0),
            0,
            "it calls f(), which is volatile and so may write",
        );
        let tables = [
            "system catalog walker, checking relation \"tt\"",
            "temporary table walker. checking relation \"tt\"",
            "could not load balance because temporary tables are used",
        ];
        check(
            &remarks(2, IDLE, &tables, 0),
            0,
            "tt is a temporary table, which only the master has",
        );
    }

    #[test]
    fn other_statements_are_left_out() {
        let trace = Trace::read(&remarks(2, IDLE, &[], 1), "Parse: SELECT g()");
        assert!(trace.nodes.is_empty());
    }

    #[test]
    fn a_long_statement_is_known_by_its_beginning() {
        let sql = format!("Parse: SELECT '{}'", "ä".repeat(300));
        let whole = format!("DB node id: 1 backend pid: 9 statement: {sql}");
        let cut = String::from_utf8_lossy(&whole.as_bytes()[..254]).into_owned();
        assert_eq!(Trace::read(&[remark(&cut, "")], &sql).nodes, BTreeSet::from([1]));
        assert!(
            Trace::read(&[remark(&cut, "")], "Parse: SELECT 'ö'")
                .nodes
                .is_empty()
        );
    }

    #[test]
    fn the_hint_is_one_comment_anywhere() {
        fn check(sql: &str, expected: bool) {
            assert_eq!(has_primary_hint(sql), expected, "{sql}");
        }
        check("/*NO LOAD BALANCE*/ SELECT 1", true);
        check("SELECT 1 /* no load balance */", true);
        check("SELECT 'NO LOAD BALANCE'", false);
        check("/*x*/ SELECT 1", false);
    }
}
