use anyhow::{Context as _, bail};
use clap::builder::BoolishValueParser;
use clap::{CommandFactory as _, Subcommand, ValueEnum};

use super::ClientSession;
use crate::args::Cli;
use crate::contexts::ServerContext;
use crate::output;
use crate::rest::check_address;

#[derive(Subcommand)]
pub enum Command {
    /// Set keys of a context; create the context if it does not exist
    Set(Box<ConfigSetArgs>),
    /// Print a key of a context
    #[command(after_help = GET_EXAMPLES)]
    Get {
        /// Key to print
        key: ContextKey,
        /// Print the value alone, for scripts; exit with 1 if there is none
        #[arg(long)]
        plain: bool,
    },
}

pub const EXAMPLES: &str = "\
Examples:
  # Set the server, and the certificate to trust
  fleetctl config set --address https://muster.example.com:8080 --rootca server.crt

  # Show the server of another context
  fleetctl config get address --context staging";

const SET_EXAMPLES: &str = "\
Examples:
  # Set the server, and the certificate to trust
  fleetctl config set --address https://muster.example.com:8080 --rootca server.crt

  # Set server and API token of another context; the token comes from a variable
  TOKEN=$API_TOKEN fleetctl config set --context staging --address https://staging.example.com:8080";

const GET_EXAMPLES: &str = "\
Examples:
  # Show the server of the context
  fleetctl config get address

  # Use the session of the context in another program
  curl -H \"Authorization: Bearer $(fleetctl config get token --plain)\" https://muster.example.com:8080/api/v1/fleet/me";

#[derive(clap::Args)]
#[command(after_help = SET_EXAMPLES)]
pub struct ConfigSetArgs {
    /// URL of the server, such as https://localhost:8080
    #[arg(long, env = "ADDRESS", hide_env_values = true, value_name = "URL")]
    address: Option<String>,
    /// Email address of the user
    #[arg(long, env = "EMAIL", hide_env_values = true)]
    email: Option<String>,
    /// Session or API token
    #[arg(long, env = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Accept any TLS certificate; insecure
    #[arg(long, env = "INSECURE", hide_env_values = true, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = BoolishValueParser::new())]
    tls_skip_verify: Option<bool>,
    /// PEM file of CA certificates to trust instead of the system's
    #[arg(long, env = "ROOTCA", hide_env_values = true, value_name = "FILE")]
    rootca: Option<String>,
    /// Path prefix of the server, such as /muster
    #[arg(long, env = "URL_PREFIX", hide_env_values = true, value_name = "PATH")]
    url_prefix: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum ContextKey {
    Address,
    Email,
    Token,
    #[value(name = "tls-skip-verify")]
    TlsSkipVerify,
    Rootca,
    #[value(name = "url-prefix")]
    UrlPrefix,
}

impl ContextKey {
    fn read(self, context: &ServerContext) -> String {
        match self {
            Self::Address => context.address.clone(),
            Self::Email => context.email.clone(),
            Self::Token => context.token.clone(),
            Self::TlsSkipVerify => context.tls_skip_verify.to_string(),
            Self::Rootca => context.rootca.clone(),
            Self::UrlPrefix => context.url_prefix.clone(),
        }
    }

    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

pub fn run(session: &mut ClientSession, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Set(set) => change(session, *set),
        Command::Get { key, plain } => {
            let context = session.contexts.current()?;
            if plain {
                return match key.read(&context) {
                    value if value.is_empty() => {
                        bail!("{}.{} is not set", session.contexts.selected(), key.name())
                    }
                    value => output::line(&value),
                };
            }
            output::line(&format!("  {}.{} => {}", session.contexts.selected(), key.name(), key.read(&context)))
        }
    }
}

fn change(session: &mut ClientSession, set: ConfigSetArgs) -> anyhow::Result<()> {
    let selected = session.contexts.selected().to_owned();
    let is_new = !session.contexts.is_known();
    let context = session.contexts.edit();
    let mut lines = Vec::new();
    let mut changed = |key: &str, shown: &str| {
        lines.push(format!("[+] Set the {key} config key to {shown:?} in the {selected:?} context"));
    };
    if let Some(skip) = set.tls_skip_verify {
        context.tls_skip_verify = skip;
        changed("tls-skip-verify", &skip.to_string());
    }
    if let Some(address) = set.address {
        check_address(&address, context.tls_skip_verify)?;
        context.address = address.trim_end_matches('/').to_owned();
        changed("address", &context.address);
    }
    if let Some(email) = set.email {
        changed("email", &email);
        context.email = email;
    }
    if let Some(token) = set.token {
        changed("token", "********");
        context.token = token;
    }
    if let Some(mut path) = set.rootca {
        if !path.is_empty() {
            // A relative path would mean another file when fleetctl runs in another directory.
            path = std::path::absolute(&path)?.display().to_string();
            std::fs::File::open(&path).with_context(|| format!("cannot read the root CA {path}"))?;
        }
        context.rootca = path;
        changed("rootca", &context.rootca);
    }
    if let Some(prefix) = set.url_prefix {
        changed("url-prefix", &prefix);
        context.url_prefix = prefix;
    }
    if lines.is_empty() {
        let mut cli = Cli::command();
        let help = cli.find_subcommand_mut("config").and_then(|config| config.find_subcommand_mut("set"));
        return output::data(&help.map(|help| help.render_help().to_string()).unwrap_or_default());
    }
    session.contexts.save()?;
    if is_new {
        output::line(&format!("[+] Context {selected:?} not found, creating it with default values"))?;
    }
    output::line(&lines.join("\n"))
}
