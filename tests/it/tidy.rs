//! Holds the walls of ARCHITECTURE.md: what may stand where, and that the README says what the code does.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Every source file as its path from the root and its text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut folders = vec![Path::new(ROOT).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path
                    .strip_prefix(ROOT)
                    .unwrap()
                    .to_string_lossy()
                    .replace('\\', "/");
                files.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!files.is_empty());
    files
}

fn read(path: &str) -> String {
    let path: PathBuf = Path::new(ROOT).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file's code, and its unit tests where they stand in it.
fn halves(text: &str) -> (&str, &str) {
    text.split_once("#[cfg(test)]\nmod tests {").unwrap_or((text, ""))
}

/// The files of `src/` in which `word` stands outside comments and unit tests.
fn places(word: &str) -> Vec<String> {
    let mut found: Vec<String> = sources("src")
        .into_iter()
        .filter(|(_, text)| {
            let (code, _) = halves(text);
            code.lines()
                .map(|line| line.split("//").next().unwrap_or_default())
                .any(|code| code.contains(word))
        })
        .map(|(name, _)| name)
        .collect();
    found.sort();
    found
}

/// What the image has ready is used only where it was made as the entrypoint would make it.
#[test]
fn the_image_and_the_entrypoint_initialise_alike() {
    let words = |text: &str, from: &str, to: &str| {
        let (_, rest) = text.split_once(from).expect("it begins");
        let (options, _) = rest.split_once(to).expect("it ends");
        let words: Vec<String> = options.split_whitespace().map(str::to_owned).collect();
        words
    };
    let image = words(
        include_str!("../../slave-template/Dockerfile"),
        "    options=\"",
        "\"",
    );
    let entrypoint = words(
        include_str!("../../master/master-entrypoint.sh"),
        "initdb_options=(",
        ")",
    );
    assert_eq!(image, entrypoint);
    let extensions = words(
        include_str!("../../slave-template/Dockerfile"),
        " CASCADE;\\n' ",
        " >newborn.sql",
    );
    let settings = read(".env");
    let default = settings.lines().find_map(|line| line.strip_prefix("EXTENSIONS="));
    assert_eq!(Some(extensions.join(",").as_str()), default);
}

#[test]
fn each_effect_has_one_home() {
    fn check(word: &str, homes: &[&str]) {
        assert_eq!(places(word), homes, "`{word}`");
    }
    check("Command::new", &["src/process.rs"]);
    check("tokio_postgres", &["src/postgres.rs"]);
    check(
        "rustls::",
        &["src/certificates.rs", "src/postgres.rs", "src/postgres/secure.rs"],
    );
    check("rcgen", &["src/certificates.rs"]);
    check("println!", &["src/ui.rs"]);
    check("eprint", &["src/ui.rs"]);
    check("process::exit", &["src/points.rs"]);
    check("tempfile_in", &["src/workdir/write.rs"]);
    check("fs::write", &["src/workdir/lock.rs"]);
    check("remove_dir_all", &["src/deletion.rs"]);
    check("hyper", &["src/engine.rs"]);
    check(
        "env::var",
        &[
            "src/engine.rs",
            "src/env_file.rs",
            "src/points.rs",
            "src/process.rs",
            "src/project.rs",
        ],
    );
}

#[test]
fn decisions_are_pure() {
    const PURE: &[&str] = &[
        "src/advice.rs",
        "src/certificates.rs",
        "src/certificates/",
        "src/extensions.rs",
        "src/doctor/",
        "src/health/",
        "src/observed.rs",
        "src/plan.rs",
        "src/reconcile.rs",
        "src/reconcile/",
        "src/settings/profile.rs",
        "src/render/",
        "src/target.rs",
        "src/route.rs",
        "src/topology.rs",
        "src/url.rs",
    ];
    const EFFECTS: &[&str] = &[
        "std::fs",
        "std::env",
        "tokio",
        "Instant",
        "SystemTime",
        "async ",
        "anstream",
    ];
    for (name, text) in sources("src") {
        if PURE.iter().any(|pure| name.starts_with(pure)) {
            for effect in EFFECTS {
                assert!(!text.contains(effect), "{name} must be pure, and has `{effect}`");
            }
        }
    }
}

#[test]
fn files_stay_small_enough_to_read() {
    for (name, text) in ["src", "tests", "benches"].into_iter().flat_map(sources) {
        let lines = text.lines().count();
        assert!(lines <= 350, "{name} has {lines} lines: split it");
    }
}

#[test]
fn every_command_of_the_readme_parses() {
    let readme = read("README.md");
    let commands: Vec<&str> = readme
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pgcluster "))
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .collect();
    assert!(commands.len() >= 5, "{commands:?}");
    for command in commands {
        // What stands in double quotes is one word.
        let parts = command.split('"').enumerate();
        let words = parts.flat_map(|(i, part)| match i % 2 {
            0 => part.split_whitespace().collect(),
            _ => vec![part],
        });
        let words = std::iter::once("pgcluster").chain(words);
        if let Err(error) = pgcluster::cli::Cli::try_parse_from(words) {
            panic!("README: pgcluster {command}\n{error}");
        }
    }
}

#[test]
fn every_key_of_the_env_file_is_in_the_readme_with_its_default() {
    let readme = read("README.md");
    for line in read(".env")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let (key, default) = line.split_once('=').unwrap();
        let row = match default {
            "" => format!("| `{key}` | |"),
            default => format!("| `{key}` | `{default}` |"),
        };
        assert!(readme.contains(&row), "README has no row `{row}`");
    }
}

