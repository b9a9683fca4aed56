//! The `.env` file: read into a map (never into the process), extended without touching a byte of it, and changed only
//! in the line of a key that the user gave a new value on the command line.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::Problem;

/// What a `.env` file says, with the line of every key for messages.
#[derive(Clone, Debug, Default)]
pub struct EnvFile {
    values: BTreeMap<String, String>,
    /// From 1.
    lines: BTreeMap<String, usize>,
}

impl EnvFile {
    /// Parses the bytes of a `.env` file; `name` is what messages call it.
    ///
    /// Values follow dotenvy: single quotes are literal, in double quotes `\` escapes, `$NAME` is replaced
    /// elsewhere. No message shows a value, since it may be a password.
    ///
    /// # Errors
    /// Every problem at once: text that is not UTF-8, a line that does not parse, a key given twice, `$NAME`
    /// of a variable that exists nowhere (dotenvy and Compose would both silently drop it).
    pub fn parse(bytes: &[u8], name: &Path) -> Result<Self, Vec<Problem>> {
        let name = name.display();
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.trim_start_matches('\u{feff}'),
            Err(error) => {
                return Err(vec![
                    Problem::new(format!("{name}: not UTF-8 at byte {}", error.valid_up_to()))
                        .fix("save the file as UTF-8"),
                ]);
            }
        };

        let mut problems = Vec::new();
        let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
        let mut next = 1;
        for line in statements(text) {
            let number = next;
            next += line.matches('\n').count();
            let Some((key, raw)) = assignment(line) else {
                continue;
            };
            if let Some(first) = lines.get(key) {
                problems.push(
                    Problem::new(format!(
                        "{name}: {key} is set twice, on lines {first} and {number}"
                    ))
                    .fix("keep one of the two lines"),
                );
            }
            for variable in variables(raw) {
                if !lines.contains_key(variable) && std::env::var_os(variable).is_none() {
                    problems.push(
                        Problem::new(format!(
                            "{name}: {key} on line {number} has a `$` that is read as a variable, and no such variable exists"
                        ))
                        .fix("write the value in single quotes, '…', where every character stands for itself"),
                    );
                }
            }
            lines.entry(key).or_insert(number);
        }

        let mut values = BTreeMap::new();
        for item in dotenvy::from_read_iter(text.as_bytes()) {
            match item {
                Ok((key, value)) => {
                    values.insert(key, value);
                }
                Err(dotenvy::Error::LineParse(line, _)) => {
                    // An open quote reaches over several lines.
                    let first = line.lines().next().unwrap_or_default();
                    let number = text.lines().position(|l| l == first).map_or(0, |i| i + 1);
                    let key = assignment(first).map_or("", |(key, _)| key);
                    problems.push(
                        Problem::new(format!("{name}: line {number} cannot be read ({key}=…)"))
                            .fix("write KEY='value', or KEY=\"value\" with \\ before each of \" \\ $"),
                    );
                    break;
                }
                Err(error) => {
                    problems.push(Problem::new(format!("{name}: {error}")));
                    break;
                }
            }
        }

        if problems.is_empty() {
            let lines = lines
                .into_iter()
                .map(|(key, line)| (key.to_owned(), line))
                .collect();
            Ok(EnvFile { values, lines })
        } else {
            Err(problems)
        }
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// The line on which `key` is set, from 1.
    pub fn line(&self, key: &str) -> Option<usize> {
        self.lines.get(key).copied()
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }
}

/// `KEY` and the raw text after `=`, if the line assigns something.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (key, raw) = line.split_once('=')?;
    let key = key.trim();
    let key = key.strip_prefix("export ").unwrap_or(key).trim();
    let valid = !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
        && !key.starts_with(|c: char| c.is_ascii_digit());
    valid.then_some((key, raw))
}

/// The lines of `text`, each with those over which a quote goes on: where dotenvy ends one, so does this.
fn statements(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut start, mut end) = (0, 0);
    let (mut quote, mut escaped, mut after_space) = (None, false, false);
    for line in text.split_inclusive('\n') {
        end += line.len();
        let mut is_comment = text[start..end].trim_start().starts_with('#');
        for c in line.chars() {
            if is_comment {
                break;
            }
            (quote, escaped, after_space) = match (quote, c) {
                _ if escaped => (quote, false, false),
                (_, '\\') => (quote, true, false),
                (Some(open), c) => (Some(open).filter(|_| c != open), false, false),
                (None, '#') if after_space => {
                    is_comment = true;
                    (None, false, false)
                }
                (None, '"' | '\'') => (Some(c), false, false),
                (None, c) => {
                    let is_space = c.is_whitespace() && !"\r\n".contains(c);
                    (None, false, is_space && !after_space)
                }
            };
        }
        if is_comment || (quote.is_none() && !escaped && !after_space) {
            found.push(&text[start..end]);
            start = end;
            (quote, escaped, after_space) = (None, false, false);
        }
    }
    found.extend(Some(&text[start..]).filter(|rest| !rest.is_empty()));
    found
}

/// The names of the variables that a raw value refers to: `$NAME` or `${NAME}` outside single quotes.
fn variables(raw: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut single, mut double) = (false, false);
    let mut chars = raw.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '\\' if !single => {
                chars.next();
            }
            '\'' if !double => single = !single,
            '"' if !single => double = !double,
            '#' if !single && !double && raw[..i].ends_with(char::is_whitespace) => break,
            '$' if !single => {
                let rest = raw[i + 1..].trim_start_matches('{');
                let end = rest
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .unwrap_or(rest.len());
                if end > 0 {
                    found.push(&rest[..end]);
                }
            }
            _ => {}
        }
    }
    found
}

