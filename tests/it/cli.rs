//! The command line and its answers, with a `docker` that reaches no engine.

mod arguments;
mod completions;
#[cfg(unix)]
mod config;
#[cfg(unix)]
mod connect;
#[cfg(unix)]
mod doctor;
#[cfg(unix)]
mod down;
#[cfg(unix)]
mod engine;
#[cfg(unix)]
mod errors;
#[cfg(unix)]
mod extensions;
#[cfg(unix)]
#[path = "fake_docker/mod.rs"]
mod fake_docker;
#[cfg(unix)]
mod kinds;
#[cfg(unix)]
mod locked;
#[cfg(unix)]
mod machine;
#[cfg(unix)]
mod modes;
#[cfg(unix)]
mod nodes;
#[cfg(unix)]
mod output;
#[cfg(unix)]
mod passwords;
#[cfg(unix)]
mod ports;
#[cfg(unix)]
mod reads;
#[cfg(unix)]
mod up;
#[cfg(unix)]
mod volumes;
