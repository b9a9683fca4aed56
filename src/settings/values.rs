//! The kinds of values that several keys have: words, switches, amounts, lists.

use std::net::IpAddr;

use super::resolver::Resolver;
use super::{Choice, ConnectionMode, DataPlace, QueryCache, ReadConsistency};

impl<E: Fn(&str) -> Option<String>> Resolver<'_, E> {
    /// One word of a list.
    pub fn choice<C: Choice>(&mut self, key: &str) -> C {
        let value = self.value(key);
        self.word(key, &value)
    }

    fn word<C: Choice>(&mut self, key: &str, value: &str) -> C {
        C::of(value).unwrap_or_else(|| {
            let words: Vec<&str> = C::WORDS.iter().map(|(word, _)| *word).collect();
            self.problem(
                key,
                value,
                "is none of its words",
                &format!("use {}", words.join(", ")),
            );
            C::WORDS[0].1
        })
    }

    /// Empty means what fits this system, so that one `.env` serves on all.
    pub fn data_place(&mut self) -> DataPlace {
        match self.value("DATA").as_str() {
            "" => DataPlace::of_this_system(),
            value => self.word("DATA", value),
        }
    }

    pub fn switch(&mut self, key: &str) -> bool {
        let value = self.value(key);
        match value.as_str() {
            "on" => true,
            "off" => false,
            _ => {
                self.problem(key, &value, "is neither `on` nor `off`", "use one of the two");
                false
            }
        }
    }

    /// Left to us, what leaves this machine is encrypted.
    pub fn tls(&mut self, bind: IpAddr) -> bool {
        const KEY: &str = "TLS";
        let value = self.value(KEY);
        match value.as_str() {
            "auto" => !bind.is_loopback(),
            "on" => true,
            "off" => false,
            _ => {
                self.problem(KEY, &value, "is none of auto, on, off", "use one of the three");
                false
            }
        }
    }

    /// A duration that Pgpool-II takes, from one second to a day.
    pub fn seconds(&mut self, key: &str) -> u32 {
        const DAY: u32 = 86_400;
        let value = self.value(key);
        match value.parse() {
            Ok(seconds) if (1..=DAY).contains(&seconds) => seconds,
            _ => {
                self.problem(
                    key,
                    &value,
                    "is not a number of seconds",
                    &format!("use 1 to {DAY}"),
                );
                1
            }
        }
    }

    /// An amount in PostgreSQL's notation, where a kB is 1024 bytes.
    pub fn bytes(&mut self, key: &str) -> u64 {
        const UNITS: &[(&str, u32)] = &[("kB", 10), ("MB", 20), ("GB", 30), ("TB", 40), ("B", 0), ("", 0)];
        let value = self.value(key);
        let parsed = UNITS.iter().find_map(|(unit, shift)| {
            let number: u64 = value.strip_suffix(unit)?.trim_end().parse().ok()?;
            number
                .checked_mul(1 << shift)
                .filter(|bytes| *bytes > 0 && i64::try_from(*bytes).is_ok())
        });
        parsed.unwrap_or_else(|| {
            self.problem(
                key,
                &value,
                "is not an amount of bytes",
                "use a number with kB, MB or GB, as in 256kB",
            );
            1
        })
    }

    /// What cannot hold, or cannot be reached, behind PgBouncer.
    pub fn fits_mode(&mut self, mode: ConnectionMode, consistency: ReadConsistency, database: &str) {
        if !mode.has_bouncer() {
            return;
        }
        if consistency == ReadConsistency::Session {
            self.problem(
                "READ_CONSISTENCY",
                consistency.word(),
                &format!(
                    "cannot hold with CONNECTION_MODE={mode}: the next {mode} of a client may run on another \
                     connection, which knows nothing of what the client wrote before"
                ),
                "use READ_CONSISTENCY=strict, or CONNECTION_MODE=session",
            );
        }
        if database == "pgbouncer" {
            self.problem(
                "POSTGRES_DB",
                database,
                &format!(
                    "cannot be reached with CONNECTION_MODE={mode}: it is the name of PgBouncer's console"
                ),
                "choose another name, or use CONNECTION_MODE=session",
            );
        }
    }

    /// Names of extensions, which become SQL identifiers and nothing else.
    pub fn extensions(&mut self) -> Vec<String> {
        const KEY: &str = "EXTENSIONS";
        let value = self.value(KEY);
        let names: Vec<String> = value
            .split([',', ' '])
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        let is_name = |name: &String| {
            name.len() <= 63
                && name.starts_with(|c: char| c.is_ascii_lowercase())
                && name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c))
        };
        if !names.iter().all(is_name) {
            self.problem(
                KEY,
                &value,
                "is not a list of extensions",
                "write their names with commas between, as in vector,timescaledb",
            );
        }
        names
    }

    /// Two settings that each may be chosen, and of which one breaks what the other promises.
    pub fn promises(&mut self, consistency: ReadConsistency, cache: QueryCache) {
        if consistency != ReadConsistency::Eventual && cache == QueryCache::All {
            self.problem(
                "QUERY_CACHE",
                cache.word(),
                &format!(
                    "answers from memory what may have changed meanwhile, and READ_CONSISTENCY={consistency} promises otherwise"
                ),
                "use QUERY_CACHE=hint or off, or READ_CONSISTENCY=eventual",
            );
        }
    }
}
