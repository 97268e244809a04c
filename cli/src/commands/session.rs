use anyhow::bail;
use muster_api::rest::{FREEZE_OVERRIDE, Version};

use crate::args::Globals;
use crate::contexts::{self, Contexts, DEFAULT_CONTEXT, ServerContext};
use crate::output;
use crate::rest::{DebugClient, RestClient, RestError};

/// The selected context and its server.
pub struct ClientSession {
    pub contexts: Contexts,
    debug: bool,
    override_freeze: Option<String>,
}

impl ClientSession {
    pub fn open(globals: &Globals) -> anyhow::Result<Self> {
        let path = match &globals.config {
            Some(path) => path.clone(),
            None => contexts::default_path()?,
        };
        Ok(Self {
            contexts: Contexts::open(path, globals.context.as_deref().unwrap_or(DEFAULT_CONTEXT))?,
            debug: globals.debug,
            override_freeze: globals.override_freeze.clone(),
        })
    }

    /// A client without a session token.
    pub fn anonymous(&self) -> anyhow::Result<RestClient> {
        RestClient::new(&ServerContext { token: String::new(), ..self.contexts.current()? }, self.debug)
    }

    /// A client for `/debug` at the address of the context, or at another one. Asks the server nothing, as it may be in
    /// trouble.
    pub fn debug_client(&self, address: Option<&str>) -> anyhow::Result<DebugClient> {
        let context = self.contexts.current()?;
        let client = DebugClient::new(&context, self.debug)?;
        if context.token.is_empty() {
            bail!("Please log in with: fleetctl login");
        }
        address.map_or_else(|| Ok(client.clone()), |address| client.at(&context, address))
    }

    /// A client with the session of the context, which is not checked.
    pub fn logged_in(&self) -> anyhow::Result<RestClient> {
        let mut context = self.contexts.current()?;
        if let Some(reason) = &self.override_freeze {
            context.custom_headers.insert(FREEZE_OVERRIDE.to_owned(), reason.clone());
        }
        let server = RestClient::new(&context, self.debug)?;
        if context.token.is_empty() {
            bail!("Please log in with: fleetctl login");
        }
        Ok(server)
    }

    /// A client whose session the server accepts; prints a warning if the versions differ.
    pub async fn authenticated(&self) -> anyhow::Result<RestClient> {
        let server = self.logged_in()?;
        match server.get::<Version>("version").await {
            Ok(found) => compare_versions(&found.version),
            Err(RestError::NotFound(_)) => {
                bail!("The Fleet instance is not set up yet; set it up with: fleetctl setup")
            }
            Err(error) => return Err(error.into()),
        }
        Ok(server)
    }
}

fn compare_versions(server: &str) {
    let client = env!("CARGO_PKG_VERSION");
    if server != client {
        output::note(&format!("Warning: Version mismatch.\nClient Version:   {client}\nServer Version:  {server}"));
    }
}
