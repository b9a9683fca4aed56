//! One filter for each language a value is written into; a template never writes a value bare.

use tera::{Kwargs, State, Tera, Value};

/// Makes the filters known to `tera`.
pub fn register(tera: &mut Tera) {
    tera.register_filter("yaml", |value: Value, _: Kwargs, _: &State| yaml(&text(&value)));
    tera.register_filter("conf", |value: Value, _: Kwargs, _: &State| conf(&text(&value)));
    tera.register_filter("pgpool", |value: Value, _: Kwargs, _: &State| {
        pgpool(&text(&value))
    });
    tera.register_filter("hba", |value: Value, _: Kwargs, _: &State| hba(&text(&value)));
}

fn text(value: &Value) -> String {
    value.to_string()
}

/// A double-quoted YAML scalar for a Compose file, where `$` starts a variable unless doubled.
pub fn yaml(value: &str) -> String {
    // A JSON string is a YAML double-quoted scalar, except for the line breaks that only YAML knows.
    let json = serde_json::Value::from(value.replace('$', "$$")).to_string();
    ['\u{85}', '\u{2028}', '\u{2029}', '\u{feff}']
        .iter()
        .fold(json, |json, &c| {
            json.replace(c, &format!("\\u{:04x}", u32::from(c)))
        })
}

/// A quoted value of postgresql.conf, where `'` is doubled and `\` begins an escape.
pub fn conf(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

/// A quoted value of pgpool.conf, where nothing is an escape and `'` cannot be written at all (tried with 4.7.3;
/// settings that reach it refuse the character).
pub fn pgpool(value: &str) -> String {
    format!("'{}'", value.replace('\'', ""))
}

/// A quoted token of pg_hba.conf, where `"` is doubled and nothing else is special.
pub fn hba(value: &str) -> String {
    format!("\"{}\"", value.replace('"', "\"\""))
}

/// A quoted value of a libpq connection string.
pub fn conninfo(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWKWARD: &str = "p$x'\"\\#: {ü%";

    #[test]
    fn each_language_gets_its_own_quoting() {
        fn check(filter: fn(&str) -> String, expected: &str) {
            assert_eq!(filter(AWKWARD), expected);
        }
        check(yaml, r##""p$$x'\"\\#: {ü%""##);
        check(conf, r##"'p$x''"\\#: {ü%'"##);
        check(pgpool, r##"'p$x"\#: {ü%'"##);
        check(hba, r##""p$x'""\#: {ü%""##);
        check(conninfo, r##"'p$x\'"\\#: {ü%'"##);
    }

    #[test]
    fn yaml_gives_back_what_went_in() {
        for value in [
            AWKWARD,
            "1_000",
            "010",
            "1e3",
            "yes",
            "",
            "- a",
            "a\u{85}b",
            "\u{2028}\u{feff}",
        ] {
            let parsed: String = serde_yaml::from_str(&yaml(value)).unwrap();
            assert_eq!(parsed.replace("$$", "$"), value);
        }
    }
}
