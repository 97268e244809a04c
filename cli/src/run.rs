use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser as _};

use crate::args::{Cli, Command};
use crate::commands::api::FailedStatus;
use crate::commands::plan::Drift;
use crate::commands::{self, ClientSession};
use crate::foreign;
use crate::output::{self, StdoutClosed};
use crate::rest::RestError;

/// Exit code of `plan --drift` when the server differs.
const DRIFT: u8 = 2;

/// Exit code of an unknown command. Every other failure exits with 1, but for a response of `fleetctl api` that is no success.
const UNKNOWN_COMMAND: u8 = 3;

/// Runs a command line and returns its exit code.
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.collect();
    if commands::completion::answered(&args) {
        return ExitCode::SUCCESS;
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(mut error) => {
            leave_out_short_names(&mut error);
            return misused(&error);
        }
    };
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<StdoutClosed>() => ExitCode::SUCCESS,
        Err(error) => {
            let failed = error.downcast_ref::<FailedStatus>();
            let is_unauthenticated = matches!(error.downcast_ref(), Some(RestError::Unauthenticated));
            if is_unauthenticated || failed.is_some_and(FailedStatus::is_unauthenticated) {
                output::note("Token invalid or session expired. Please log in with: fleetctl login");
            }
            output::note(&format!("Error: {error:#}"));
            if error.is::<Drift>() {
                return ExitCode::from(DRIFT);
            }
            failed.map_or(ExitCode::FAILURE, |failed| ExitCode::from(failed.exit_code()))
        }
    }
}

fn start(cli: Cli) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    runtime.block_on(dispatch(cli))
}

async fn dispatch(cli: Cli) -> anyhow::Result<()> {
    let globals = &cli.globals;
    match cli.command {
        Command::Setup(args) => commands::setup::run(&mut ClientSession::open(globals)?, args).await,
        Command::Login(args) => commands::login::run(&mut ClientSession::open(globals)?, args).await,
        Command::Logout => commands::logout::run(&mut ClientSession::open(globals)?).await,
        Command::Config(command) => commands::config::run(&mut ClientSession::open(globals)?, command),
        Command::Apply(args) => commands::apply::run(&ClientSession::open(globals)?, args).await,
        Command::Plan(args) => commands::plan::run(&ClientSession::open(globals)?, args).await,
        Command::Delete(args) => commands::delete::run(&ClientSession::open(globals)?, args).await,
        Command::Get(resource) => commands::get::run(&ClientSession::open(globals)?, resource).await,
        Command::Export(args) => commands::export::run(&ClientSession::open(globals)?, args).await,
        Command::Convert(args) => commands::convert::run(&args),
        Command::Hosts(command) => commands::hosts::run(&ClientSession::open(globals)?, command).await,
        Command::Approve(command) => commands::approve::run(&ClientSession::open(globals)?, command).await,
        Command::User(command) => commands::user::run(&ClientSession::open(globals)?, command).await,
        Command::Query(args) => commands::query::run(&ClientSession::open(globals)?, *args).await,
        Command::Rollout(command) => commands::rollout::run(&ClientSession::open(globals)?, command).await,
        Command::Run(args) => commands::run::run(&ClientSession::open(globals)?, args).await,
        Command::Profile(args) => commands::profile::run(globals, args).await,
        Command::Top(args) => commands::top::run(&ClientSession::open(globals)?, args).await,
        Command::Api(args) => commands::api::run(&ClientSession::open(globals)?, args).await,
        Command::Debug(command) => commands::debug::run(globals, *command).await,
        Command::Completion(args) => commands::completion::run(&args),
        Command::Manual(args) => commands::manual::run(&args),
        Command::Preview(args) => commands::preview::run(args, globals.debug).await,
    }
}

/// Prints help if it was requested, otherwise what is wrong with the command line.
fn misused(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = output::data(&error.render().to_string());
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    if let Some(line) = foreign::instead_of(error) {
        output::note(&format!("Error: {line}"));
        return ExitCode::FAILURE;
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    output::note(&format!("Error: {}{}", text.trim_end(), of_variable(error)));
    match error.kind() {
        ErrorKind::InvalidSubcommand => ExitCode::from(UNKNOWN_COMMAND),
        _ => ExitCode::FAILURE,
    }
}

/// Names of a letter or two are near to every word, and suggest nothing.
fn leave_out_short_names(error: &mut clap::Error) {
    if let Some(ContextValue::Strings(mut names)) = error.remove(ContextKind::SuggestedSubcommand) {
        names.retain(|name| name.len() > 2);
        if !names.is_empty() {
            error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(names));
        }
    }
}

/// Where a bad value comes from, if it stands in a variable and not on the command line.
fn of_variable(error: &clap::Error) -> String {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return String::new() };
    let long = flag.split(['=', ' ', '[']).next().unwrap_or_default().trim_start_matches("--");
    if long.is_empty() || std::env::args().any(|arg| arg.starts_with(&format!("--{long}"))) {
        return String::new();
    }
    match variable(&Cli::command(), long).filter(|name| std::env::var_os(name).is_some()) {
        Some(name) => format!("\nThe value comes from the environment variable {}.", name.display()),
        None => String::new(),
    }
}

/// The variable that a flag of any command is read from.
fn variable(command: &clap::Command, long: &str) -> Option<OsString> {
    let own = command.get_arguments().find(|arg| arg.get_long() == Some(long)).and_then(|arg| arg.get_env());
    own.map(OsString::from).or_else(|| command.get_subcommands().find_map(|inner| variable(inner, long)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