#[test]
fn the_readme_publishes_the_exit_codes_of_the_help() {
    use clap::CommandFactory;
    let readme = read("README.md");
    let help = pgcluster::cli::Cli::command().render_help().to_string();
    let codes: Vec<&str> = help
        .lines()
        .skip_while(|line| !line.starts_with("Exit codes"))
        .skip(1)
        .map(str::trim)
        .collect();
    assert_eq!(codes.len(), 7, "{codes:?}");
    for line in codes {
        let (code, meaning) = line.split_once(char::is_whitespace).unwrap();
        let row = format!("| {code} | {} |", meaning.trim());
        assert!(readme.contains(&row), "README has no row `{row}`");
    }
}

#[test]
fn scripts_keep_unix_line_ends() {
    let benches = ["bare", "handmade", "naive", "patroni", "sleeps"].map(|name| format!("benches/{name}"));
    let folders = ["master", "slave-template", "templates", "scripts"].map(str::to_owned);
    for folder in folders.into_iter().chain(benches) {
        for entry in fs::read_dir(Path::new(ROOT).join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let bytes = fs::read(&path).unwrap();
                assert!(!bytes.contains(&b'\r'), "{} has carriage returns", path.display());
            }
        }
    }
}

/// Errors that no test brings about: an answer of PostgreSQL that is no JSON, and one to a question on a terminal.
const UNSEEN: [&str; 2] = ["an answer that makes no sense", "nothing was stopped"];

/// Of each error that the product can make, some test knows three words in a row.
#[test]
fn every_error_has_been_seen_by_a_test() {
    let mut known: String = sources("tests").iter().map(|(_, text)| joined(text)).collect();
    for snapshot in fs::read_dir(Path::new(ROOT).join("tests/it/snapshots")).unwrap() {
        known.push_str(&fs::read_to_string(snapshot.unwrap().path()).unwrap());
    }
    let mut errors = Vec::new();
    for (name, text) in sources("src") {
        let (code, tests) = match name.ends_with("tests.rs") {
            true => ("", text.as_str()),
            false => halves(&text),
        };
        known.push_str(&joined(tests));
        errors.extend(error_texts(&joined(code)));
    }
    assert!(errors.len() > 80, "{}", errors.len());
    let known = plain(&known);
    let is_seen = |error: &String| {
        error.split(['{', '}']).step_by(2).any(|part| {
            let part = plain(part);
            let words: Vec<&str> = part.split_whitespace().collect();
            words
                .windows(words.len().clamp(1, 3))
                .any(|some| known.contains(&some.join(" ")))
        })
    };
    // Where all words come from elsewhere there is nothing to look for.
    errors.retain(|error| {
        error
            .split(['{', '}'])
            .step_by(2)
            .any(|part| part.contains(char::is_alphabetic))
    });
    errors.retain(|error| !is_seen(error) && !UNSEEN.iter().any(|unseen| error.starts_with(unseen)));
    assert_eq!(errors, [""; 0]);
}

/// Lines that a `\` continues in one.
fn joined(text: &str) -> String {
    let mut lines = text.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |text, line| text + line.trim_start())
}

/// The literals from which `code` makes a `Problem`.
fn error_texts(code: &str) -> Vec<String> {
    let literal = |rest: &str| {
        let rest = rest.trim_start().trim_start_matches("format!(").trim_start();
        let rest = rest.strip_prefix('"')?;
        let mut escaped = false;
        let end = rest.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })?;
        Some(rest[..end].to_owned())
    };
    code.split("Problem::new(").skip(1).filter_map(literal).collect()
}

/// Without what is written differently in different places.
fn plain(text: &str) -> String {
    let words = text.split_whitespace().map(|word| word.replace('\\', ""));
    let words: Vec<String> = words
        .map(|word| word.trim_matches([':', ';', ',', '"']).to_owned())
        .collect();
    words.join(" ")
}
