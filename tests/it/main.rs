//! All integration tests in one binary: the command line with a fake `docker`, and scenarios on real containers.

mod cli;
mod folder;
mod generate;
mod tidy;
