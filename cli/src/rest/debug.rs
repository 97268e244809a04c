//! Client for `/debug` of the server. Each node answers for itself, so requests say which node they are for.

use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::time::timeout;

use super::{RestError, check_address, headers, http_client, prefix, tls_policy};
use crate::contexts::ServerContext;
use crate::output;

/// Names the node that a request is for, and in an answer the node that answers.
const NODE_HEADER: &str = "muster-node";

/// Most bytes of an answer; the server stops at less.
const MAX_ANSWER: usize = 32 << 20;

/// Connections that are opened to reach a node behind a load balancer. If that chooses among eight nodes at random, one of
/// them is missed in one of 5,000 cases.
const ATTEMPTS: usize = 64;

/// Longest wait for another turn if the server is busy.
const MAX_BUSY: Duration = Duration::from_secs(10);

/// The address at which `/debug` is asked for: of one node, or of a load balancer before several.
#[derive(Clone)]
pub struct DebugClient {
    url: Url,
    tls: rustls::ClientConfig,
    headers: HeaderMap,
    token: String,
    prints_requests: bool,
}

/// What a node answers.
#[derive(Debug)]
pub struct DebugAnswer {
    pub bytes: Vec<u8>,
    /// The node that answers; empty if the server does not say.
    pub node: String,
}

#[derive(Deserialize)]
struct DebugRefusal {
    error: String,
}

impl DebugClient {
    /// Prepares a client for the server of a context; sends nothing.
    pub fn new(context: &ServerContext, prints_requests: bool) -> anyhow::Result<Self> {
        let tls = tls_policy(context).client_config()?;
        let url = root(context, &context.address)?;
        Ok(Self { url, tls, headers: headers(context)?, token: context.token.clone(), prints_requests })
    }

    /// The same client for another address, with the certificates, prefix and session of its context.
    pub fn at(&self, context: &ServerContext, address: &str) -> anyhow::Result<Self> {
        Ok(Self { url: root(context, address)?, ..self.clone() })
    }

    /// The address without the name and password that it may contain.
    pub fn address(&self) -> &str {
        self.url.as_str().trim_end_matches('/').trim_end_matches("/debug")
    }

    /// A connection of its own, to any node or to one.
    pub fn connection(&self, node: Option<&str>) -> DebugConnection {
        DebugConnection { client: self.clone(), node: node.map(str::to_owned), http: None }
    }
}

/// The URL of `/debug/` at an address. A name and password in the address are left out, as the token is sent instead.
fn root(context: &ServerContext, address: &str) -> anyhow::Result<Url> {
    let mut url = check_address(address, context.tls_skip_verify)?;
    // They fail only for URLs without a host, which have been refused.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    let path = format!("{}{}/debug/", url.path().trim_end_matches('/'), prefix(&context.url_prefix));
    url.set_path(&path);
    Ok(url)
}

/// A connection on which one request follows the other. Once it has reached a node, it stays with it.
pub struct DebugConnection {
    client: DebugClient,
    node: Option<String>,
    http: Option<Client>,
}

impl DebugConnection {
    /// Asks for an item. Opens connections until one reaches its node, and waits for another turn if the server
    /// is busy.
    ///
    /// # Errors
    /// When no answer has come within the time limit, when the node is not reached, or why the server refuses.
    pub async fn get(&mut self, path: &str, limit: Duration) -> Result<DebugAnswer, RestError> {
        self.within(limit, Method::GET, path, None).await
    }

    /// As [`DebugConnection::get`], for what changes something.
    pub async fn put(&mut self, path: &str, body: Vec<u8>, limit: Duration) -> Result<DebugAnswer, RestError> {
        self.within(limit, Method::PUT, path, Some(body)).await
    }

    async fn within(
        &mut self,
        limit: Duration,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<DebugAnswer, RestError> {
        let deadline = Instant::now() + limit;
        let answer = timeout(limit, self.reach(deadline, &method, path, body.as_deref())).await;
        answer.unwrap_or_else(|_| {
            // The answer may still come on this connection.
            self.http = None;
            Err(RestError::Slow(limit))
        })
    }

    async fn reach(
        &mut self,
        deadline: Instant,
        method: &Method,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<DebugAnswer, RestError> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match self.send(method, path, body).await {
                Err(RestError::OtherNode { here }) => {
                    self.http = None;
                    last = Some(here);
                }
                Err(RestError::Taken { retry_after, .. })
                    if retry_after <= MAX_BUSY && Instant::now() + retry_after < deadline =>
                {
                    tokio::time::sleep(retry_after).await;
                }
                answer => return answer,
            }
        }
        Err(RestError::OtherNode { here: last.unwrap_or_default() })
    }

