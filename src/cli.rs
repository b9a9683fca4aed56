//! The command line: types only.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{completions, down, generate, man, status, up};

/// A real PostgreSQL cluster on your own machine: one master, N streaming replicas and a Pgpool-II endpoint that
/// splits reads from writes, under Docker Compose.
#[derive(Debug, Parser)]
#[command(name = "pgcluster", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    done, or healthy
  1    something unforeseen failed
  2    bad input: arguments, .env, templates, the folder
  3    the cluster is not healthy, or did not become ready
  4    another pgcluster works in the folder
  5    the machine lacks something: engine, Compose, a free port, disk space
  130  interrupted";

/// Options of every command.
#[derive(Args, Debug)]
pub struct Global {
    /// The project folder
    #[arg(
        short = 'C',
        long = "directory",
        value_name = "DIR",
        default_value = ".",
        global = true
    )]
    pub folder: PathBuf,
    /// Read settings from FILE instead of the folder's .env
    #[arg(long, value_name = "FILE", global = true)]
    pub env_file: Option<PathBuf>,
    /// Print results and errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print every step and command as well
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Colour the output
    #[arg(long, value_enum, default_value = "auto", global = true)]
    pub color: Color,
}

/// When to colour.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Generate(generate::Args),
    Up(up::Args),
    Down(down::Args),
    Status(status::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Command {
    /// The word on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Command::Generate(_) => "generate",
            Command::Up(_) => "up",
            Command::Down(_) => "down",
            Command::Status(_) => "status",
            Command::Completions(_) => "completions",
            Command::Man(_) => "man",
        }
    }
}
