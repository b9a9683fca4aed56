//! What a server will read from its configuration files: includes followed, the last assignment of each name. Pure.
//!
//! The rules are those of PostgreSQL's `guc-file.l`; Pgpool-II's files follow the same. A line that the server would
//! refuse is left out here: the server names it itself, and keeps what it has.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::assets::CONFIG_FOLDER;

/// A file that includes itself ends here, as in PostgreSQL.
const MAX_DEPTH: usize = 10;

/// So many files are read and no more: those that include each other many times over would take hours.
const MAX_FILES: usize = 1000;

/// Name in small letters → its last assignment.
pub type Configured = BTreeMap<String, Assigned>;

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    pub value: String,
    /// As the key of the files it was read from.
    pub file: Arc<str>,
    /// From 1.
    pub line: usize,
}

/// What one server will read. Those that read the same but for a few words share it.
#[derive(Clone, Debug, Default)]
pub struct OfNode {
    shared: Arc<Configured>,
    own: Vec<(Arc<str>, Assigned)>,
}

impl OfNode {
    /// `shared`, but for what `own` says.
    pub fn new(shared: Arc<Configured>, own: Vec<(Arc<str>, Assigned)>) -> OfNode {
        OfNode { shared, own }
    }

    /// The last assignment of `name`, which is in small letters.
    pub fn get(&self, name: &str) -> Option<&Assigned> {
        let own = self.own.iter().find(|(own, _)| **own == *name);
        own.map(|(_, assigned)| assigned)
            .or_else(|| self.shared.get(name))
    }

    /// Equal for those that share all but what is their own.
    pub fn group(&self) -> *const Configured {
        Arc::as_ptr(&self.shared)
    }

    /// Every assignment, by name.
    pub fn all(&self) -> Configured {
        let mut all = (*self.shared).clone();
        let own = self.own.iter().cloned();
        all.extend(own.map(|(name, assigned)| (name.to_string(), assigned)));
        all
    }
}

impl From<Configured> for OfNode {
    fn from(shared: Configured) -> OfNode {
        OfNode::new(shared.into(), Vec::new())
    }
}

/// Reads `start` and what it includes. `files` are named as in the node's folder: `config/postgresql.conf`.
pub fn read(start: &str, files: &BTreeMap<impl Borrow<str> + Ord, impl AsRef<[u8]>>) -> Configured {
    let mut configured = Configured::new();
    let mut left = MAX_FILES;
    read_file(start, files, 0, &mut left, &mut configured);
    configured
}

fn read_file(
    file: &str,
    files: &BTreeMap<impl Borrow<str> + Ord, impl AsRef<[u8]>>,
    depth: usize,
    left: &mut usize,
    configured: &mut Configured,
) {
    let Some(bytes) = files.get(file).filter(|_| depth <= MAX_DEPTH && *left > 0) else {
        return;
    };
    *left -= 1;
    let this: Arc<str> = file.into();
    for (line, text) in (1..).zip(String::from_utf8_lossy(bytes.as_ref()).lines()) {
        let Some((name, value)) = assignment(text) else {
            continue;
        };
        match name.as_str() {
            "include" | "include_if_exists" => {
                read_file(&beside(file, &value), files, depth + 1, left, configured);
            }
            "include_dir" => {
                let folder = format!("{}/", beside(file, &value));
                let in_it = |path: &&str| {
                    let name = path.strip_prefix(&folder);
                    name.is_some_and(|name| {
                        !name.contains('/') && name.ends_with(".conf") && !name.starts_with('.')
                    })
                };
                for path in files.keys().map(Borrow::borrow).filter(in_it) {
                    read_file(path, files, depth + 1, left, configured);
                }
            }
            _ => {
                let assigned = Assigned {
                    value,
                    file: Arc::clone(&this),
                    line,
                };
                configured.insert(name, assigned);
            }
        }
    }
}

/// The file that `file` means by `path`, from the node's folder.
fn beside(file: &str, path: &str) -> String {
    let inside = format!("/node/{CONFIG_FOLDER}");
    let whole = match path.strip_prefix(&inside) {
        Some(rest) => format!("{CONFIG_FOLDER}{rest}"),
        None => format!(
            "{}/{path}",
            file.rsplit_once('/').map_or("", |(folder, _)| folder)
        ),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Name and value of a line; nothing for an empty one, a comment, or what the server would refuse.
fn assignment(line: &str) -> Option<(String, String)> {
    let line = line.trim_start();
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_.".contains(c) || !c.is_ascii();
    let end = line.find(|c| !is_name(c)).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()) {
        return None;
    }
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
    let (value, rest) = match rest.strip_prefix('\'') {
        Some(quoted) => unquoted(quoted)?,
        None => {
            let is_bare = |c: char| c.is_ascii_alphanumeric() || "-+._:/".contains(c) || !c.is_ascii();
            let end = rest.find(|c| !is_bare(c)).unwrap_or(rest.len());
            if end == 0 {
                return None;
            }
            (rest[..end].to_owned(), &rest[end..])
        }
    };
    let rest = rest.trim_start();
    let is_whole = rest.is_empty() || rest.starts_with('#');
    is_whole.then(|| (name.to_ascii_lowercase(), value))
}

/// The text up to the closing quote, and what follows: `''` and `\'` are a quote, `\n` and the like control characters.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        match c {
            '\'' if characters.peek().is_some_and(|(_, next)| *next == '\'') => {
                characters.next();
                value.push('\'');
            }
            '\'' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                other => value.push(other),
            },
            c => value.push(c),
        }
    }
    None
}

