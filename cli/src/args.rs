use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args, Parser, Subcommand};

use crate::commands::{apply, completion, config, convert, delete, get, login, preview, query, setup, user};
use crate::contexts::DEFAULT_CONTEXT;

/// Controls a Muster server: queries, packs, labels, configuration and hosts.
#[derive(Parser)]
#[command(name = "fleetctl", version = concat!("- version ", env!("CARGO_PKG_VERSION")))]
#[command(arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes, before or after its name.
#[derive(Args)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// File that remembers servers and sessions [default: ~/.fleet/config]
    #[arg(long, env = "CONFIG", global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Which server of that file to talk to
    #[arg(long, env = "CONTEXT", global = true, default_value = DEFAULT_CONTEXT, value_name = "NAME")]
    pub context: String,
    /// Show every request on standard error
    #[arg(long, env = "DEBUG", global = true, action = ArgAction::SetTrue, value_parser = FalseyValueParser::new())]
    pub debug: bool,
}

#[derive(Subcommand)]
pub enum Command {
    /// Make the first administrator of a new server
    Setup(setup::Args),
    /// Log in, and remember the session
    Login(login::Args),
    /// End the session
    Logout,
    /// Say which server to talk to
    #[command(subcommand, arg_required_else_help = true)]
    Config(config::Command),
    /// Create and change what YAML files describe
    Apply(apply::Args),
    /// Delete the queries, packs and labels that YAML files name
    Delete(delete::Args),
    /// Make documents of osquery's pack files
    Convert(convert::Args),
    /// Show what the server has
    #[command(subcommand, arg_required_else_help = true)]
    Get(get::Resource),
    /// Let people and programs in, or keep them out
    #[command(subcommand, arg_required_else_help = true)]
    User(user::Command),
    /// Ask hosts now, and show their answers as they come
    Query(query::Args),
    /// Run a server with simulated hosts on this machine
    Preview(preview::Args),
    /// Print a script that completes command lines, as in: source <(fleetctl completion bash)
    Completion(completion::Args),
}
