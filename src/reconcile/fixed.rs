//! Which settings of a server need a restart to become what its files say. Pure.

use crate::observed::Fixed;
use crate::render::HOT_STANDBY;
use crate::render::configured::OfNode;

/// A setting that its server takes up at a restart only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub name: String,
    /// A standby must not have it lower than its primary, and it falls.
    pub lowers_hot_standby: bool,
}

/// The settings of `fixed` that differ from `configured`.
pub fn changes(configured: &OfNode, fixed: &[Fixed]) -> Vec<Change> {
    let changed = |fixed: &Fixed| {
        let text = match configured.get(&fixed.name) {
            Some(assigned) => assigned.value.as_str(),
            // What the server chose for itself stays.
            None if !fixed.from_file => return None,
            None => fixed.default.as_deref().unwrap_or_default(),
        };
        differs(fixed, text).then(|| Change {
            name: fixed.name.clone(),
            lowers_hot_standby: HOT_STANDBY.iter().any(|(name, _)| *name == fixed.name)
                && text.parse::<f64>().ok() < fixed.value.parse().ok(),
        })
    };
    fixed.iter().filter_map(changed).collect()
}

/// Whether `text` stands for another value. One that the server will not accept does not.
fn differs(fixed: &Fixed, text: &str) -> bool {
    match fixed.kind.as_str() {
        "bool" => switch(text).is_some_and(|on| on != (fixed.value == "on")),
        "integer" | "real" => {
            let now: Option<f64> = fixed.value.parse().ok();
            amount(text, fixed.unit.as_deref())
                .is_some_and(|amount| Some(amount.round()) != now.map(f64::round))
        }
        "enum" => !text.eq_ignore_ascii_case(&fixed.value),
        _ => text != fixed.value,
    }
}

fn switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Some(true),
        "off" | "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// Units with what they are in bytes or in milliseconds.
const UNITS: &[(&str, f64)] = &[
    ("kB", 1024.0),
    ("MB", 1_048_576.0),
    ("GB", 1_073_741_824.0),
    ("TB", 1_099_511_627_776.0),
    ("B", 1.0),
    ("us", 0.001),
    ("ms", 1.0),
    ("min", 60_000.0),
    ("s", 1000.0),
    ("h", 3_600_000.0),
    ("d", 86_400_000.0),
];

/// `text` counted in the setting's own unit, such as `8kB`.
fn amount(text: &str, unit: Option<&str>) -> Option<f64> {
    let text = text.trim();
    let split = text
        .find(|c: char| c.is_ascii_alphabetic() && !text.starts_with("0x"))
        .unwrap_or(text.len());
    let (number, given) = text.split_at(split);
    let number = crate::render::configured::integer(number)
        .map(|whole| whole as f64)
        .filter(|_| !number.contains('.'))
        .or_else(|| number.trim().parse().ok())?;
    if given.is_empty() {
        return Some(number);
    }
    let of = |name: &str| {
        UNITS
            .iter()
            .find(|(unit, _)| *unit == name)
            .map(|(_, size)| *size)
    };
    let unit = unit?;
    let digits = unit.len() - unit.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let base = unit[..digits].parse().unwrap_or(1.0) * of(&unit[digits..])?;
    Some(number * of(given)? / base)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::configured::Assigned;

    #[test]
    fn values_are_compared_whatever_their_spelling() {
        fn check(kind: &str, unit: &str, value: &str, text: &str, expected: bool) {
            let fixed = Fixed {
                name: "x".into(),
                value: value.into(),
                unit: (!unit.is_empty()).then(|| unit.to_owned()),
                kind: kind.into(),
                default: None,
                from_file: true,
            };
            assert_eq!(differs(&fixed, text), expected, "{value} {unit} {text}");
        }
        check("integer", "8kB", "16384", "128MB", false);
        check("integer", "8kB", "16384", "16384", false);
        check("integer", "8kB", "16384", "96MB", true);
        check("integer", "8kB", "16384", "0.125GB", false);
        check("integer", "", "250", "0xFA", false);
        check("integer", "", "250", "240", true);
        check("integer", "", "250", "many", false);
        check("integer", "s", "60", "1min", false);
        check("bool", "", "on", "True", false);
        check("bool", "", "on", "off", true);
        check("enum", "", "logical", "LOGICAL", false);
        check("string", "", "timescaledb", "timescaledb,pg_cron", true);
    }

    #[test]
    fn a_line_that_is_gone_means_the_default() {
        let fixed = |name: &str, from_file| Fixed {
            name: name.into(),
            value: "250".into(),
            unit: None,
            kind: "integer".into(),
            default: Some("100".into()),
            from_file,
        };
        let seen = [
            fixed("max_connections", true),
            fixed("max_wal_senders", false),
            fixed("max_files_per_process", true),
        ];
        let assigned = Assigned {
            value: "300".into(),
            file: "".into(),
            line: 1,
        };
        let configured =
            crate::render::configured::Configured::from([("max_files_per_process".to_owned(), assigned)]);
        let configured = OfNode::from(configured);
        let changes = changes(&configured, &seen).into_iter();
        let shown: Vec<(String, bool)> = changes.map(|c| (c.name, c.lowers_hot_standby)).collect();
        assert_eq!(
            shown,
            [
                ("max_connections".into(), true),
                ("max_files_per_process".into(), false)
            ]
        );
    }
}
