//! From the rows that a server answers with to what they say. Pure.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::observed::{BaseBackup, NodeFacts, Receiver, Sender, Slot, WatcherQuery};
use crate::render::HOT_STANDBY;

/// What PostgreSQL says of a line that waits for a restart, and of one that contradicts what runs.
const NOT_APPLIED: &str = "setting could not be applied";

/// The columns of a row; one that is NULL is not there.
pub type Line = BTreeMap<String, String>;

/// Puts together what the questions to a server are answered with; what is not there is as by default.
pub fn read(lines: &[Line]) -> NodeFacts {
    let mut facts = NodeFacts::default();
    let mut timeline = None;
    for line in lines {
        if let Some(recovery) = line.get("in_recovery") {
            facts.in_recovery = recovery == "t";
            facts.replayed = lsn(line, "replayed").unwrap_or(0);
            facts.marked = line.contains_key("marker");
            facts.started_at = number(line, "started_at").unwrap_or(0.0);
            facts.max_connections = number(line, "max_connections").unwrap_or(0);
            facts.config_hash = line.get("config_hash").cloned();
            facts.certificate = line.get("certificate").filter(|text| !text.is_empty()).cloned();
        } else if let Some(identifier) = line.get("system_identifier") {
            facts.system_id.clone_from(identifier);
        } else if let Some(id) = number(line, "timeline_id") {
            facts.timeline = id;
        } else if let Some(count) = number(line, "connections") {
            facts.connections = count;
        } else if let Some(status) = line.get("receiver") {
            timeline = number(line, "received_tli");
            facts.receiver = Some(Receiver {
                status: status.clone(),
                slot: line.get("slot_name").cloned(),
            });
        } else if let Some(hex) = line.get("timeline") {
            timeline = u32::from_str_radix(hex, 16).ok();
        } else if let Some(names) = line.get("synchronous") {
            facts.synchronous = Some(names.clone());
        }
    }
    // The checkpoint's is late after a promotion.
    facts.timeline = timeline.unwrap_or(facts.timeline);
    read_files(lines, &mut facts);
    read_primary(lines, &mut facts);
    facts
}

/// What is wrong in the configuration files, and what waits for a restart.
fn read_files(lines: &[Line], facts: &mut NodeFacts) {
    let pending: BTreeMap<&str, &Line> = with(lines, "pending")
        .map(|(name, line)| (name.as_str(), line))
        .collect();
    let last = |name: &str| {
        let mut found = with(lines, "in_file").filter(|(in_file, _)| *in_file == name);
        found.next_back()?.1.get("setting")
    };
    let has_read_them =
        facts.config_hash.is_some() && last("pgcluster.config_hash") == facts.config_hash.as_ref();
    let text = |line: &Line, column: &str| line.get(column).cloned().unwrap_or_default();
    facts.config_errors = lines
        .iter()
        .filter(|line| line.contains_key("sourcefile"))
        .filter_map(|line| {
            let error = line.get("error")?;
            let name = line.get("in_file");
            // What a restart applies is no error, and which that is shows once the files have been read.
            let waits = name.is_some_and(|name| pending.contains_key(name.as_str())) || !has_read_them;
            (error != NOT_APPLIED || !waits).then(|| {
                let file = text(line, "sourcefile");
                let file = file.strip_prefix("/node/").unwrap_or(&file);
                let name = name.map_or("syntax", String::as_str);
                format!("{file} line {}: {name}: {error}", text(line, "sourceline"))
            })
        })
        .collect();
    facts.pending_restart = pending.keys().map(|name| (*name).to_owned()).collect();
    facts.lowers_hot_standby = HOT_STANDBY.iter().any(|(name, _)| {
        let now = pending.get(name).and_then(|line| number::<i64>(line, "setting"));
        let then = last(name).and_then(|setting| setting.parse::<i64>().ok());
        now.zip(then).is_some_and(|(now, then)| then < now)
    });
}

