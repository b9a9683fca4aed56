//! `pgcluster` itself is cut short, by any signal at any moment: the next `up` converges, and nothing is left over.

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::number;
use crate::cluster::{Cluster, Outcome};

/// Most of the commands take less, in milliseconds.
const LONGEST: u64 = 2_500;

const REPLICAS: u32 = 2;

/// `make torture`: CUT_RUNS times; CUT_SEED, as printed, does the same again as far as it depends on us.
#[test]
#[ignore = "takes minutes: make torture"]
fn interruptions() {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let (runs, seed) = (number("CUT_RUNS", 50), number("CUT_SEED", now));
    println!("CUT_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let cluster = Cluster::new("cut short").expect("PGCLUSTER_DOCKER=1");
    cluster.up(REPLICAS);
    for run in 1..=runs {
        let replicas = random.random_range(0..=3).to_string();
        let (words, longest): (Vec<&str>, u64) = match random.random_range(0..6) {
            0 | 1 => (vec!["up", "--replicas", &replicas], LONGEST),
            2 | 3 => (vec!["scale", &replicas, "--drain-timeout", "1"], LONGEST),
            4 => (vec!["down"], 1_500),
            _ => (vec!["generate", &replicas], 60),
        };
        if random.random_bool(0.5) && words[0] != "scale" {
            cluster.run(["down"]).exits(0);
        }
        let moment = Duration::from_millis(random.random_range(0..longest));
        let signal = ["-INT", "-TERM", "-KILL"][random.random_range(0..3)];
        let with_children = random.random_bool(0.5);

        let cut = cluster.start(&words).signalled(moment, signal, with_children);

        let code = cut.code.map_or("none".to_owned(), |code| code.to_string());
        println!("{run}: {words:?}, {signal} after {moment:?}, to all: {with_children}; exit code {code}");
        cluster.up(REPLICAS);
        nothing_is_left_over(&cluster);
        cluster.writes("pool", &format!("after run {run:03}"));
    }
    let rows: Vec<String> = (1..=runs).map(|run| format!("after run {run:03}")).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    cluster.reads_everywhere(REPLICAS, &rows);
    cluster.run(["down"]).exits(0);
    cluster.checksums_are_right(REPLICAS);
}

/// What leads to a state, and the command that is cut short in it.
type Case = (&'static [&'static [&'static str]], &'static [&'static str]);

const CASES: &[Case] = &[
    (
        &[&["down", "--remove-volumes", "--yes"]],
        &["up", "--replicas", "2"],
    ),
    (&[&["down"]], &["up", "--replicas", "2"]),
    (&[&["scale", "1", "--drain-timeout", "1"]], &["scale", "2"]),
    (
        &[&["scale", "1", "--drain-timeout", "1", "--remove-volumes", "--yes"]],
        &["scale", "2", "--clone", "copy"],
    ),
    (&[&["scale", "3"]], &["scale", "2", "--drain-timeout", "1"]),
    (&[], &["down"]),
    (&[], &["down", "--remove-volumes", "--yes"]),
    (
        &[],
        &[
            "rebuild",
            "slave-1",
            "--remove-volumes",
            "--yes",
            "--drain-timeout",
            "1",
        ],
    ),
    (&[], &["restart", "slave-2"]),
];

/// `make torture`: at each point that the program itself knows, one after the other; CUT_ONLY, a word of a command,
/// chooses.
#[test]
#[ignore = "takes an hour: make torture"]
fn every_point() {
    let cluster = Cluster::new("points").expect("PGCLUSTER_DOCKER=1");
    cluster.up(REPLICAS);
    let log = cluster.folder.with_file_name("points.log");
    let only = std::env::var("CUT_ONLY").unwrap_or_default();
    let chosen = |words: &[&str]| only.is_empty() || words.contains(&only.as_str());
    for (state, words) in CASES.iter().filter(|(_, words)| chosen(words)) {
        let reach = || {
            for words in *state {
                cluster.run_words(words).exits(0);
            }
        };
        reach();
        let _ = fs::remove_file(&log);
        let path = log.to_str().expect("a plain path");
        cluster.run_with(&[("PGCLUSTER_POINTS", path)], words).exits(0);
        let points = fs::read_to_string(&log).expect("points were passed");
        let points: Vec<&str> = points.lines().collect();
        println!("{words:?}: {} points", points.len());
        assert!(points.len() > 3, "{points:?}");
        for (number, point) in points.iter().enumerate() {
            cluster.up(REPLICAS);
            reach();
            let cut = cluster.run_with(&[("PGCLUSTER_CUT_AT", &number.to_string())], words);
            // What waits for others passes a different number of points each time.
            assert!(matches!(cut.code, Some(137 | 0)), "{number} {point}: {cut}");
            println!("{number} {point}: {:?}", cut.code);
            cluster.up(REPLICAS);
            nothing_is_left_over(&cluster);
        }
        cluster.up(REPLICAS);
    }
}

/// Exactly what `up` makes: containers, slots, one network, no half made data, no file that was to be renamed.
fn nothing_is_left_over(cluster: &Cluster) {
    cluster.replicates_to(REPLICAS);
    for node in ["master", "slave-1", "slave-2"] {
        assert!(
            !cluster.holds(node, "pgdata.new"),
            "{node}: half made data is left"
        );
    }
    let project = cluster.project().expect("a project");
    let filter = format!("label=com.docker.compose.project={project}");
    for (kind, expected) in [("network", 1), ("volume", 0)] {
        let list = Outcome::of(Command::new("docker").args([kind, "ls", "-q", "--filter", &filter])).exits(0);
        assert_eq!(list.stdout.lines().count(), expected, "{kind}s: {}", list.stdout);
    }
    let mut private: Vec<String> = fs::read_dir(cluster.folder.join(".pgcluster"))
        .expect("it is there")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    private.sort();
    assert_eq!(private, ["lock", "lock-holder", "logins", "newborn", "secrets"]);
    let staged = Outcome::of(
        Command::new("find")
            .arg(&cluster.folder)
            .args(["-name", ".pgcluster-*"]),
    );
    assert_eq!(staged.stdout, "", "files that were to be renamed");
    let copies = fs::read_dir(cluster.folder.join(".pgcluster/newborn")).expect("it is there");
    let copies: Vec<_> = copies.map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(copies, ["README"]);
}
