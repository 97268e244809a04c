//! Requests that users write themselves.

use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode, Url};
use tokio::time::timeout;

use super::{RestClient, RestError, fleet};
use crate::output;

/// A response that brings nothing for longer has broken off.
const SILENCE: Duration = Duration::from_secs(300);

/// The longest that a response may take as a whole.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A request as it is typed.
pub struct RawRequest {
    pub method: Method,
    /// Below the versioned API, unless it begins with a slash.
    pub path: String,
    /// Parameters to add to the path.
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    /// The body and its type.
    pub body: Option<(Vec<u8>, &'static str)>,
}

impl RestClient {
    /// Sends a request and hands on the body of the response as it comes, whatever its status. `begin` gets the status and the
    /// headers before.
    ///
    /// # Errors
    /// That the path is none of the server's, or that the response did not come or is not whole.
    pub async fn raw(
        &self,
        request: RawRequest,
        begin: impl FnOnce(StatusCode, &HeaderMap) -> anyhow::Result<()>,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<StatusCode> {
        let url = self.raw_url(&request)?;
        let mut sent = self.http.request(request.method.clone(), url.clone()).timeout(LONGEST);
        // What is typed replaces what is known.
        if !self.token.is_empty() && !request.headers.contains_key("authorization") {
            sent = sent.bearer_auth(&self.token);
        }
        if let Some((body, kind)) = request.body {
            if !request.headers.contains_key("content-type") {
                sent = sent.header("content-type", kind);
            }
            sent = sent.body(body);
        }
        let slow = |_| RestError::Slow(SILENCE);
        let unreachable = |error| RestError::unreachable(&self.address, error);
        let answer = timeout(SILENCE, sent.headers(request.headers).send()).await.map_err(slow)?;
        let mut answer = answer.map_err(unreachable)?;
        let status = answer.status();
        if self.debug {
            output::note(&format!("{} {url}: {status}, reading", request.method));
        }
        begin(status, answer.headers())?;
        while let Some(chunk) = timeout(SILENCE, answer.chunk()).await.map_err(slow)?.map_err(unreachable)? {
            take(&chunk)?;
        }
        Ok(status)
    }

    /// The URL of a request, which never leads to another server: the token goes with it.
    fn raw_url(&self, request: &RawRequest) -> anyhow::Result<Url> {
        let path = request.path.as_str();
        if path.contains("://") || path.starts_with("//") {
            bail!("{path:?} is an address; name a path of the server of the context, such as hosts or /healthz");
        }
        let path = if path.starts_with('/') { path.to_owned() } else { fleet(path) };
        let base = Url::parse(&self.address).context("the address of the context is no URL")?;
        let whole = format!("{}{path}", self.address);
        let mut url = Url::parse(&whole).with_context(|| format!("{path:?} is not a path"))?;
        if url.origin() != base.origin() {
            bail!("{path:?} leads to another server");
        }
        url.set_fragment(None);
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contexts::ServerContext;

    #[test]
    fn paths_stay_on_the_server() {
        let context = ServerContext {
            address: "https://fleet.example.com:8080".to_owned(),
            url_prefix: "muster".to_owned(),
            ..ServerContext::default()
        };
        let client = RestClient::new(&context, false).unwrap();
        let url = |path: &str, query: &[(&str, &str)]| {
            let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let (method, headers, body) = (Method::GET, HeaderMap::new(), None);
            let request = RawRequest { method, path: path.to_owned(), query, headers, body };
            client.raw_url(&request).map(|url| url.to_string()).map_err(|error| error.to_string())
        };
        let base = "https://fleet.example.com:8080/muster";
        assert_eq!(url("hosts?status=online", &[]).unwrap(), format!("{base}/api/v1/fleet/hosts?status=online"));
        assert_eq!(url("hosts", &[("query", "a b&c")]).unwrap(), format!("{base}/api/v1/fleet/hosts?query=a+b%26c"));
        assert_eq!(url("/healthz", &[]).unwrap(), format!("{base}/healthz"));
        for other in ["https://other.example.com/", "//other.example.com/x"] {
            assert!(url(other, &[]).unwrap_err().contains("is an address"), "{other}");
        }
        // Without a prefix, what follows the address could else be part of its name.
        let bare = RestClient::new(&ServerContext { url_prefix: String::new(), ..context }, false).unwrap();
        let path = "@other.example.com/".to_owned();
        let request =
            RawRequest { method: Method::GET, path, query: Vec::new(), headers: HeaderMap::new(), body: None };
        assert_eq!(bare.raw_url(&request).unwrap().host_str(), Some("fleet.example.com"));
    }
}
