use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::ArgValueCompleter;

use crate::commands::{
    api, apply, approve, completion, config, convert, debug, delete, example, export, get, hosts, login, manual, plan,
    preview, profile, query, rollout, run, setup, top, user,
};

/// Manage the queries, packs, labels, hosts and users of a Muster server
#[derive(Parser)]
#[command(name = "fleetctl", version = concat!("- version ", env!("CARGO_PKG_VERSION")))]
#[command(arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command accepts, before or after its name.
#[derive(Args)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// File that stores servers and sessions [default: ~/.fleet/config]
    #[arg(long, env = "CONFIG", hide_env_values = true, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Context (server and session) to use from that file [default: default]
    #[arg(long, env = "CONTEXT", hide_env_values = true, global = true, value_name = "NAME", add = ArgValueCompleter::new(completion::contexts))]
    pub context: Option<String>,
    /// Print every HTTP request to standard error
    #[arg(long, env = "DEBUG", hide_env_values = true, global = true, action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub debug: bool,
    /// Pass a change freeze of the server, for administrators where it allows that; the reason is kept
    #[arg(long, global = true, value_name = "REASON")]
    pub override_freeze: Option<String>,
}

#[derive(Subcommand)]
pub enum Command {
    /// Create the first administrator of a new server
    Setup(setup::Args),
    /// Log in to a server and save the session
    Login(login::Args),
    /// Log out and delete the saved session
    #[command(after_help = example!("End the session on another server", "fleetctl logout --context staging"))]
    Logout,
    /// Set or show the server address and login settings
    #[command(subcommand, arg_required_else_help = true, after_help = config::EXAMPLES)]
    Config(config::Command),
    /// Create or update objects from YAML files
    Apply(apply::Args),
    /// Keep what applying YAML files would change, to apply it later
    Plan(plan::Args),
    /// Delete the queries, packs and labels listed in YAML files
    Delete(delete::Args),
    /// Convert osquery pack files to YAML documents
    Convert(convert::Args),
    /// List or show queries, packs, labels, hosts and settings
    #[command(subcommand, arg_required_else_help = true, after_help = get::EXAMPLES)]
    Get(get::Resource),
    /// Write the osquery configuration that hosts of a platform and labels are served
    Export(export::Args),
    /// Delete hosts, or ask them for their details
    #[command(subcommand, arg_required_else_help = true, after_help = hosts::EXAMPLES)]
    Hosts(hosts::Command),
    /// Approve what the table guard lets nobody do alone
    #[command(subcommand, arg_required_else_help = true, after_help = approve::EXAMPLES)]
    Approve(approve::Command),
    /// Manage users
    #[command(subcommand, arg_required_else_help = true, after_help = user::EXAMPLES)]
    User(user::Command),
    /// Show changes that reach hosts in stages, and steer them
    #[command(subcommand, arg_required_else_help = true, after_help = rollout::EXAMPLES)]
    Rollout(rollout::Command),
    /// Run a live query and print the results as they arrive
    Query(Box<query::Args>),
    /// Run the whole schedule of a host now, and show what it finds and costs
    Run(run::Args),
    /// Measure on this machine what queries cost, with osquery
    Profile(profile::Args),
    /// Show what burdens the fleet: costly queries, their hosts, denylisted queries and replaced workers
    Top(top::Args),
    /// Send a request of your own to the REST API
    Api(api::Args),
    /// Collect what a server in trouble does, and explain it
    #[command(subcommand, arg_required_else_help = true, after_help = debug::EXAMPLES)]
    Debug(Box<debug::Command>),
    /// Run a local server with simulated hosts
    Preview(preview::Args),
    /// Print a shell completion script
    Completion(completion::Args),
    /// Print all commands with their help as Markdown, or write man pages
    #[command(hide = true)]
    Manual(manual::Args),
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    /// All commands that people see, with their words.
    fn commands() -> Vec<(String, clap::Command)> {
        fn below(words: &str, command: &clap::Command, all: &mut Vec<(String, clap::Command)>) {
            for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
                let words = format!("{words} {}", inner.get_name());
                all.push((words.clone(), inner.clone()));
                below(&words, inner, all);
            }
        }
        let mut all = Vec::new();
        below("fleetctl", &Cli::command(), &mut all);
        all
    }

    /// The words of a line for a shell, up to where it goes on with another program.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
        for letter in line.chars() {
            match (letter, quote) {
                ('\'' | '"', None) => {
                    quote = Some(letter);
                    word.get_or_insert_default();
                }
                (letter, Some(open)) if letter == open => quote = None,
                ('|' | '>' | ';' | '<' | ')', None) => break,
                (' ', None) => words.extend(word.take()),
                (letter, _) => word.get_or_insert_default().push(letter),
            }
        }
        words.extend(word);
        words
    }

    #[test]
    fn every_command_has_examples_that_it_takes() {
        let commands = commands();
        assert!(commands.len() > 60, "{}", commands.len());
        for (name, command) in commands {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let (_, examples) = help.split_once("Examples:\n").unwrap_or_else(|| panic!("{name} has no examples"));
            let own = examples.lines().filter(|line| !line.trim_start().starts_with('#'));
            // Commands are indented, other text is not.
            let own = own.filter(|line| line.starts_with("  "));
            let own: Vec<_> = own.filter_map(|line| line.find("fleetctl ").map(|at| &line[at..])).collect();
            assert!(own.iter().any(|line| line.starts_with(&name)), "no example of {name}");
            for line in own {
                if let Err(error) = Cli::try_parse_from(words(line)) {
                    panic!("{name}: {line}\n{error}");
                }
            }
        }
    }
}
