use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args, Parser, Subcommand};

use crate::commands::{
    apply, completion, config, convert, debug, delete, export, get, login, manual, preview, profile, query, setup, top,
    user,
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
    #[arg(long, env = "CONTEXT", hide_env_values = true, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Print every HTTP request to standard error
    #[arg(long, env = "DEBUG", hide_env_values = true, global = true, action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub debug: bool,
}

#[derive(Subcommand)]
pub enum Command {
    /// Create the first administrator of a new server
    Setup(setup::Args),
    /// Log in to a server and save the session
    Login(login::Args),
    /// Log out and delete the saved session
    Logout,
    /// Set or show the server address and login settings
    #[command(subcommand, arg_required_else_help = true)]
    Config(config::Command),
    /// Create or update objects from YAML files
    Apply(apply::Args),
    /// Delete the queries, packs and labels listed in YAML files
    Delete(delete::Args),
    /// Convert osquery pack files to YAML documents
    Convert(convert::Args),
    /// List or show queries, packs, labels, hosts and settings
    #[command(subcommand, arg_required_else_help = true, after_help = get::EXAMPLES)]
    Get(get::Resource),
    /// Write the osquery configuration that hosts of a platform and labels are served
    Export(export::Args),
    /// Manage users
    #[command(subcommand, arg_required_else_help = true)]
    User(user::Command),
    /// Run a live query and print the results as they arrive
    Query(Box<query::Args>),
    /// Measure on this machine what queries cost, with osquery
    Profile(profile::Args),
    /// Show what burdens the fleet: costly queries, their hosts, denylisted queries and replaced workers
    Top(top::Args),
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
