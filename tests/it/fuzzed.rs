//! The fuzz targets of `fuzz/`, driven without the tool: by their seeds, by these with damages, and by any bytes.

use std::fs;
use std::path::{Path, PathBuf};

use pgcluster::fuzzed::{TARGETS, Target};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(path)
}

/// What a target begins with; also what once made one fail.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let files = fs::read_dir(at(&format!("seeds/{target}"))).unwrap_or_else(|e| panic!("{target}: {e}"));
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Bytes that come in the place of others.
fn damage() -> impl Strategy<Value = (Index, usize, Vec<u8>)> {
    let part = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..8),
        "[{}\\[\\]\"'\\\\:,=#$|()\t\r\n 0-9a-cN\u{0}\u{feff}\u{e000}ü-]{0,12}".prop_map(String::into_bytes),
        Just(b"18446744073709551616".to_vec()),
        Just(vec![0xff; 5]),
    ];
    (any::<Index>(), 0_usize..20, part)
}

fn damaged(mut bytes: Vec<u8>, damages: &[(Index, usize, Vec<u8>)]) -> Vec<u8> {
    for (at, gone, part) in damages {
        let start = at.index(bytes.len() + 1);
        let end = (start + gone).min(bytes.len());
        bytes.splice(start..end, part.iter().copied());
    }
    bytes
}

fn each(mut with: impl FnMut(&str, Target)) {
    for (name, target) in TARGETS {
        with(name, *target);
    }
}

#[test]
fn every_target_has_its_file_its_entry_and_seeds_that_pass() {
    let manifest = fs::read_to_string(at("Cargo.toml")).unwrap();
    let count = fs::read_dir(at("fuzz_targets")).unwrap().count();
    assert_eq!(
        (count, manifest.matches("[[bin]]").count()),
        (TARGETS.len(), TARGETS.len())
    );
    each(|name, target| {
        let text = fs::read_to_string(at(&format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(
            text.contains(&format!("pgcluster::fuzzed::{name}(bytes)")),
            "{text}"
        );
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name}");
        seeds.iter().for_each(|seed| target(seed));
    });
}

proptest! {
    // The same each time: what is random is for `make fuzz`, where a finding holds up nobody.
    #![proptest_config(ProptestConfig {
        cases: 400,
        rng_seed: RngSeed::Fixed(17),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_parser_fails_whatever_comes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        each(|_, target| target(&bytes));
    }

    #[test]
    fn no_parser_fails_on_what_is_almost_right(
        chosen in any::<Index>(),
        damages in prop::collection::vec(damage(), 1..6),
    ) {
        each(|name, target| {
            let seeds = seeds(name);
            let seed = seeds[chosen.index(seeds.len())].clone();
            target(&damaged(seed, &damages));
        });
    }
}
