//! All integration tests in one binary: the command line with a fake `docker`, and scenarios on real containers.

mod cli;
#[cfg(unix)]
mod cluster;
#[cfg(unix)]
mod faults;
mod folder;
mod fuzzed;
mod generate;
#[cfg(unix)]
mod ledger;
#[cfg(unix)]
mod scenarios;
mod seeded;
mod tidy;