    async fn send(&mut self, method: &Method, path: &str, body: Option<&[u8]>) -> Result<DebugAnswer, RestError> {
        let DebugClient { url: root, tls, headers, token, prints_requests } = &self.client;
        let unreachable = |error| RestError::unreachable(self.client.address(), error);
        let url = format!("{root}{path}");
        let http = match &self.http {
            Some(http) => http,
            None => {
                let built = http_client(root, headers.clone(), tls.clone());
                let built = built.map_err(|error| RestError::Unreachable {
                    address: self.client.address().to_owned(),
                    cause: error.to_string(),
                    remedy: "",
                })?;
                self.http.insert(built)
            }
        };
        let mut request = http.request(method.clone(), &url).bearer_auth(token);
        if let Some(node) = &self.node {
            request = request.header(NODE_HEADER, node);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_vec());
        }
        let started = Instant::now();
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (node, retry_after) = (header(NODE_HEADER).unwrap_or_default(), header("retry-after"));
        let bytes = whole(answer).await.map_err(|error| error.or_unreachable(unreachable))?;
        if *prints_requests {
            let took = started.elapsed().as_millis();
            output::note(&format!("{method} {url}: {status} from {node:?}, {} bytes in {took} ms", bytes.len()));
        }
        if status.is_success() {
            return Ok(DebugAnswer { bytes, node });
        }
        Err(refused(self.client.address(), &url, status, node, retry_after, &bytes))
    }
}

/// The answer is too large, or has not come whole.
struct Unfinished(Option<reqwest::Error>);

impl Unfinished {
    fn or_unreachable(self, unreachable: impl FnOnce(reqwest::Error) -> RestError) -> RestError {
        self.0.map_or(RestError::TooLarge { limit_mib: MAX_ANSWER >> 20 }, unreachable)
    }
}

async fn whole(mut answer: Response) -> Result<Vec<u8>, Unfinished> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| Unfinished(Some(error)))? {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            return Err(Unfinished(None));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn refused(
    address: &str,
    url: &str,
    status: StatusCode,
    here: String,
    retry_after: Option<String>,
    body: &[u8],
) -> RestError {
    let not_served = || RestError::NotServed { address: address.to_owned() };
    let Ok(DebugRefusal { error }) = serde_json::from_slice(body) else {
        // Fleet's servers refuse with a text.
        return match status {
            StatusCode::UNAUTHORIZED => RestError::Unauthenticated,
            StatusCode::NOT_FOUND | StatusCode::MISDIRECTED_REQUEST => not_served(),
            _ => RestError::from_response(url, status, retry_after, body),
        };
    };
    match status {
        StatusCode::UNAUTHORIZED => RestError::Unauthenticated,
        StatusCode::FORBIDDEN => RestError::Forbidden(error),
        StatusCode::MISDIRECTED_REQUEST if here.is_empty() => not_served(),
        StatusCode::MISDIRECTED_REQUEST => RestError::OtherNode { here },
        StatusCode::TOO_MANY_REQUESTS => {
            let seconds = retry_after.and_then(|seconds| seconds.parse().ok()).unwrap_or(60).max(1);
            RestError::Taken { reason: error, retry_after: Duration::from_secs(seconds) }
        }
        StatusCode::NOT_IMPLEMENTED => RestError::NotThere(error),
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => RestError::NotFound(error),
        status => RestError::Refused { status, message: error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(address: &str, url_prefix: &str) -> ServerContext {
        ServerContext { address: address.to_owned(), url_prefix: url_prefix.to_owned(), ..ServerContext::default() }
    }

    #[test]
    fn the_address_keeps_its_prefix_and_loses_its_password() {
        let context = context("https://fleet.example.com:8443/", "/muster");
        let client = DebugClient::new(&context, false).unwrap();
        assert_eq!(client.url.as_str(), "https://fleet.example.com:8443/muster/debug/");
        let node = client.at(&context, "https://user:not-so-secret@10.0.0.7?token=x#y").unwrap();
        assert_eq!(node.url.as_str(), "https://10.0.0.7/muster/debug/");
        assert_eq!(node.address(), "https://10.0.0.7/muster");
    }

    #[test]
    fn refusals_of_nodes_are_told_apart() {
        let refusal = |status, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            refused("https://x", "https://x/debug/y", status, "n-1".to_owned(), None, body.as_bytes())
        };
        let error = r#"{"error":"why"}"#;
        assert!(matches!(refusal(421, error), RestError::OtherNode { here } if here == "n-1"));
        assert!(matches!(refusal(501, error), RestError::NotThere(why) if why == "why"));
        let not_served = refusal(404, r#"{"message":"Resource Not Found","errors":[]}"#).to_string();
        assert!(not_served.starts_with("/debug is not served at https://x; ") && not_served.contains("--node-address"));
        assert!(matches!(refusal(421, "agents"), RestError::NotServed { .. }));
        assert!(matches!(refusal(401, "Please authenticate"), RestError::Unauthenticated));
        assert!(refusal(503, error).to_string().ends_with("503 Service Unavailable: why"));
        assert!(matches!(refusal(502, "<html>"), RestError::NotFleet { .. }));
    }
}