/// A whole number as PostgreSQL reads it: decimal, `0x1f`, `017`, or a fraction, which is rounded.
pub fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let number = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hexadecimal) => i64::from_str_radix(hexadecimal, 16).ok(),
        None if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) => {
            i64::from_str_radix(digits, 8).ok()
        }
        None => digits.parse().ok().or_else(|| {
            let fraction: f64 = digits.parse().ok()?;
            (fraction.is_finite() && fraction.abs() < 1e15).then(|| fraction.round_ties_even() as i64)
        }),
    };
    Some(sign * number?)
}

/// Bytes of an amount of memory; without a unit it counts blocks of 8 kB, as `shared_buffers` does.
pub fn memory(text: &str) -> Option<u64> {
    const UNITS: &[(&str, f64)] = &[
        ("kB", 1024.0),
        ("MB", 1_048_576.0),
        ("GB", 1_073_741_824.0),
        ("TB", 1_099_511_627_776.0),
        ("B", 1.0),
    ];
    let text = text.trim();
    let with_unit = UNITS.iter().find_map(|(unit, bytes)| {
        let number: f64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        Some((number * bytes) as u64)
    });
    with_unit.or_else(|| u64::try_from(integer(text)?).ok()?.checked_mul(8192))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(texts: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        let file = |(name, text): &(&str, &str)| (format!("config/{name}"), text.as_bytes().to_vec());
        texts.iter().map(file).collect()
    }

    #[test]
    fn a_line_is_read_as_postgresql_reads_it() {
        fn check(line: &str, expected: Option<(&str, &str)>) {
            let read = assignment(line);
            let read = read.as_ref().map(|(name, value)| (name.as_str(), value.as_str()));
            assert_eq!(read, expected, "{line}");
        }
        check("max_connections = 200", Some(("max_connections", "200")));
        check("  Max_Connections 200# many", Some(("max_connections", "200")));
        check("max_connections='200' # many", Some(("max_connections", "200")));
        check(
            "cron.database_name = 'it''s \\'x\\''",
            Some(("cron.database_name", "it's 'x'")),
        );
        check("search_path = ''", Some(("search_path", "")));
        check("shared_buffers = 128MB", Some(("shared_buffers", "128MB")));
        check("max_connections = 200 300", None);
        check("max_connections = 'open", None);
        check("max_connections =", None);
        check("max_connections == 200", None);
        check("shared_buffers = 1.5 GB", None);
        check("#max_connections = 200", None);
        check("= 3", None);
        check("", None);
    }

    #[test]
    fn the_last_assignment_wins_in_the_order_of_the_includes() {
        let files = files(&[
            (
                "cluster.conf",
                "a = 1\nb = 1\ninclude 'postgresql.conf'\ninclude_if_exists 'local.conf'\n",
            ),
            (
                "postgresql.conf",
                "a = 2\nB = 2\nc = 2\ninclude_dir = 'more'\na = 3\ninclude 'missing.conf'\n",
            ),
            ("more/1.conf", "a = 9\nc = 4\n"),
            ("more/2.conf", "include '../again.conf'\n"),
            ("more/3.txt", "c = 5\n"),
            ("again.conf", "d = 6\ninclude '/node/config/again.conf'\n"),
            ("local.conf", "\n\nb = 7 # mine\n"),
        ]);
        let configured = read("config/cluster.conf", &files);
        let shown: Vec<String> = configured
            .iter()
            .map(|(name, a)| format!("{name}={} {}:{}", a.value, a.file, a.line))
            .collect();
        assert_eq!(
            shown,
            [
                "a=3 config/postgresql.conf:5",
                "b=7 config/local.conf:3",
                "c=4 config/more/1.conf:2",
                "d=6 config/again.conf:1",
            ]
        );
    }

    #[test]
    fn files_that_include_each_other_come_to_an_end() {
        let text = format!("{}a = 1\n", "include 'cluster.conf'\n".repeat(200));
        let configured = read("config/cluster.conf", &files(&[("cluster.conf", &text)]));
        assert_eq!(configured["a"].value, "1");
    }

    #[test]
    fn numbers_are_read_as_postgresql_reads_them() {
        fn check(text: &str, expected: Option<i64>) {
            assert_eq!(integer(text), expected, "{text}");
        }
        check("200", Some(200));
        check(" 0x10", Some(16));
        check("010", Some(8));
        check("2e2", Some(200));
        check("-1", Some(-1));
        check("lots", None);
        assert_eq!(memory("128MB"), Some(128 << 20));
        assert_eq!(memory("1.5 GB"), Some(3 << 29));
        assert_eq!(memory("16384"), Some(128 << 20));
        assert_eq!(memory("x"), None);
    }
}
