//! What this program says of its own commands, for the documentation and for packages.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::args::Cli;
use crate::output;

/// Columns of the help in the documentation.
const WIDTH: usize = 110;

#[derive(clap::Args)]
pub struct Args {
    /// Existing folder to write a man page of each command into, instead of printing Markdown
    #[arg(long, value_name = "FOLDER")]
    man: Option<PathBuf>,
}

/// Prints a page of Markdown with the help of every command, or writes the man pages.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let command = Cli::command();
    match &args.man {
        Some(folder) => clap_mangen::generate_to(command, folder)
            .with_context(|| format!("cannot write man pages into {}", folder.display())),
        None => output::data(&page(command)),
    }
}

fn page(command: clap::Command) -> String {
    let mut command = command.term_width(WIDTH).disable_help_subcommand(true);
    command.build();
    let mut page = String::from(
        "# fleetctl: all commands\n\nWritten by `make docs`, from what `fleetctl` prints with `--help`. \
         [fleetctl](fleetctl.md) explains what they are for.\n",
    );
    section(&mut command, &mut page);
    page
}

/// Appends the help of a command and of those below it. Options that all commands have stand with the first one alone.
fn section(command: &mut clap::Command, page: &mut String) {
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    let lines = help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    // Writing to a string cannot fail.
    let _ = write!(page, "\n## {name}\n\n```text\n{}\n```\n", lines.trim_end());
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        let mut own = inner.clone().mut_args(|arg| if arg.is_global_set() { arg.hide(true) } else { arg });
        section(&mut own, page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_section_and_global_options_stand_once() {
        let page = page(Cli::command());
        for section in ["## fleetctl\n", "## fleetctl get hosts\n", "## fleetctl query attach\n"] {
            assert!(page.contains(section), "{section} is missing");
        }
        assert!(!page.contains("fleetctl manual"));
        assert_eq!(page.matches("--context <NAME>").count(), 1);
    }
}
