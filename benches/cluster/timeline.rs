//! What waited for what: from the engine's events and the time stamps of the logs to lanes, and from those to a picture.

use std::fmt::Write;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::process::{docker, log};
use crate::record::Timeline;
use crate::stack::Stack;

/// One container, or the command that makes them.
#[derive(Clone, Serialize, Deserialize)]
pub struct Lane {
    pub name: String,
    pub spans: Vec<Span>,
}

/// Seconds from the beginning, and what happened meanwhile: one of [`PHASES`].
#[derive(Clone, Serialize, Deserialize)]
pub struct Span {
    pub from: f64,
    pub to: f64,
    pub phase: String,
}

const PHASES: [(&str, &str); 7] = [
    ("command", "#8c8c8c"),
    ("container starts", "#c5b0d5"),
    ("waits", "#e8e8e8"),
    ("initdb", "#4c78a8"),
    ("clones", "#f58518"),
    ("server starts", "#54a24b"),
    ("until done", "#b8dca8"),
];

/// Looks at a cluster that was started at `began` (seconds since 1970) and done `took` seconds later.
pub fn gather(stack: &Stack, began: f64, took: f64) -> Result<Timeline> {
    let project = stack.project();
    let (since, until) = (format!("{began:.6}"), format!("{:.6}", began + took + 1.0));
    let events = docker([
        "events",
        "--since",
        &since,
        "--until",
        &until,
        "--filter",
        "type=container",
        "--format",
        "{{.TimeNano}} {{.Action}} {{.Actor.Attributes.name}}",
    ])?;
    let own = |line: &str| {
        let mut words = line.split(' ');
        let time: f64 = words.next()?.parse().ok()?;
        let (action, name) = (words.next()?.to_owned(), words.next()?.to_owned());
        let is_known = matches!(action.as_str(), "create" | "start") && name.starts_with(&project);
        is_known.then_some((time / 1e9 - began, action, name))
    };
    let events: Vec<(f64, String, String)> = events.lines().filter_map(own).collect();
    let time = |name: &str, wanted: &str| {
        let mut events = events.iter();
        let found = events.find(|(_, action, of)| of == name && action == wanted);
        found.map_or(f64::NAN, |(time, _, _)| *time)
    };

    let mut names: Vec<String> = events.iter().map(|(_, _, name)| name.clone()).collect();
    names.sort();
    names.dedup();
    let mut lanes = Vec::new();
    let mut primary_ready = f64::NAN;
    let mut nodes_ready: f64 = 0.0;
    // The master sorts before the replicas in every project, and the pool must come last.
    names.sort_by_key(|name| (name.contains("pool"), !name.contains("master")));
    for name in &names {
        let log = log(name)?;
        let said = |text: &str| said_at(&log, text, began);
        let mut lane = Marks::new(time(name, "create"));
        lane.until(time(name, "start"), "container starts");
        if name.contains("master") {
            lane.until(said("initialised"), "initdb");
            primary_ready = said("ready to accept connections");
            lane.until(primary_ready, "server starts");
        } else if name.contains("pool") {
            lane.until(nodes_ready, "waits");
        } else {
            lane.until(primary_ready, "waits");
            lane.until(said("cloned"), "clones");
            let ready = said("ready to accept read-only connections");
            lane.until(ready, "server starts");
            nodes_ready = nodes_ready.max(ready);
        }
        lane.until(took, "until done");
        let short = name
            .trim_start_matches(&project)
            .trim_matches('-')
            .trim_end_matches("-1");
        let short = if name.contains("replica-1") {
            "replica-1"
        } else {
            short
        };
        lanes.push(Lane {
            name: short.to_owned(),
            spans: lane.spans,
        });
    }
    let last_start = events.iter().map(|(time, _, _)| *time).fold(0.0, f64::max);
    let mut lane = Marks::new(0.0);
    lane.until(last_start, "command");
    lanes.insert(
        0,
        Lane {
            name: "command".to_owned(),
            spans: lane.spans,
        },
    );
    Ok(Timeline {
        who: stack.kind.name().to_owned(),
        done: took,
        lanes,
    })
}