/// `old` with `additions` appended as `KEY=value` lines, in the file's own line ending; nothing else changes.
pub fn append(old: &[u8], additions: &[(String, String)]) -> Vec<u8> {
    let mut new = old.to_vec();
    if additions.is_empty() {
        return new;
    }
    let eol: &[u8] = if old.windows(2).any(|pair| pair == b"\r\n") {
        b"\r\n"
    } else {
        b"\n"
    };
    if !new.is_empty() && !new.ends_with(b"\n") {
        new.extend_from_slice(eol);
    }
    for (key, value) in additions {
        new.extend_from_slice(format!("{key}={value}").as_bytes());
        new.extend_from_slice(eol);
    }
    new
}

/// `old` with `key` set to `value` in the line where it stands, or appended; every other line stays as it is.
///
/// `value` holds no control character.
pub fn set(old: &[u8], key: &str, value: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(old);
    let start = text.strip_prefix('\u{feff}').map_or(0, |_| '\u{feff}'.len_utf8());
    let mut new = text[..start].to_owned();
    let mut found = false;
    for line in statements(&text[start..]) {
        if assignment(line).is_some_and(|(name, _)| name == key) {
            let end = line.trim_end_matches(['\r', '\n']).len();
            new.push_str(&format!("{key}={}{}", quoted(value), &line[end..]));
            found = true;
        } else {
            new.push_str(line);
        }
    }
    match found {
        true => new.into_bytes(),
        false => append(old, &[(key.to_owned(), quoted(value))]),
    }
}

/// A value as both dotenvy and Compose read it back.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.,:/@%+".contains(c);
    if value.chars().all(plain) {
        value.to_owned()
    // Before the closing single quote dotenvy takes a `\` for its escape.
    } else if value.contains('\'') || value.ends_with('\\') {
        let escaped = value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('$', "\\$");
        format!("\"{escaped}\"")
    } else {
        format!("'{value}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<EnvFile, Vec<String>> {
        EnvFile::parse(text.as_bytes(), Path::new(".env"))
            .map_err(|problems| problems.into_iter().map(|p| p.what).collect())
    }

    #[test]
    fn values_are_read_as_written() {
        fn check(line: &str, expected: &str) {
            assert_eq!(parse(line).unwrap().get("K"), Some(expected), "{line}");
        }
        check("K=plain", "plain");
        check("K=plain\r\n", "plain");
        check("\u{feff}K=bom", "bom");
        check("K='p$x\"\\#: {ü%'", "p$x\"\\#: {ü%");
        check(r##"K="p\$x'\"\\#: {ü%""##, r##"p$x'"\#: {ü%"##);
        check("A=1\nK=${A}2", "12");
        check("# K=0\nexport K=1 # note", "1");
        assert_eq!(parse("# K=0\nexport K=1").unwrap().line("K"), Some(2));
    }

    #[test]
    fn problems_name_the_key_and_never_the_value() {
        fn check(text: &str, expected: &[&str]) {
            assert_eq!(parse(text).unwrap_err(), expected);
        }
        check("A=1\nB=2\nA=3\n", &[".env: A is set twice, on lines 1 and 3"]);
        check(
            "PW=p$secretx\n",
            &[".env: PW on line 1 has a `$` that is read as a variable, and no such variable exists"],
        );
        check("A=1\nPW='open\n", &[".env: line 2 cannot be read (PW=…)"]);
        assert_eq!(
            EnvFile::parse(b"A=\xff", Path::new(".env")).unwrap_err()[0].what,
            ".env: not UTF-8 at byte 2"
        );
    }

    #[test]
    fn appending_keeps_every_byte() {
        fn check(old: &str, expected: &str) {
            let additions = [("K".to_owned(), "1".to_owned())];
            let new = append(old.as_bytes(), &additions);
            assert_eq!(String::from_utf8(new).unwrap(), expected);
        }
        check("", "K=1\n");
        check("# c\nA=1\n", "# c\nA=1\nK=1\n");
        check("A=1", "A=1\nK=1\n");
        check("A=1\r\nB=2", "A=1\r\nB=2\r\nK=1\r\n");
        assert_eq!(append(b"A=1", &[]), b"A=1");
    }

    #[test]
    fn a_value_over_several_lines_is_one() {
        let text = "A=\"x\nK=inside\ny\"\n# it's\nB=1 # don't\nK='k\nl'\nC=3\n";
        let read = parse(text).unwrap();
        assert_eq!(
            (read.get("A"), read.get("K")),
            (Some("x\nK=inside\ny"), Some("k\nl"))
        );
        assert_eq!((read.line("K"), read.line("C")), (Some(6), Some(8)));
        let expected = text.replace("K='k\nl'", "K=new");
        assert_eq!(
            String::from_utf8(set(text.as_bytes(), "K", "new")).unwrap(),
            expected
        );
    }

    #[test]
    fn setting_changes_one_line_and_reads_back() {
        fn check(old: &str, value: &str, expected: &str) {
            let new = String::from_utf8(set(old.as_bytes(), "K", value)).unwrap();
            assert_eq!(new, expected);
            assert_eq!(parse(&new).unwrap().get("K"), Some(value));
        }
        check("A=1\nK=old # note\nB=2\n", "new", "A=1\nK=new\nB=2\n");
        check("export K='o'\r\nB=2", "a b", "K='a b'\r\nB=2");
        check("\u{feff}K=1", "2", "\u{feff}K=2");
        check("# K=1\nKK=2", "3", "# K=1\nKK=2\nK=3\n");
        check("", "a b\\", "K=\"a b\\\\\"\n");
        check("", "p$x\"\\#: {ü%", "K='p$x\"\\#: {ü%'\n");
        check("K=", r##"p$x'"\#: {ü%"##, r##"K="p\$x'\"\\#: {ü%""##);
    }
}
