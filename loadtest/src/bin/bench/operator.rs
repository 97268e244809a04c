//! Requests of the operator.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::http::Address;
use crate::subject::{EMAIL, PASSWORD, Subject};

/// The operator of a server, logged in; also after it was started again.
pub struct Operator {
    address: Address,
    token: String,
}

impl Operator {
    pub async fn log_in(server: &Subject) -> Result<Self> {
        let address = server.address.clone();
        let body = json!({ "email": EMAIL, "password": PASSWORD }).to_string();
        let answer: Value = serde_json::from_slice(&address.ask("POST", "/api/v1/fleet/login", None, &body).await?)?;
        let token = answer["token"].as_str().context("the log-in gave no token")?.to_owned();
        Ok(Self { address, token })
    }

    /// The answer to a request below the base of the API; the body may be empty.
    pub async fn ask(&self, method: &str, path: &str, body: &str) -> Result<Vec<u8>> {
        self.address.ask(method, &format!("/api/v1/fleet/{path}"), Some(&self.token), body).await
    }

    /// A CPU profile over so long, which takes some time more to write.
    pub async fn profile(&self, length: Duration, spare: Duration) -> Result<Vec<u8>> {
        let path = format!("/debug/pprof/profile?seconds={}", length.as_secs());
        let token = format!("Authorization: Bearer {}\r\n", self.token);
        self.address.fetch_within(length + spare, "GET", &path, &token, "").await
    }

    /// As [`Operator::ask`] for an answer of any length, of which nothing is kept: the number of its bytes.
    pub async fn drain(&self, longest: Duration, path: &str) -> Result<u64> {
        let token = format!("Authorization: Bearer {}\r\n", self.token);
        self.address.drain(longest, &format!("/api/v1/fleet/{path}"), &token).await
    }

    /// A page of the dashboard, compressed.
    pub async fn page(&self, path: &str) -> Result<Vec<u8>> {
        let headers = format!("Cookie: muster_session={}\r\nAccept-Encoding: gzip\r\n", self.token);
        self.address.fetch("GET", path, &headers, "").await
    }

    /// Likewise, read as JSON.
    pub async fn json(&self, method: &str, path: &str, body: &str) -> Result<Value> {
        Ok(serde_json::from_slice(&self.ask(method, path, body).await?)?)
    }
}
