//! What the watcher beside Pgpool-II (`templates/pool-watch.sh`) thinks of the nodes.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use crate::observed::{Backend, Observed, WatcherQuery};
use crate::topology::{self, Node, POOL_SERVICE, Topology};

/// It looks every two seconds; one look may take ten where a node is frozen.
const OVERDUE: u64 = 30;

/// Its report is of the look before it asked: one of now is as old as two looks, with what they take.
const FRESH: u64 = 3;

/// Its letter for a node that the pool has.
const MEMBER: &str = "i";

/// Its letters and words, as in its function `judge`.
const REASONS: &[(&str, &str)] = &[
    ("s", "does not answer"),
    ("a", "is away"),
    ("b", "is starting or stopping"),
    ("u", "cannot be judged while the primary does not answer"),
    ("c", "does not stream"),
    ("n", "is not waited for by commits"),
    ("l", "is behind by more than MAX_REPLICA_LAG"),
    ("w", "well"),
];

/// Its report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watcher {
    /// Seconds since its last look.
    pub age: u64,
    /// Service of each node that the pool leaves out, and what ails it: "does not stream".
    pub out: Vec<(String, String)>,
    /// The nodes that the pool sends traffic to, where it is sure.
    pub members: BTreeSet<u32>,
}

impl Watcher {
    /// Reads what `pool-watch.sh report` prints; `None` where that is something else.
    pub fn parse(report: &str) -> Option<Watcher> {
        let mut lines = report.lines();
        let age = lines.next()?.trim().parse().ok()?;
        let out = lines.filter_map(|line| {
            let (service, reason) = line.split_once(' ')?;
            Some((service.to_owned(), reason.to_owned()))
        });
        Some(Watcher {
            age,
            out: out.collect(),
            members: BTreeSet::new(),
        })
    }

    /// Reads its report out of the query that it asks the primary; `None` where it is another's, or was cut.
    pub fn of_query(watcher: &WatcherQuery, role: &str) -> Option<Watcher> {
        let (report, _) = watcher
            .query
            .strip_prefix("SELECT 'pool-watch")?
            .split_once(".'")?;
        let (mut out, mut members) = (Vec::new(), BTreeSet::new());
        for word in report.split_whitespace() {
            let Some((number, letter)) = word.split_at_checked(word.len() - 1) else {
                continue;
            };
            let Ok(number) = number.parse() else { continue };
            if letter == MEMBER {
                members.insert(number);
            } else if let Some((_, reason)) = REASONS.iter().find(|(short, _)| *short == letter) {
                out.push((topology::service(number), (*reason).to_owned()));
            }
        }
        (watcher.role == role).then(|| Watcher {
            age: watcher.age.max(0.0) as u64,
            out,
            members,
        })
    }

    /// The pool as it sees it, where that is of now and all nodes are in: whatever else it may be, the pool is to be asked.
    pub fn backends(&self, topology: &Topology) -> Option<BTreeMap<u32, Backend>> {
        let nodes: BTreeSet<u32> = topology.nodes.iter().map(|node| node.id).collect();
        let backend = |node: &Node| Backend {
            id: node.id,
            status: "up".to_owned(),
            role: if node.is_master() { "primary" } else { "standby" }.to_owned(),
            selects: None,
        };
        let backends = || topology.nodes.iter().map(|node| (node.id, backend(node)));
        (self.age <= FRESH && self.members == nodes).then(|| backends().collect())
    }

