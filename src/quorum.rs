//! How many replicas the user's own `synchronous_standby_names` needs: with fewer, commits would wait for ever. Pure.

use std::collections::BTreeSet;

use crate::error::{Failure, Kind, Problem};
use crate::topology;

/// Refuses to leave fewer of the replicas that `names` lists than a commit waits for.
///
/// # Errors
/// [`Kind::Input`].
pub fn refuse_below(names: &str, left: &BTreeSet<u32>) -> Result<(), Failure> {
    let Some((needed, listed)) = parse(names) else {
        return Ok(());
    };
    let is_listed = |id: &&u32| {
        listed
            .iter()
            .any(|name| name == "*" || *name == topology::name(**id))
    };
    let counted = left.iter().filter(is_listed).count();
    if counted >= needed {
        return Ok(());
    }
    Err(Failure::new(
        Kind::Input,
        Problem::new(format!(
            "synchronous_standby_names: `{names}` lets commits wait for {needed}, and {counted} of those that it names \
             would be left"
        ))
        .fix("keep as many replicas as it needs, or change it in master/config/postgresql.conf and run `pgcluster up` first"),
    ))
}

/// How many a commit waits for, and the names, by PostgreSQL's grammar; `None` where there is nothing to wait for.
fn parse(text: &str) -> Option<(usize, Vec<String>)> {
    let text = text.trim();
    let (count, list) = match text.split_once('(') {
        Some((head, rest)) => {
            let count = head.split_whitespace().next_back()?.parse().ok()?;
            (count, rest.trim_end().strip_suffix(')')?)
        }
        None => (1, text),
    };
    let name = |word: &str| word.trim().trim_matches('"').to_lowercase();
    let names: Vec<String> = list
        .split(',')
        .map(name)
        .filter(|name| !name.is_empty())
        .collect();
    (!names.is_empty()).then_some((count, names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_a_commit_waits_for_must_stay() {
        fn check(names: &str, left: &[u32], fits: bool) {
            let left = left.iter().copied().collect();
            assert_eq!(refuse_below(names, &left).is_ok(), fits, "{names} with {left:?}");
        }
        check("", &[], true);
        check("slave1", &[1], true);
        check("slave1", &[2], false);
        check("*", &[], false);
        check("*", &[3], true);
        check("ANY 2 (slave1, slave2, slave3)", &[1, 3], true);
        check("ANY 2 (slave1, slave2, slave3)", &[3, 4], false);
        check("FIRST 1 (\"slave1\", elsewhere)", &[1], true);
        check("2 (slave1,slave2)", &[1], false);
    }
}
