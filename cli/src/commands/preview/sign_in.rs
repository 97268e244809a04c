use anyhow::Context as _;
use muster_api::rest::{Me, NewAdmin, OrgInfo, SetUp, SetUpDone};

use super::dir::PreviewDir;
use crate::commands::login::log_in;
use crate::contexts::{Contexts, DEFAULT_CONTEXT, ServerContext};
use crate::rest::{RestClient, RestError};

/// The administrator of every preview. Nothing but this machine can reach it.
pub const EMAIL: &str = "admin@example.com";
pub const PASSWORD: &str = "preview1337#";

/// Gets a session as the preview's administrator, who is made on the first run. The context file remembers it.
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

/// The token, if the server still accepts it.
async fn resume(server: &RestClient, token: &str) -> anyhow::Result<Option<String>> {
    if token.is_empty() {
        return Ok(None);
    }
    match server.with_token(token).get::<Me>("me").await {
        Ok(_) => Ok(Some(token.to_owned())),
        // Another database than the one the token is from, or a session that has ended.
        Err(RestError::Unauthenticated | RestError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn set_up_or_log_in(server: &RestClient, address: &str) -> anyhow::Result<String> {
    let body = SetUp {
        admin: NewAdmin {
            email: EMAIL.to_owned(),
            name: "Preview administrator".to_owned(),
            password: PASSWORD.to_owned(),
            password_confirmation: Some(PASSWORD.to_owned()),
            admin: Some(true),
        },
        org_info: OrgInfo { org_name: "Muster preview".to_owned(), org_logo_url: String::new() },
        server_url: address.to_owned(),
    };
    match server.post_root::<_, SetUpDone>("/api/v1/setup", &body).await {
        Ok(done) => Ok(done.token),
        Err(RestError::NotFound(_)) => {
            let done = log_in(server, EMAIL, PASSWORD).await;
            let done =
                done.context("the preview's own account does not work; begin anew with: fleetctl preview reset")?;
            Ok(done.token)
        }
        Err(error) => Err(error).context("cannot set the server up"),
    }
}