    /// What it adds to the findings. `report` is `None` where the pool runs and no report came.
    pub fn findings(topology: &Topology, observed: &Observed, report: Option<&Watcher>) -> Vec<Finding> {
        let logs = format!("see `docker compose logs {POOL_SERVICE}`");
        let asleep = |problem: String| {
            vec![Finding {
                node: "pool".to_owned(),
                problem,
                remedy: format!("run `docker compose restart {POOL_SERVICE}`; {logs}"),
            }]
        };
        let Some(watcher) = report else {
            return asleep("its watcher gives no report: nobody takes out nodes that fail".to_owned());
        };
        if watcher.age > OVERDUE {
            return asleep(format!("its watcher has not looked for {} s", watcher.age));
        }
        // Who has just been put back is in its report until its next look.
        let is_out = |node: &&Node| !observed.backend(node.id).is_some_and(Backend::is_up);
        let nodes = topology.nodes.iter().filter(is_out).filter_map(|node| {
            let service = node.service();
            let (_, reason) = watcher.out.iter().find(|(out, _)| *out == service)?;
            Some(Finding {
                node: node.title(),
                problem: match reason.as_str() {
                    "well" => "the pool leaves it out for a moment longer".to_owned(),
                    reason => format!("the pool leaves it out: it {reason}"),
                },
                remedy: format!("it gets reads again by itself when it is well; {logs}"),
            })
        });
        nodes.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::samples::{healthy, topology};
    use crate::observed::Answer;

    fn check(report: &str, status: &str, expected: &[&str]) {
        let (report, topology) = (Watcher::parse(report), topology(2));
        let mut observed = healthy(&topology);
        if let Answer::Got(backends) = &mut observed.pool {
            let replicas = backends.values_mut().filter(|backend| backend.id > 0);
            replicas.for_each(|backend| backend.status = status.to_owned());
        }
        let found = Watcher::findings(&topology, &observed, report.as_ref());
        let found: Vec<String> = found
            .into_iter()
            .map(|finding| format!("{}: {}", finding.node, finding.problem))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn its_report_stands_in_its_query() {
        fn check(query: &str, role: &str, expected: Option<&[(&str, &str)]>) {
            let query = WatcherQuery {
                age: 1.9,
                role: role.into(),
                query: query.into(),
            };
            let expected = expected.map(|out| Watcher {
                age: 1,
                out: out
                    .iter()
                    .map(|(service, reason)| ((*service).into(), (*reason).into()))
                    .collect(),
                members: BTreeSet::new(),
            });
            assert_eq!(Watcher::of_query(&query, "pool"), expected, "{query:?}");
        }
        check("SELECT 'pool-watch .' WHERE false", "pool", Some(&[]));
        check(
            "SELECT 'pool-watch  1c 12s.' WHERE",
            "pool",
            Some(&[
                ("postgres-slave1", "does not stream"),
                ("postgres-slave12", "does not answer"),
            ]),
        );
        check("SELECT 'pool-watch .' WHERE false", "somebody", None);
        check("SELECT 'pool-watch  1c 12", "pool", None);
        check("SELECT 1", "pool", None);
    }

    #[test]
    fn the_pool_need_not_be_asked_where_it_has_every_node_now() {
        fn check(report: &str, age: f64, expected: bool) {
            let query = WatcherQuery {
                age,
                role: "pool".into(),
                query: format!("SELECT 'pool-watch {report}.' WHERE false"),
            };
            let watcher = Watcher::of_query(&query, "pool").expect("a report");
            let backends = watcher.backends(&topology(2));
            assert_eq!(backends.is_some(), expected, "{report}, {age} s");
            let all = backends.unwrap_or_default();
            assert!(all.values().all(Backend::is_up));
        }
        check(" 0i 1i 2i", 1.0, true);
        check(" 0i 1i 2i", 4.0, false);
        for other in [
            "",
            " 0i 1i",
            " 0i 1i 2c",
            " 0i 1i 2i 3i",
            " 0i 1i 12i",
            " 0i 1i 2",
        ] {
            check(other, 1.0, false);
        }
    }

    #[test]
    fn every_word_of_the_script_has_its_letter() {
        let script = include_str!("../../templates/pool-watch.sh");
        for (letter, reason) in REASONS {
            let quoted = format!("letter={letter} verdict='{reason}'");
            // One word stands without quotes.
            let bare = format!("letter={letter} verdict={reason} ");
            assert!(script.contains(&quoted) || script.contains(&bare), "{quoted}");
        }
        assert_eq!(script.matches("letter=").count(), REASONS.len());
        assert!(script.contains(&format!("}}{MEMBER}\"")));
    }

    #[test]
    fn its_reasons_are_told_and_its_silence_too() {
        check("2\n\n", "up", &[]);
        let cut = "0\npostgres-slave2 does not stream\n";
        check(
            cut,
            "down",
            &["slave-2: the pool leaves it out: it does not stream"],
        );
        for status in ["up", "waiting"] {
            check(cut, status, &[]);
        }
        check(
            "0\npostgres-slave1 well\npostgres-slave7 is away\n",
            "down",
            &["slave-1: the pool leaves it out for a moment longer"],
        );
        check("31\n", "up", &["pool: its watcher has not looked for 31 s"]);
        check(
            "",
            "up",
            &["pool: its watcher gives no report: nobody takes out nodes that fail"],
        );
    }
}
