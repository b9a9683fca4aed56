//! The pool's list of nodes while some of them run empty.

use std::collections::BTreeMap;

use crate::topology;

/// `backends` with these replicas, whether it has them or not, and with no share of new sessions for them.
pub fn draining(backends: &[u8], ids: &[u32]) -> Vec<u8> {
    let text = String::from_utf8_lossy(backends);
    let weights: BTreeMap<u32, &str> = text.lines().filter_map(weight).collect();
    let goes_on = |(id, weight): (&u32, &&str)| *id != 0 && !ids.contains(id) && *weight != "0";
    let others = weights.iter().any(goes_on);
    let line = |line: &str| match weight(line) {
        Some((id, _)) if ids.contains(&id) => format!("backend_weight{id} = 0\n"),
        // Someone must read.
        Some((0, _)) if !others => "backend_weight0 = 1\n".to_owned(),
        _ => format!("{line}\n"),
    };
    let mut drained: String = text.lines().map(line).collect();
    for id in ids.iter().filter(|id| !weights.contains_key(id)) {
        drained.push_str(&format!(
            "\nbackend_hostname{id} = '{}'\nbackend_port{id} = 5432\nbackend_weight{id} = 0\n\
             backend_flag{id} = 'ALLOW_TO_FAILOVER'\nbackend_application_name{id} = '{}'\n",
            topology::service(*id),
            topology::name(*id),
        ));
    }
    drained.into_bytes()
}

/// The node's number and its weight, in a line that sets one.
fn weight(line: &str) -> Option<(u32, &str)> {
    let (id, value) = line.strip_prefix("backend_weight")?.split_once('=')?;
    Some((id.trim().parse().ok()?, value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The weights afterwards, by node.
    fn check(weights: &[(u32, u32)], ids: &[u32], expected: &[(u32, &str)]) {
        let lines = weights.iter().map(|(id, weight)| {
            format!(
                "backend_hostname{id} = '{}'\nbackend_weight{id} = {weight}\n",
                topology::service(*id)
            )
        });
        let before: String = lines.collect();
        let drained = String::from_utf8(draining(before.as_bytes(), ids)).unwrap();
        let after: Vec<(u32, &str)> = drained.lines().filter_map(weight).collect();
        assert_eq!(after, expected, "{drained}");
        assert_eq!(drained.matches("backend_hostname").count(), expected.len());
    }

    #[test]
    fn those_that_leave_get_nothing_and_someone_reads() {
        check(
            &[(0, 0), (1, 1)],
            &[2, 3],
            &[(0, "0"), (1, "1"), (2, "0"), (3, "0")],
        );
        check(&[(0, 0), (1, 1), (2, 1)], &[2], &[(0, "0"), (1, "1"), (2, "0")]);
        check(&[(0, 0), (1, 1)], &[1], &[(0, "1"), (1, "0")]);
        check(&[(0, 1)], &[1], &[(0, "1"), (1, "0")]);
    }
}
