use anyhow::{Context as _, bail};
use muster_api::rest::{FieldError, NewAdmin, OrgInfo, SetUp, SetUpDone};

use super::ClientSession;
use super::login::{ask, ask_secret};
use crate::output;
use crate::rest::{RestClient, RestError};

const EXAMPLES: &str = "\
Examples:
  # Set up a new server; the password is prompted for
  fleetctl config set --address https://localhost:8080 --rootca server.crt
  fleetctl setup --email admin@example.com --org-name Example";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Email address of the administrator; prompted for if not given
    #[arg(long, env = "EMAIL", hide_env_values = true)]
    email: Option<String>,
    /// Name of the administrator [default: the email address]
    #[arg(long, visible_alias = "username", env = "NAME", hide_env_values = true)]
    name: Option<String>,
    /// Password: at least 12 characters with a digit and a symbol; prompted for if not given
    #[arg(long, env = "PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Name of the organization
    #[arg(
        long,
        env = "ORG_NAME",
        hide_env_values = true,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    org_name: String,
}

pub async fn run(session: &mut ClientSession, args: Args) -> anyhow::Result<()> {
    let server = session.anonymous()?;
    let server_url = session.contexts.current()?.address;
    let email = args.email.map_or_else(|| ask("Email: "), Ok)?;
    let password = args.password.map_or_else(ask_twice, Ok)?;
    let name = args.name.unwrap_or_else(|| email.clone());
    let admin = NewAdmin {
        email: email.clone(),
        name,
        username: None,
        password: password.clone(),
        password_confirmation: Some(password),
        admin: Some(true),
    };
    let org_info = OrgInfo { org_name: args.org_name, ..OrgInfo::default() };
    let done = set_up(&server, &SetUp { admin, org_info, server_url }).await?;
    let context = session.contexts.edit();
    context.email = email;
    context.token = done.token;
    session.contexts.save()?;
    output::line("[+] Fleet setup successful and context configured!")
}

pub async fn set_up(server: &RestClient, body: &SetUp) -> anyhow::Result<SetUpDone> {
    match server.post_root("/api/v1/setup", body).await {
        Ok(done) => Ok(done),
        Err(RestError::NotFound(_)) => {
            bail!("Fleet has already been setup; log in with: fleetctl login")
        }
        Err(RestError::Invalid(errors)) => Err(RestError::Invalid(by_flags(errors))).context("Unable to set up"),
        Err(error) => Err(error).context("Unable to set up"),
    }
}

/// The problems by what was typed, as far as that is known.
fn by_flags(mut errors: Vec<FieldError>) -> Vec<FieldError> {
    const FLAGS: [(&str, &str); 5] = [
        ("admin.email", "--email"),
        ("admin.name", "--name"),
        ("admin.password", "--password"),
        ("org_info.org_name", "--org-name"),
        ("server_url", "address of the context"),
    ];
    for error in &mut errors {
        if let Some((_, flag)) = FLAGS.iter().find(|(name, _)| *name == error.name) {
            error.name = (*flag).to_owned();
        }
    }
    errors
}

fn ask_twice() -> anyhow::Result<String> {
    let password = ask_secret("Password: ")?;
    if ask_secret("Confirm Password: ")? != password {
        bail!("the passwords do not match");
    }
    Ok(password)
}
