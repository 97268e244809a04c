//! Completion by shells: the script that asks this program what a word can be, and the words that only a server knows.

mod tables;

use std::ffi::OsString;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_complete::env::{CompleteEnv, Shells};

pub use self::tables::{in_sql, names};

use crate::args::Cli;
use crate::output;

/// The variable with which a script asks for words; its value is the shell.
const ASKED: &str = "FLEETCTL_COMPLETE";

const PROGRAM: &str = "fleetctl";

const EXAMPLES: &str = "\
Examples:
  # Enable completion in the current bash session
  source <(fleetctl completion bash)

  # Install completion for fish
  fleetctl completion fish > ~/.config/fish/completions/fleetctl.fish";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Shell to print the script for
    shell: Shell,
}

/// Prints the completion script of a shell.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let shells = Shells::builtins();
    let shell = shells.completer(&args.shell.to_string()).context("this shell is not supported")?;
    let mut script = Vec::new();
    shell.write_registration(ASKED, PROGRAM, PROGRAM, PROGRAM, &mut script)?;
    output::data(&String::from_utf8_lossy(&script))
}

/// Prints the words for a shell that asks for them, and nothing else. `false` if none asks.
pub fn answered(args: &[OsString]) -> bool {
    // A script of another version may ask in another way: that is no error of whoever types.
    std::env::var_os(ASKED).is_some()
        && CompleteEnv::with_factory(Cli::command).var(ASKED).try_complete(args, None).unwrap_or(true)
}