fn read_primary(lines: &[Line], facts: &mut NodeFacts) {
    let Some((_, here)) = with(lines, "written").next() else {
        return;
    };
    let written = lsn(here, "written").unwrap_or(0);
    let processes: BTreeMap<&String, &Line> = with(lines, "process").collect();
    let name = |process: &String| {
        let process = processes.get(process)?;
        Some(process.get("application_name").cloned().unwrap_or_default())
    };
    let oldest = with(lines, "oldest_segment").next();
    facts.oldest_wal = oldest
        .and_then(|(segment, _)| {
            let (log, number_in_log) = (hex(segment.get(..8)?)?, hex(segment.get(8..)?)?);
            (log << 32).checked_add(number_in_log.checked_mul(number(here, "segment_size")?)?)
        })
        .unwrap_or(0);
    let commits = processes
        .values()
        .filter(|line| line.get("wait_event").is_some_and(|event| event == "SyncRep"));
    facts.waiting_commits = u32::try_from(commits.count()).unwrap_or(u32::MAX);
    let sender = |(process, line): (&String, &Line)| {
        Some(Sender {
            name: name(process)?,
            state: line.get("state").cloned().unwrap_or_default(),
            behind: lsn(line, "replay_lsn").map(|replayed| written.saturating_sub(replayed)),
            lag_ms: number(line, "lag_ms"),
        })
    };
    facts.senders = with(lines, "sender").filter_map(sender).collect();
    let slot = |(name, line): (&String, &Line)| Slot {
        name: name.clone(),
        active: line.get("active").is_some_and(|active| active == "t"),
        wal_status: line.get("wal_status").cloned(),
        retained: lsn(line, "restart_lsn")
            .and_then(|from| i64::try_from(i128::from(written) - i128::from(from)).ok()),
    };
    facts.slots = with(lines, "slot").map(slot).collect();
    let backup = |(process, line): (&String, &Line)| {
        Some(BaseBackup {
            name: name(process)?.replace("clone:", ""),
            done: number(line, "done").unwrap_or(0),
            // -1 while it has not been estimated.
            total: number(line, "total"),
        })
    };
    facts.base_backups = with(lines, "backup").filter_map(backup).collect();
    let query = |line: &&Line| {
        Some(WatcherQuery {
            age: number(line, "age")?,
            role: line.get("role")?.clone(),
            query: line.get("query")?.clone(),
        })
    };
    let queries = processes.values().filter_map(query);
    facts.watcher = queries.min_by(|one, other| one.age.total_cmp(&other.age));
}

/// The lines with this column, and what it says.
fn with<'a>(lines: &'a [Line], column: &str) -> impl DoubleEndedIterator<Item = (&'a String, &'a Line)> {
    lines
        .iter()
        .filter_map(move |line| Some((line.get(column)?, line)))
}

fn number<T: FromStr>(line: &Line, column: &str) -> Option<T> {
    line.get(column)?.parse().ok()
}

/// A position in the WAL, as PostgreSQL writes it: `16/B374D848`.
fn lsn(line: &Line, column: &str) -> Option<u64> {
    let (high, low) = line.get(column)?.split_once('/')?;
    Some((hex(high)? << 32) + hex(low)?)
}

