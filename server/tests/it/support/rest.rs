use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Once;
use std::time::Duration;

use agent_compat::transport::Trust;
use muster_api::rest::{Applied, ErrorBody, FREEZE_OVERRIDE, SetUpDone};
use reqwest::header::HeaderMap;
use reqwest::{Certificate, Client, Method, RequestBuilder};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Address, ENROLL_SECRET};

/// The administrator's.
pub const PASSWORD: &str = "only-for-tests-1!";

/// Longest a request may take, streams included: a test that waits for what never comes fails instead of hanging.
const REQUEST_WITHIN: Duration = Duration::from_secs(180);

/// A client of the REST API.
#[derive(Debug, Clone)]
pub struct Rest {
    client: Client,
    address: Address,
    root: String,
    token: Option<String>,
    /// Why a change freeze is not to refuse what is sent.
    reason: Option<String>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body of a success.
    pub fn read<T: DeserializeOwned>(&self) -> T {
        assert_eq!(self.status, 200, "{}", self.text);
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The problems a refusal names, as `path: reason`.
    pub fn problems(&self) -> Vec<String> {
        assert!(self.status >= 400, "{}", self.text);
        let body: ErrorBody = serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        body.errors.into_iter().map(|error| format!("{}: {}", error.name, error.reason)).collect()
    }
}

impl Rest {
    pub fn new(address: &Address) -> Self {
        Self {
            client: client(address, None),
            address: address.clone(),
            root: address.url.clone(),
            token: None,
            reason: None,
        }
    }

    /// The same user at another address of this machine.
    pub fn at_address(&self, local: &str) -> Self {
        Self { client: client(&self.address, Some(local.parse().unwrap())), ..self.clone() }
    }

    /// Makes the first administrator, logs in as such, and sets [`ENROLL_SECRET`].
    pub async fn set_up(mut self) -> Self {
        let done: SetUpDone = self.post("/api/v1/setup", &Self::set_up_body()).await.read();
        self.token = Some(done.token);
        let secret = json!({ "kind": "enroll_secret", "spec": { "secrets": [{ "secret": ENROLL_SECRET }] } });
        self.apply(&[secret]).await;
        self
    }

    pub fn set_up_body() -> Value {
        json!({
            "admin": { "email": "admin@example.com", "name": "Admin", "password": PASSWORD },
            "org_info": { "org_name": "Tests" },
            "server_url": "https://localhost:8080",
        })
    }

    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    pub fn anonymous(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    /// The same user, who passes change freezes for this reason with [`Rest::send`].
    pub fn overriding(&self, reason: &str) -> Self {
        Self { reason: Some(reason.to_owned()), ..self.clone() }
    }

    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// Sends a request; a path without a leading slash stands under the newest base.
    pub async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let mut request = self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), self.url(path));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(reason) = &self.reason {
            request = request.header(FREEZE_OVERRIDE, reason.as_bytes());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        Self::finish(request).await
    }

    /// Sends a GET with an `Authorization` header as it is written here.
    pub async fn get_authorized(&self, path: &str, authorization: &str) -> Answer {
        Self::finish(self.client.get(self.url(path)).header("Authorization", authorization)).await
    }

    /// Posts bytes that need not be JSON.
    pub async fn post_bytes(&self, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        let url = format!("{}/api/v1/fleet/{path}", self.root);
        let request = self.client.post(url).header("Content-Type", content_type).body(body.into());
        Self::finish(request.bearer_auth(self.token())).await
    }

    /// Posts bytes without saying what they are.
    pub async fn post_untyped(&self, path: &str, body: impl Into<Vec<u8>>) -> Answer {
        let request = self.client.post(self.url(path)).body(body.into());
        Self::finish(request.bearer_auth(self.token())).await
    }

    /// Sends a request with these headers and no others of a client.
    pub async fn send_exactly(
        &self,
        method: &str,
        path: &str,
        headers: &BTreeMap<&str, String>,
        body: Option<String>,
    ) -> Answer {
        let mut request = self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), self.url(path));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        Self::finish(if let Some(body) = body { request.body(body) } else { request }).await
    }

    /// A GET that a test goes on with itself.
    pub fn getting(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path)).bearer_auth(self.token())
    }

    /// A POST that a test goes on with itself.
    pub fn posting(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(self.url(path)).json(body)
    }

    fn url(&self, path: &str) -> String {
        if path.starts_with('/') { self.root.clone() + path } else { format!("{}/api/v1/fleet/{path}", self.root) }
    }

    async fn finish(request: RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    /// The answer to a GET, if there is one.
    pub async fn try_get(&self, path: &str) -> Option<Answer> {
        let response = self.getting(path).send().await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Some(Answer { status, headers, text: response.text().await.ok()? })
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some(body)).await
    }

    /// Reads a resource there must be.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> T {
        self.get(path).await.read()
    }

    pub async fn try_apply(&self, documents: &[Value], dry_run: bool) -> Answer {
        self.post("spec/apply", &json!({ "documents": documents, "dry_run": dry_run })).await
    }

    /// Applies documents there must be nothing wrong with.
    pub async fn apply(&self, documents: &[Value]) -> Applied {
        self.try_apply(documents, false).await.read()
    }

    /// Applies documents as they stand in a file.
    pub async fn apply_yaml(&self, text: &str) -> Applied {
        self.apply(&serde_yaml::from_multiple::<Value>(text).unwrap()).await
    }
}

fn client(address: &Address, local: Option<IpAddr>) -> Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Somebody else in this process may have been first; it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let builder = Client::builder().timeout(REQUEST_WITHIN).local_address(local);
    let builder = match &address.trust {
        Trust::CaFile(path) if address.url.starts_with("https") => {
            builder.tls_certs_only([Certificate::from_pem(&std::fs::read(path).unwrap()).unwrap()])
        }
        _ => builder.tls_certs_only([]),
    };
    builder.build().unwrap()
}
