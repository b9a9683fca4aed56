//! What is kept, what is made anew, and whom a client would take it from.

use super::*;

const YEAR: Duration = Duration::from_secs(365 * 86_400);
const NOW: Duration = Duration::from_secs(1_800_000_000);

type Files = BTreeMap<String, Vec<u8>>;

fn servers(names: &[&str]) -> BTreeMap<String, Vec<String>> {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    BTreeMap::from([("tls_master".to_owned(), names)])
}

const NAMES: &[&str] = &["postgres-master", "localhost", "127.0.0.1", "::1"];

fn stored(certificates: &Certificates) -> Files {
    let files = certificates.files.iter();
    files
        .map(|(name, content)| (name.clone(), content.clone().into_bytes()))
        .collect()
}

fn made(there: &Files, names: &[&str], now: Duration) -> Certificates {
    renewed(there, &servers(names), now).unwrap()
}

/// Which files differ between what was made at `NOW` for [`NAMES`] and what is made after `later`.
fn check(names: &[&str], later: Duration, change: impl FnOnce(&mut Files), expected: &[&str]) {
    let mut there = stored(&made(&Files::new(), NAMES, NOW));
    let before = there.clone();
    change(&mut there);
    let after = stored(&made(&there, names, NOW + later));
    let differ: Vec<&str> = after
        .iter()
        .filter(|(name, content)| before.get(*name) != Some(content))
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        differ,
        expected,
        "{names:?} after {} days",
        later.as_secs() / 86_400
    );
}

#[test]
fn what_is_good_stays_byte_for_byte() {
    check(NAMES, Duration::ZERO, |_| {}, &[]);
    check(NAMES, YEAR - SERVER_RESERVE - DAY, |_| {}, &[]);
    // One name less is no reason.
    check(&NAMES[..3], Duration::ZERO, |_| {}, &[]);
}

#[test]
fn what_ends_soon_or_lacks_a_name_is_made_anew() {
    check(NAMES, YEAR - SERVER_RESERVE + DAY, |_| {}, &["tls_master"]);
    check(NAMES, YEAR * 2, |_| {}, &["tls_master"]);
    check(
        &["postgres-master", "192.0.2.7"],
        Duration::ZERO,
        |_| {},
        &["tls_master"],
    );
}

#[test]
fn what_cannot_be_read_is_made_anew() {
    let spoil =
        |text: &'static str| move |files: &mut Files| drop(files.insert("tls_master".into(), text.into()));
    check(NAMES, Duration::ZERO, spoil(""), &["tls_master"]);
    check(
        NAMES,
        Duration::ZERO,
        spoil("-----BEGIN CERTIFICATE-----\n"),
        &["tls_master"],
    );
    let lose = |file: &'static str| move |files: &mut Files| drop(files.remove(file));
    check(NAMES, Duration::ZERO, lose("tls_master"), &["tls_master"]);
    // Without the authority nothing that it signed is of use.
    check(NAMES, Duration::ZERO, lose(AUTHORITY), &["tls_ca", "tls_master"]);
    // A key of another certificate.
    let mix = |files: &mut Files| {
        let other = stored(&made(&Files::new(), NAMES, NOW));
        let (mine, others) = (text(&files["tls_master"]).to_owned(), text(&other["tls_master"]));
        let mixed = format!("{}{}", blocks(others)[0], blocks(&mine)[1]);
        files.insert("tls_master".into(), mixed.into());
    };
    check(NAMES, Duration::ZERO, mix, &["tls_master"]);
}

#[test]
fn a_clock_that_was_set_back_is_no_reason_to_fail() {
    let early = made(&Files::new(), NAMES, NOW);
    let before = made(&stored(&early), NAMES, NOW - YEAR);
    assert!(before.files["tls_master"] != early.files["tls_master"]);
    assert_eq!(before.authority, early.authority);
}

#[test]
fn who_trusts_the_former_authority_has_time_to_learn_of_the_new_one() {
    let first = made(&Files::new(), NAMES, NOW);
    let second = made(&stored(&first), NAMES, NOW + YEAR * 9);
    assert_ne!(first.authority, second.authority);
    assert_eq!(second.trusted, format!("{}{}", second.authority, first.authority));
    assert_eq!(trusted(&stored(&second)), Some(second.trusted.clone()));
    assert_eq!(roots(&second.trusted).len(), 2);
    // Until it has ended.
    let third = made(&stored(&second), NAMES, NOW + YEAR * 11);
    assert_eq!(third.trusted, second.authority);
}

#[test]
fn a_certificate_is_for_its_own_names_and_of_its_own_authority() {
    let certificates = made(&Files::new(), NAMES, NOW);
    let pair = Pair::read(&certificates.files["tls_master"]).unwrap();
    let authority = Pair::read(&certificates.files[AUTHORITY]).unwrap();
    let serves = |name: &str, authority: &Pair| pair.serves(&[name.to_owned()], authority, NOW);
    for name in NAMES {
        assert!(serves(name, &authority), "{name}");
    }
    assert!(!serves("postgres-slave1", &authority));
    assert!(!serves("127.0.0.2", &authority));
    assert!(!serves("localhost", &Pair::authority(NOW).unwrap()));
    // The key is the server's alone.
    assert_ne!(pair.key, authority.key);
    assert!(!certificates.files["tls_master"].contains(&authority.key));
}
