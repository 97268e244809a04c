use std::time::Duration;

use anyhow::{Context as _, Result};
use reqwest::{Client, Url};
use serde_json::Value;

use super::{SinkError, http_client};
use crate::config;

/// How long to wait for a connection, and for an answer as a whole.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// An address that is told of something by `POST` with JSON.
#[derive(Debug)]
pub struct Webhook {
    url: Url,
    http: Client,
}

impl Webhook {
    /// Connects to nothing. `None` without a URL.
    ///
    /// # Errors
    /// When the settings name no URL that can be asked, or a file cannot be read.
    pub fn new(config: &config::Rollouts) -> Result<Option<Self>> {
        if config.webhook_url.is_empty() {
            return Ok(None);
        }
        // No error shows the URL, which holds a token.
        let url = Url::parse(config.webhook_url.reveal()).context("rollouts.webhook_url is no URL")?;
        anyhow::ensure!(
            matches!(url.scheme(), "https" | "http") && url.has_host(),
            "rollouts.webhook_url must begin with https:// or http://, and name a host"
        );
        let http = http_client(config.webhook_tls_ca.as_deref(), CONNECT_WITHIN, ANSWER_WITHIN)
            .context("rollouts.webhook_tls_ca")?;
        Ok(Some(Self { url, http }))
    }

    /// Posts a message. It has arrived when the answer is a success.
    ///
    /// # Errors
    /// Why it has not arrived, or may not have.
    pub async fn post(&self, message: &Value) -> std::result::Result<(), SinkError> {
        let sent = self.http.post(self.url.clone()).json(message).send().await;
        let answer = sent.map_err(|error| SinkError(error.without_url().to_string()))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(SinkError(format!("the answer is {status}"))),
        }
    }
}
