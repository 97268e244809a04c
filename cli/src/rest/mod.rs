//! Client for the REST API of the server.

mod debug;
mod error;
mod lines;
mod raw;

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use muster_tls::TlsPolicy;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use debug::{DebugAnswer, DebugClient, DebugConnection};
pub use error::RestError;
pub use lines::LineStream;
pub use raw::RawRequest;

use crate::contexts::ServerContext;
use crate::output;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Applying thousands of documents can take minutes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// Characters that are encoded in a path segment: all but the unreserved ones of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// A client for one server, with or without a session token.
#[derive(Clone)]
pub struct RestClient {
    http: Client,
    address: String,
    token: String,
    debug: bool,
}

impl RestClient {
    /// Prepares a client for the server of a context; sends nothing.
    pub fn new(context: &ServerContext, debug: bool) -> anyhow::Result<Self> {
        let url = check_address(&context.address, context.tls_skip_verify)?;
        let http = http_client(&url, headers(context)?, tls_policy(context).client_config()?)?;
        let address = format!("{}{}", context.address.trim_end_matches('/'), prefix(&context.url_prefix));
        Ok(Self { http, address, token: context.token.clone(), debug })
    }

    /// The same client with another session token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, RestError> {
        self.send::<(), T>(Method::GET, &fleet(path), None).await
    }

    pub async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, RestError> {
        self.send(Method::POST, &fleet(path), Some(body)).await
    }

    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, RestError> {
        self.send::<(), T>(Method::DELETE, &fleet(path), None).await
    }

    /// Posts to a path outside of the versioned API.
    pub async fn post_root<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, RestError> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Whether `GET /healthz` succeeds.
    pub async fn is_healthy(&self) -> bool {
        let request = self.http.get(format!("{}/healthz", self.address)).timeout(HEALTH_TIMEOUT);
        let answer = request.send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    async fn send<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<T, RestError> {
        let url = format!("{}{path}", self.address);
        let started = Instant::now();
        let mut request = self.http.request(method.clone(), &url);
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let unreachable = |error| RestError::unreachable(&self.address, error);
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let bytes = answer.bytes().await.map_err(unreachable)?;
        if self.debug {
            let took = started.elapsed().as_millis();
            output::note(&format!("{method} {url}: {status}, {} bytes in {took} ms", bytes.len()));
        }
        if !status.is_success() {
            return Err(RestError::from_response(&url, status, retry_after, &bytes));
        }
        serde_json::from_slice(&bytes).map_err(|cause| RestError::Unreadable { url, cause })
    }
}

/// A client for the server at a URL. Connections are kept while it lives.
pub fn http_client(url: &Url, headers: HeaderMap, tls: rustls::ClientConfig) -> anyhow::Result<Client> {
    let mut builder = Client::builder()
        .user_agent(concat!("fleetctl/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(ANSWER_TIMEOUT)
        // A redirect could send the token to another server or turn a POST into a GET.
        .redirect(reqwest::redirect::Policy::none())
        .default_headers(headers)
        .tls_backend_preconfigured(tls);
    if is_loopback(url) {
        builder = builder.no_proxy();
    }
    builder.build().context("cannot prepare TLS")
}

fn fleet(path: &str) -> String {
    format!("{}/{path}", muster_api::rest::BASES[0])
}

/// Encodes a name as one path segment.
pub fn segment(name: &str) -> String {
    utf8_percent_encode(name, RESERVED).to_string()
}

/// Accepts https URLs, and http URLs of this machine or if `insecure`.
pub fn check_address(address: &str, insecure: bool) -> anyhow::Result<Url> {
    if address.is_empty() {
        bail!("set the Fleet API address with: fleetctl config set --address https://localhost:8080");
    }
    // The reason of the library says nothing more, and to most addresses only the beginning is missing.
    let Ok(url) = Url::parse(address) else {
        bail!("the address {address:?} is not a URL such as https://localhost:8080; does it begin with https://?");
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if insecure || is_loopback(&url) => Ok(url),
        _ => bail!("Address must start with https://; http is accepted for localhost and with --tls-skip-verify"),
    }
}

fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

pub fn prefix(url_prefix: &str) -> String {
    match url_prefix.trim_matches('/') {
        "" => String::new(),
        inner => format!("/{inner}"),
    }
}

pub fn tls_policy(context: &ServerContext) -> TlsPolicy {
    match context.rootca.as_str() {
        _ if context.tls_skip_verify => TlsPolicy::unverified(),
        "" => TlsPolicy::platform(),
        path => TlsPolicy::trusting(path),
    }
}

fn headers(context: &ServerContext) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in &context.custom_headers {
        let key = HeaderName::from_bytes(name.as_bytes())
            .with_context(|| format!("custom-headers: {name:?} is not a valid header name"))?;
        let value = HeaderValue::from_bytes(value.as_bytes())
            .with_context(|| format!("custom-headers: the value of {name:?} is not a valid header value"))?;
        headers.insert(key, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_one_segment() {
        assert_eq!(segment("a/b ü?%"), "a%2Fb%20%C3%BC%3F%25");
        assert_eq!(segment("plain-Name_1.2~"), "plain-Name_1.2~");
    }

    #[test]
    fn http_is_accepted_for_this_machine() {
        assert!(check_address("https://fleet.example.com", false).is_ok());
        assert!(check_address("http://localhost:8080", false).is_ok());
        assert!(check_address("http://[::1]:8080", false).is_ok());
        assert!(check_address("http://fleet.example.com", false).is_err());
        assert!(check_address("http://fleet.example.com", true).is_ok());
        assert!(check_address("ftp://fleet.example.com", true).is_err());
        assert!(check_address("fleet.example.com", false).is_err());
    }

    #[test]
    fn prefixes_have_one_slash() {
        assert_eq!((prefix(""), prefix("/"), prefix("a/b/")), (String::new(), String::new(), "/a/b".to_owned()));
    }
}
