use anyhow::Context as _;
use muster_api::rest::{Me, NewAdmin, OrgInfo, SetUp, SetUpDone};

use super::dir::PreviewDir;
use crate::commands::login::log_in;
use crate::contexts::{Contexts, DEFAULT_CONTEXT, ServerContext};
use crate::rest::{RestClient, RestError};

/// Credentials of every preview; its server listens on 127.0.0.1 only.
pub const EMAIL: &str = "admin@example.com";
pub const PASSWORD: &str = "preview1337#";

/// Logs in as the administrator of the preview, who is created on the first run, and saves the session.
pub async fn sign_in(server: &RestClient, address: &str, dir: &PreviewDir) -> anyhow::Result<RestClient> {
    let mut contexts = Contexts::open(dir.contexts(), DEFAULT_CONTEXT)?;
    let known = contexts.current()?;
    let token = match resume(server, &known.token).await? {
        Some(token) => token,
        None => set_up_or_log_in(server, address).await?,
    };
    *contexts.edit() = ServerContext {
        address: address.to_owned(),
        email: EMAIL.to_owned(),
        token: token.clone(),
        rootca: dir.certificate().display().to_string(),
        ..ServerContext::default()
    };
    contexts.save()?;
    Ok(server.with_token(&token))
}

/// The token if the server still accepts it.
async fn resume(server: &RestClient, token: &str) -> anyhow::Result<Option<String>> {
    if token.is_empty() {
        return Ok(None);
    }
    match server.with_token(token).get::<Me>("me").await {
        Ok(_) => Ok(Some(token.to_owned())),
        // The session has expired, or the database is a new one.
        Err(RestError::Unauthenticated | RestError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn set_up_or_log_in(server: &RestClient, address: &str) -> anyhow::Result<String> {
    let body = SetUp {
        admin: NewAdmin {
            email: EMAIL.to_owned(),
            name: "Preview administrator".to_owned(),
            username: None,
            password: PASSWORD.to_owned(),
            password_confirmation: Some(PASSWORD.to_owned()),
            admin: Some(true),
        },
        org_info: OrgInfo { org_name: "Muster preview".to_owned(), ..OrgInfo::default() },
        server_url: address.to_owned(),
    };
    match server.post_root::<_, SetUpDone>("/api/v1/setup", &body).await {
        Ok(done) => Ok(done.token),
        Err(RestError::NotFound(_)) => {
            let done = log_in(server, EMAIL, PASSWORD).await;
            let done = done.context("cannot log in to the preview; start over with: fleetctl preview reset")?;
            Ok(done.token)
        }
        Err(error) => Err(error).context("cannot set up the server"),
    }
}
