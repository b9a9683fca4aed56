//! The only module that prints: results to standard output, everything else to standard error.

use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::time::{Duration, Instant};

use anstream::{eprint, eprintln};
use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

const RED: Style = AnsiColor::Red.on_default().bold();
const GREEN: Style = AnsiColor::Green.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
const DIM: Style = Style::new().dimmed();

/// How much is said.
#[derive(Clone, Copy, Debug)]
pub struct Ui {
    pub quiet: bool,
    pub verbose: bool,
}

impl Ui {
    /// What the user asked for.
    pub fn result(&self, text: &str) {
        // A reader that has seen enough, such as `head`, is no error.
        let _ = writeln!(anstream::stdout(), "{text}");
    }

    /// A result that is good or bad.
    pub fn verdict(&self, mark: Mark, text: &str) {
        self.result(&format!("{} {text}", sign(mark)));
    }

    /// What the user may like to know.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }

    /// What helps to find a fault.
    pub fn detail(&self, text: &str) {
        if self.verbose {
            eprintln!("{DIM}{text}{DIM:#}");
        }
    }

    /// Problems, one after the other.
    pub fn errors(&self, problems: &[String]) {
        for problem in problems {
            eprintln!("{RED}error:{RED:#} {problem}");
        }
    }

    /// Rows under a head, aligned, without lines.
    pub fn table(&self, head: &[&str], rows: Vec<Vec<String>>) {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(head.to_vec())
            .add_rows(rows);
        for line in table.to_string().lines() {
            self.result(line.trim());
        }
    }

    /// A secret from standard input: asked for twice and not shown on a terminal, elsewhere all of it but the newline
    /// at its end.
    ///
    /// # Errors
    /// It cannot be read, is not UTF-8, or was not the same twice.
    pub fn secret(&self, question: &str) -> io::Result<String> {
        if !std::io::stdin().is_terminal() {
            let mut text = String::new();
            std::io::stdin().lock().read_to_string(&mut text)?;
            // One newline, as `echo` and Windows write it.
            let line = text.strip_suffix('\n').unwrap_or(&text);
            let text = line.strip_suffix('\r').unwrap_or(line).to_owned();
            return Ok(text);
        }
        let first = rpassword::prompt_password(format!("{question}: "))?;
        let second = rpassword::prompt_password("The same again: ")?;
        match first == second {
            true => Ok(first),
            false => Err(io::Error::other("the two are not the same")),
        }
    }

    /// Asks on the terminal; `None` where there is nobody to ask.
    pub fn ask(&self, question: &str) -> Option<String> {
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return None;
        }
        eprint!("{question} ");
        std::io::stderr().flush().ok()?;
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).ok()?;
        Some(line.trim().to_owned())
    }
}

/// Someone types, and reads what is printed.
pub fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// How far a line of the board is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Waiting,
    Working,
    Done,
    Doubtful,
    Failed,
}

/// Live progress, a line a subject: redrawn in place on a terminal, elsewhere a plain line a change of state.
pub struct Board {
    quiet: bool,
    screen: Option<MultiProgress>,
    lines: BTreeMap<String, Line>,
    width: usize,
}

struct Line {
    bar: Option<ProgressBar>,
    started: Instant,
    /// Mark and kind of state last shown.
    shown: Option<(Mark, u8)>,
    text: String,
}

impl Board {
    /// `width`: columns for the titles.
    pub fn new(ui: Ui, width: usize) -> Self {
        let on_terminal = std::io::stderr().is_terminal() && !ui.quiet;
        Board {
            quiet: ui.quiet,
            screen: on_terminal.then(MultiProgress::new),
            lines: BTreeMap::new(),
            width,
        }
    }

    /// Shows `text` for `title`. Off a terminal a line appears when `mark` or `kind` differs from the last, and
    /// none for what only waits.
    pub fn show(&mut self, title: &str, mark: Mark, kind: u8, text: &str) {
        if self.quiet {
            return;
        }
        let screen = &self.screen;
        let line = self.lines.entry(title.to_owned()).or_insert_with(|| Line {
            bar: screen
                .as_ref()
                .map(|screen| screen.add(ProgressBar::new_spinner())),
            started: Instant::now(),
            shown: None,
            text: String::new(),
        });
        let changed = line.shown != Some((mark, kind));
        if !changed && line.text == text {
            return;
        }
        line.shown = Some((mark, kind));
        line.text = text.to_owned();
        let time = match mark {
            Mark::Done | Mark::Failed => format!("  {DIM}{}{DIM:#}", seconds(line.started.elapsed())),
            _ => String::new(),
        };
        let title = format!("{title:<width$}", width = self.width);
        match &line.bar {
            Some(bar) => draw(bar, mark, &title, &format!("{text}{time}")),
            None if changed && mark != Mark::Waiting => eprintln!("{} {title}  {text}{time}", sign(mark)),
            None => {}
        }
    }

    /// What the user may like to know, above the lines.
    pub fn note(&self, text: &str) {
        match &self.screen {
            _ if self.quiet => {}
            Some(screen) => drop(screen.println(plain_where_wanted(text))),
            None => eprintln!("{text}"),
        }
    }

    /// Leaves the lines as they are and stops redrawing.
    pub fn finish(self) {
        for line in self.lines.into_values() {
            if let Some(bar) = line.bar
                && !bar.is_finished()
            {
                bar.abandon();
            }
        }
    }
}

fn draw(bar: &ProgressBar, mark: Mark, title: &str, text: &str) {
    let template = match mark {
        Mark::Working => "{spinner} {prefix}  {msg}".to_owned(),
        _ => format!("{} {{prefix}}  {{msg}}", plain_where_wanted(&sign(mark))),
    };
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
    }
    bar.set_prefix(title.to_owned());
    bar.set_message(plain_where_wanted(text));
    match mark {
        Mark::Working => bar.enable_steady_tick(Duration::from_millis(100)),
        _ => {
            bar.disable_steady_tick();
            bar.tick();
        }
    }
}

/// indicatif writes to the terminal itself, past anstream and what the user said about colours.
fn plain_where_wanted(text: &str) -> String {
    match anstream::AutoStream::choice(&std::io::stderr()) {
        anstream::ColorChoice::Never => anstream::adapter::strip_str(text).to_string(),
        _ => text.to_owned(),
    }
}

fn sign(mark: Mark) -> String {
    match mark {
        Mark::Waiting => " ".to_owned(),
        Mark::Working => "…".to_owned(),
        Mark::Done => format!("{GREEN}✔{GREEN:#}"),
        Mark::Doubtful => format!("{YELLOW}!{YELLOW:#}"),
        Mark::Failed => format!("{RED}✘{RED:#}"),
    }
}

/// `3.6 s`
pub fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
