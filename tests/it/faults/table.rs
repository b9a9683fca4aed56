//! The table of RELIABILITY.md.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::ledger::{Report, Verdict};

const BEGIN: &str = "<!-- make torture writes from here -->\n";
const END: &str = "<!-- to here -->\n";

/// What the runs of one fault came to.
#[derive(Default)]
pub struct Row {
    pub fault: &'static str,
    pub failed: bool,
    /// Seconds for which something was frozen, cut off or stopped, where it was.
    pub patience: Option<u64>,
    runs: u32,
    acknowledged: usize,
    lost: usize,
    doubtful: usize,
    without_writes: Vec<Duration>,
    without_reads: Vec<Duration>,
}

impl Row {
    pub fn new(fault: &'static str) -> Row {
        Row {
            fault,
            ..Row::default()
        }
    }

    pub fn note(&mut self, report: &Report, verdict: &Verdict) {
        self.runs += 1;
        self.failed |= !verdict.is_clean();
        self.lost += verdict.lost.len();
        self.acknowledged += report.book.acknowledged.len();
        self.doubtful += report.book.doubtful.len();
        self.without_writes.push(report.without_writes);
        self.without_reads.push(report.without_reads);
    }

    pub fn line(&self) -> String {
        let spread = |times: &[Duration]| {
            let mut times: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
            times.sort_by(f64::total_cmp);
            let median = times.get(times.len() / 2).copied().unwrap_or_default();
            format!("{median:.1} / {:.1}", times.last().copied().unwrap_or_default())
        };
        format!(
            "| {} | {}{} | {} | {} | {} | {} | {} | {} |",
            self.fault,
            self.runs,
            if self.failed { ", failed" } else { "" },
            self.patience
                .map_or(String::new(), |seconds| format!("{seconds} s")),
            self.acknowledged,
            self.lost,
            self.doubtful,
            spread(&self.without_writes),
            spread(&self.without_reads),
        )
    }
}

const HEAD: &str = "| fault | runs | for | acknowledged | lost | doubtful | without writes | without reads |
| --- | --- | --- | --- | --- | --- | --- | --- |";

/// Puts the rows into the table of `file`, in the order of `faults`; of those that were not tried the old ones stay.
pub fn publish(file: &Path, rows: &[Row], faults: &[&str]) {
    let text = fs::read_to_string(file).expect("RELIABILITY.md");
    let new: Vec<String> = rows.iter().map(Row::line).collect();
    fs::write(file, published(&text, &new, faults)).expect("it can be written");
}

fn published(text: &str, new: &[String], faults: &[&str]) -> String {
    let (before, rest) = text.split_once(BEGIN).expect("the mark where the table begins");
    let (old, after) = rest.split_once(END).expect("the mark where it ends");
    let of = |fault: &str| {
        let begin = format!("| {fault} |");
        let mut lines = new.iter().map(String::as_str).chain(old.lines());
        lines.find(|line| line.starts_with(&begin)).map(str::to_owned)
    };
    let lines: Vec<String> = faults.iter().filter_map(|fault| of(fault)).collect();
    format!("{before}{BEGIN}\n{HEAD}\n{}\n\n{END}{after}", lines.join("\n"))
}

#[test]
fn what_was_not_tried_keeps_its_row() {
    let table = |rows: &str| format!("above\n{BEGIN}\n{HEAD}\n{rows}\n{END}below\n");
    let old = table("| b | 1 | old |\n| a | 1 | old |\n| gone | 1 | old |\n");
    let new = ["| c | 5 | new |", "| a | 5 | new |"].map(str::to_owned);
    assert_eq!(
        published(&old, &new, &["a", "b", "c", "never"]),
        table("| a | 5 | new |\n| b | 1 | old |\n| c | 5 | new |\n")
    );
}
