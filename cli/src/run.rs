use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use clap::error::ErrorKind;

use crate::args::{Cli, Command};
use crate::commands::{self, ClientSession};
use crate::output::{self, StdoutClosed};
use crate::rest::RestError;

/// Exit code of an unknown command; every other failure exits with 1.
const UNKNOWN_COMMAND: u8 = 3;

/// Runs a command line and returns its exit code.
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<StdoutClosed>() => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(RestError::Unauthenticated) = error.downcast_ref() {
                output::note("Token invalid or session expired. Please log in with: fleetctl login");
            }
            output::note(&format!("Error: {error:#}"));
            ExitCode::FAILURE
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
        Command::Delete(args) => commands::delete::run(&ClientSession::open(globals)?, args).await,
        Command::Get(resource) => commands::get::run(&ClientSession::open(globals)?, resource).await,
        Command::Convert(args) => commands::convert::run(&args),
        Command::User(command) => commands::user::run(&ClientSession::open(globals)?, command).await,
        Command::Query(args) => commands::query::run(&ClientSession::open(globals)?, args).await,
        Command::Completion(args) => commands::completion::run(&args),
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
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    output::note(&format!("Error: {}", text.trim_end()));
    match error.kind() {
        ErrorKind::InvalidSubcommand => ExitCode::from(UNKNOWN_COMMAND),
        _ => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
