use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::output;

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
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "fleetctl", &mut script);
    output::data(&String::from_utf8_lossy(&script))
}
