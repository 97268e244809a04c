//! Completion by shells: the script that asks this program what a word can be, and the words that only a server knows.

mod names;
mod server;
mod tables;

use std::ffi::OsString;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_complete::env::{CompleteEnv, Shells};

pub use self::names::{contexts, hosts, labels, open_live_queries, packs, queries, scheduled_queries, users};
pub use self::tables::{in_sql, tables};

use crate::args::Cli;
use crate::output;

/// The variable with which a script asks for words; its value is the shell.
const ASKED: &str = "FLEETCTL_COMPLETE";

const PROGRAM: &str = "fleetctl";

/// These shells replace and quote words in ways of their own, which the library's scripts do not know.
const BASH: &str = include_str!("completion/fleetctl.bash");
const ZSH: &str = include_str!("completion/fleetctl.zsh");

const EXAMPLES: &str = "\
Examples:
  # Enable completion in the current bash session
  source <(fleetctl completion bash)

  # Install it for all users of bash, or of zsh
  fleetctl completion bash > /usr/share/bash-completion/completions/fleetctl
  fleetctl completion zsh > /usr/local/share/zsh/site-functions/_fleetctl

  # Install it for fish
  fleetctl completion fish > ~/.config/fish/completions/fleetctl.fish";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Shell to print the script for
    shell: Shell,
}

/// Prints the completion script of a shell.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match args.shell {
        Shell::Bash => return output::data(BASH),
        Shell::Zsh => return output::data(ZSH),
        _ => {}
    }
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