fn hex(digits: &str) -> Option<u64> {
    u32::from_str_radix(digits, 16).ok().map(u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<Line> {
        let cell = |cell: &str| {
            let (column, value) = cell.split_once('=').expect("column=value");
            (column.to_owned(), value.to_owned())
        };
        let line = |line: &str| line.trim().split("; ").map(cell).collect();
        text.trim().lines().map(line).collect()
    }

    const PRIMARY: &str = "
        in_recovery=f; started_at=5.5; marker=pgcluster.marker; max_connections=250; config_hash=aa; certificate=
        system_identifier=77
        timeline_id=1
        connections=3
        written=1/100; timeline=00000002; segment_size=16777216
        oldest_segment=0000000000000009
        process=10; application_name=slave1; role=r
        process=11; application_name=clone:slave2; role=r
        process=12; application_name=pool-watch; role=p; age=1.5; query=SELECT 1
        process=13; application_name=pool-watch; role=p; age=0.5; query=SELECT 2
        process=14; application_name=app; role=u; wait_event=SyncRep
        sender=10; state=streaming; replay_lsn=1/F0; lag_ms=2.5
        sender=11; state=backup
        slot=slave1; active=t; wal_status=reserved; restart_lsn=0/100
        backup=11; total=-1; done=1024
        synchronous=FIRST 1 (slave1)";

    #[test]
    fn a_primary_tells_of_its_replicas() {
        let facts = read(&lines(PRIMARY));
        let sender = |name: &str, state: &str, behind, lag_ms| Sender {
            name: name.into(),
            state: state.into(),
            behind,
            lag_ms,
        };
        let expected = NodeFacts {
            in_recovery: false,
            system_id: "77".into(),
            timeline: 2,
            replayed: 0,
            oldest_wal: 9 << 24,
            marked: true,
            started_at: 5.5,
            connections: 3,
            max_connections: 250,
            config_hash: Some("aa".into()),
            certificate: None,
            synchronous: Some("FIRST 1 (slave1)".into()),
            waiting_commits: 1,
            senders: vec![
                sender("slave1", "streaming", Some(16), Some(2.5)),
                sender("clone:slave2", "backup", None, None),
            ],
            slots: vec![Slot {
                name: "slave1".into(),
                active: true,
                wal_status: Some("reserved".into()),
                retained: Some(1 << 32),
            }],
            base_backups: vec![BaseBackup {
                name: "slave2".into(),
                done: 1024,
                total: None,
            }],
            watcher: Some(WatcherQuery {
                age: 0.5,
                role: "p".into(),
                query: "SELECT 2".into(),
            }),
            ..NodeFacts::default()
        };
        assert_eq!(facts, expected);
    }

    #[test]
    fn a_standby_is_on_the_timeline_that_it_receives() {
        let check = |text: &str, timeline: u32, slot: Option<&str>| {
            let facts = read(&lines(text));
            assert!(facts.in_recovery && !facts.marked);
            assert_eq!((facts.replayed, facts.timeline), (0x2_0000_0010, timeline));
            let receiver = facts.receiver.and_then(|receiver| receiver.slot);
            assert_eq!(receiver.as_deref(), slot);
        };
        let standby = "in_recovery=t; replayed=2/10\ntimeline_id=1";
        check(standby, 1, None);
        let receiving = format!("{standby}\nreceiver=streaming; slot_name=slave1; received_tli=3");
        check(&receiving, 3, Some("slave1"));
    }

    #[test]
    fn what_a_restart_applies_is_no_error_of_a_file() {
        fn check(hash: &str, more: &str, errors: &[&str], pending: &[&str], lowers: bool) {
            let text = format!(
                "in_recovery=f; config_hash={hash}
                 sourcefile=/node/config/a.conf; sourceline=1; in_file=pgcluster.config_hash; setting=bb
                 {more}"
            );
            let facts = read(&lines(&text));
            assert_eq!(facts.config_errors, errors, "{text}");
            assert_eq!(facts.pending_restart, pending, "{text}");
            assert_eq!(facts.lowers_hot_standby, lowers, "{text}");
        }
        let fixed = |setting: u32| {
            format!(
                "sourcefile=/node/config/a.conf; sourceline=2; in_file=max_connections; setting={setting}; error={NOT_APPLIED}"
            )
        };
        let waits = "pending=max_connections; setting=250";
        check("bb", "", &[], &[], false);
        // Not read yet, read and waiting, read and nothing waits for it.
        check("aa", &fixed(100), &[], &[], false);
        let both = |setting| format!("{}\n{waits}", fixed(setting));
        check("bb", &both(100), &[], &["max_connections"], true);
        check("bb", &both(300), &[], &["max_connections"], false);
        let error = format!("config/a.conf line 2: max_connections: {NOT_APPLIED}");
        check("bb", &fixed(100), &[&error], &[], false);
        // The last one in the files counts.
        let twice = format!("{}\n{}\n{waits}", fixed(100), fixed(400));
        check("bb", &twice, &[], &["max_connections"], false);
        let syntax = "sourcefile=/node/config/a.conf; sourceline=3; error=syntax error";
        check(
            "aa",
            syntax,
            &["config/a.conf line 3: syntax: syntax error"],
            &[],
            false,
        );
    }
}
