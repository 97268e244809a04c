use std::io::BufRead;

use anyhow::{Context as _, bail};
use muster_api::rest::{LoggedIn, Login};

use super::ClientSession;
use crate::output;
use crate::rest::{RestClient, RestError};

const EXAMPLES: &str = "\
Examples:
  # Log in; the password is prompted for
  fleetctl login --email admin@example.com

  # Log in from a script
  PASSWORD=$ADMIN_PASSWORD fleetctl login --email admin@example.com";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Email address; prompted for if not given
    #[arg(long, env = "EMAIL", hide_env_values = true)]
    email: Option<String>,
    /// Password; prompted for if not given
    #[arg(long, env = "PASSWORD", hide_env_values = true)]
    password: Option<String>,
}

pub async fn run(session: &mut ClientSession, args: Args) -> anyhow::Result<()> {
    let server = session.anonymous()?;
    if args.email.is_none() || args.password.is_none() {
        output::note("Log in using the standard Fleet credentials.");
    }
    let email = args.email.map_or_else(|| ask("Email: "), Ok)?;
    let password = args.password.map_or_else(|| ask_secret("Password: "), Ok)?;
    let done = log_in(&server, &email, &password).await?;
    let context = session.contexts.edit();
    context.email = email;
    context.token = done.token;
    session.contexts.save()?;
    output::line("[+] Fleet login successful and context configured!")
}

pub async fn log_in(server: &RestClient, email: &str, password: &str) -> anyhow::Result<LoggedIn> {
    let body = Login { email: email.to_owned(), password: password.to_owned() };
    match server.post("login", &body).await {
        Ok(done) => Ok(done),
        Err(RestError::Unauthenticated) => {
            bail!("Unable to log in: Authentication failed; check email and password")
        }
        Err(RestError::NotFound(_)) => {
            bail!("The Fleet instance is not set up yet; set it up with: fleetctl setup")
        }
        Err(error) => Err(error).context("Unable to log in"),
    }
}

/// Reads a line from standard input.
pub fn ask(question: &str) -> anyhow::Result<String> {
    output::prompt(question);
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("cannot read standard input")?;
    match line.trim() {
        "" => bail!("no input; pass the value as a flag when fleetctl runs without a terminal"),
        answer => Ok(answer.to_owned()),
    }
}

/// Reads a password from the terminal without echoing it.
pub fn ask_secret(question: &str) -> anyhow::Result<String> {
    let password = rpassword::prompt_password(question)
        .context("cannot prompt for a password without a terminal; set --password or PASSWORD")?;
    if password.is_empty() {
        bail!("no password was entered");
    }
    Ok(password)
}
