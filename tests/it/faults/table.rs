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
            "| {} | {}{} | {} | {} | {} | {} | {} |",
            self.fault,
            self.runs,
            if self.failed { ", failed" } else { "" },
            self.acknowledged,
            self.lost,
            self.doubtful,
            spread(&self.without_writes),
            spread(&self.without_reads),
        )
    }
}

/// Replaces the table in `file`.
pub fn publish(file: &Path, rows: &[Row], runs: u64) {
    let text = fs::read_to_string(file).expect("RELIABILITY.md");
    let (before, rest) = text.split_once(BEGIN).expect("the mark where the table begins");
    let (_, after) = rest.split_once(END).expect("the mark where it ends");
    let lines: Vec<String> = rows.iter().map(Row::line).collect();
    let table = format!(
        "\nEach fault {runs} times; times without a commit or an answer are median / worst, in seconds.\n\n\
         | fault | runs | acknowledged | lost | doubtful | without writes | without reads |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n{}\n\n",
        lines.join("\n")
    );
    fs::write(file, format!("{before}{BEGIN}{table}{END}{after}")).expect("it can be written");
}
