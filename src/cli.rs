//! The command line: types only.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

use crate::commands;

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
#[derive(Args, Clone, Debug)]
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

/// Any word, and for completion those that name nodes of most clusters.
#[derive(Clone, Debug)]
pub struct NodeWord;

impl TypedValueParser for NodeWord {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let words = ["master", "slave-1", "slave-2", "slave-3", "pool"];
        Some(Box::new(words.into_iter().map(PossibleValue::new)))
    }
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
    Generate(commands::generate::Args),
    Up(commands::up::Args),
    Scale(commands::scale::Args),
    Rebuild(commands::rebuild::Args),
    Down(commands::down::Args),
    Status(commands::status::Args),
    Logs(commands::logs::Args),
    Psql(commands::psql::Args),
    Url(commands::url::Args),
    Restart(commands::restart::Args),
    Stop(commands::stop::Args),
    Start(commands::start::Args),
    Config(commands::config::Args),
    Doctor(commands::doctor::Args),
    Completions(commands::completions::Args),
    Man(commands::man::Args),
    Mode(commands::mode::Args),
    Route(commands::route::Args),
    Cache(commands::cache::Args),
    User(commands::user::Args),
    Rotate(commands::rotate::Args),
}

impl Command {
    pub fn on_interrupt(&self) -> OnInterrupt {
        match self {
            Command::Psql(_) => OnInterrupt::GoOn,
            Command::Logs(_) => OnInterrupt::End,
            _ => OnInterrupt::Explain,
        }
    }

    /// The word on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Command::Generate(_) => "generate",
            Command::Up(_) => "up",
            Command::Rebuild(_) => "rebuild",
            Command::Scale(_) => "scale",
            Command::Down(_) => "down",
            Command::Status(_) => "status",
            Command::Logs(_) => "logs",
            Command::Psql(_) => "psql",
            Command::Url(_) => "url",
            Command::Restart(_) => "restart",
            Command::Stop(_) => "stop",
            Command::Start(_) => "start",
            Command::Config(_) => "config",
            Command::Doctor(_) => "doctor",
            Command::Completions(_) => "completions",
            Command::Man(_) => "man",
            Command::Mode(_) => "mode check",
            Command::Route(_) => "route",
            Command::Cache(_) => "cache",
            Command::User(_) => "user",
            Command::Rotate(_) => "rotate",
        }
    }
}

/// What Ctrl-C does to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnInterrupt {
    /// It ends, and says what is left as it is.
    Explain,
    /// It ends.
    End,
    /// It goes on: the key is meant for the program that has the terminal.
    GoOn,
}