/// Spans that follow each other.
struct Marks {
    at: f64,
    spans: Vec<Span>,
}

impl Marks {
    fn new(at: f64) -> Marks {
        Marks {
            at,
            spans: Vec::new(),
        }
    }

    /// What is unknown (NaN) or was over before takes no time.
    fn until(&mut self, to: f64, phase: &str) {
        if to > self.at {
            self.spans.push(Span {
                from: self.at,
                to,
                phase: phase.to_owned(),
            });
            self.at = to;
        }
    }
}

/// When the last line with `text` was logged. The last: servers for the set-up say the same as the one that stays.
fn said_at(log: &str, text: &str, began: f64) -> f64 {
    let line = log.lines().rev().find(|line| line.contains(text));
    let clock = line.and_then(|line| line.split_once('T')).map(|(_, clock)| clock);
    let seconds = clock.and_then(|clock| {
        let mut parts = clock.split('Z').next()?.split(':').map(str::parse::<f64>);
        let (hours, minutes) = (parts.next()?.ok()?, parts.next()?.ok()?);
        Some(hours * 3600.0 + minutes * 60.0 + parts.next()?.ok()?)
    });
    // Both within a day, in UTC.
    seconds.map_or(f64::NAN, |seconds| (seconds - began).rem_euclid(86_400.0))
}

const LEFT: f64 = 150.0;
const WIDTH: f64 = 760.0;
const ROW: f64 = 22.0;

/// All of them on one scale, one below the other.
pub fn svg(timelines: &[Timeline]) -> String {
    let longest = timelines.iter().map(|timeline| timeline.done).fold(0.1, f64::max);
    let x = |seconds: f64| LEFT + seconds / longest * WIDTH;
    let mut body = String::new();
    let mut y = 40.0;
    for (i, (phase, colour)) in PHASES.iter().enumerate() {
        let left = 10.0 + i as f64 * 128.0;
        let _ = writeln!(
            body,
            r##"<rect x="{left}" y="8" width="12" height="12" fill="{colour}"/><text x="{}" y="18">{phase}</text>"##,
            left + 16.0
        );
    }
    for timeline in timelines {
        let title = format!("{}: {:.2} s", timeline.who, timeline.done);
        let _ = writeln!(
            body,
            r#"<text x="10" y="{}" font-weight="bold">{title}</text>"#,
            y + 14.0
        );
        y += ROW;
        let top = y;
        for lane in &timeline.lanes {
            let _ = writeln!(body, r#"<text x="10" y="{}">{}</text>"#, y + 14.0, lane.name);
            for span in &lane.spans {
                let colour = PHASES
                    .iter()
                    .find(|(phase, _)| *phase == span.phase)
                    .map_or("#fff", |(_, colour)| colour);
                let (from, to) = (x(span.from), x(span.to));
                let _ = writeln!(
                    body,
                    r#"<rect x="{from:.1}" y="{}" width="{:.1}" height="{}" fill="{colour}"><title>{}: {:.2} to {:.2} s</title></rect>"#,
                    y + 2.0,
                    to - from,
                    ROW - 5.0,
                    span.phase,
                    span.from,
                    span.to
                );
            }
            y += ROW;
        }
        for tick in 0..=(timeline.done * 2.0) as usize {
            let seconds = tick as f64 / 2.0;
            let _ = writeln!(
                body,
                r##"<line x1="{0:.1}" x2="{0:.1}" y1="{top}" y2="{y}" stroke="#999" stroke-width="0.4"/><text x="{0:.1}" y="{1}" text-anchor="middle" fill="#555">{seconds}</text>"##,
                x(seconds),
                y + 12.0
            );
        }
        y += ROW + 12.0;
    }
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {y}" font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>
{body}</svg>
"##,
        LEFT + WIDTH + 30.0
    )
}
