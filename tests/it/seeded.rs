//! The breakages that `make seeded` tries: each still fits, names tests that there are, and has its row in
//! RELIABILITY.md. Whether those tests turn red is for `make seeded` to find out.

use std::fs;
use std::path::Path;
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

struct Patch {
    name: String,
    tests: Vec<String>,
    breaks: String,
}

fn patches() -> Vec<Patch> {
    let mut patches = Vec::new();
    for entry in fs::read_dir(Path::new(ROOT).join("tests/seeded")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let mut lines = text.lines();
        let mut after = |start: &str| {
            let line = lines.next().unwrap_or_default();
            let rest = line.strip_prefix(start);
            rest.unwrap_or_else(|| panic!("{}: `{start}` is missing", path.display()))
                .to_owned()
        };
        let (tests, breaks) = (after("# Red: "), after("# Breaks: "));
        patches.push(Patch {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            tests: tests.split_whitespace().map(str::to_owned).collect(),
            breaks,
        });
    }
    patches.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(patches.len() >= 24, "{}", patches.len());
    patches
}

/// An edit of what a patch changes must take the patch along.
#[test]
fn every_breakage_fits_what_it_breaks() {
    let has_git = Command::new("git").arg("--version").output().is_ok();
    if !has_git || !Path::new(ROOT).join(".git").exists() {
        println!("skipped: this is no clone");
        return;
    }
    let mut bad = Vec::new();
    for patch in patches() {
        let file = format!("tests/seeded/{}.patch", patch.name);
        let mut check = Command::new("git");
        check.args(["apply", "--check", &file]).current_dir(ROOT);
        let output = check.output().unwrap();
        if !output.status.success() {
            bad.push(String::from_utf8_lossy(&output.stderr).into_owned());
        }
    }
    assert!(bad.is_empty(), "make them anew:\n{}", bad.concat());
}

#[test]
fn every_breakage_names_tests_that_there_are() {
    for Patch { name, tests, .. } in patches() {
        assert!(!tests.is_empty(), "{name}");
        for test in tests {
            let (module, function) = test.rsplit_once("::").unwrap();
            let module = module.trim_end_matches("::tests").replace("::", "/");
            let places = ["tests/it", "src"].map(|root| format!("{ROOT}/{root}/{module}"));
            let mut files = places
                .iter()
                .flat_map(|place| [".rs", "/mod.rs", "/tests.rs"].map(|end| format!("{place}{end}")))
                .filter_map(|file| fs::read_to_string(file).ok());
            let found = files.any(|text| text.contains(&format!("fn {function}(")));
            assert!(found, "{name}: there is no test {test}");
        }
    }
}

#[test]
fn every_breakage_is_told() {
    let told = fs::read_to_string(Path::new(ROOT).join("RELIABILITY.md")).unwrap();
    let rows: Vec<String> = patches()
        .iter()
        .map(|Patch { name, tests, breaks }| format!("| {name} | {breaks} | `{}` |", tests.join("` `")))
        .collect();
    let missing: Vec<&String> = rows.iter().filter(|row| !told.contains(*row)).collect();
    assert!(
        missing.is_empty(),
        "RELIABILITY.md is to have these rows:\n{}",
        rows.join("\n")
    );
}
