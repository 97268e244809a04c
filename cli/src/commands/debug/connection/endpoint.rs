//! Whether agents are served: an enrollment with a secret that no server has is refused in a way that no other program refuses
//! it.

use anyhow::{anyhow, bail};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use super::Server;
use crate::rest::{RestError, http_client};

/// Where agents enroll.
const ENROLL: &str = "/api/v1/osquery/enroll";

/// A secret that no server has, as Fleet's client sends it.
const BODY: &str = r#"{"enroll_secret": "--invalid--"}"#;

/// Most bytes of an answer that are read.
const MAX_ANSWER: usize = 64 << 10;

/// Most characters of an answer that are shown.
const SHOWN: usize = 200;

#[derive(Default, Deserialize)]
#[serde(default)]
struct EnrollRefusal {
    error: String,
    node_invalid: bool,
}

/// # Errors
/// What has answered instead, and where to look.
pub async fn check(server: &Server) -> anyhow::Result<()> {
    let mut url = server.url.clone();
    url.set_path(&format!("{}{ENROLL}", server.url_prefix));
    let http = http_client(&url, HeaderMap::new(), server.policy.client_config()?)?;
    let request = http.post(url.clone()).header("content-type", "application/json").body(BODY);
    let mut answer = request.send().await.map_err(|error| anyhow!(RestError::unreachable(url.as_str(), error)))?;
    let status = answer.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            bail!("{url} answers with more than {} KiB; it is not a Fleet server", MAX_ANSWER >> 10);
        }
        bytes.extend_from_slice(&chunk);
    }
    judge(url.path(), status, &bytes)
}

fn judge(path: &str, status: StatusCode, body: &[u8]) -> anyhow::Result<()> {
    let shown: String = String::from_utf8_lossy(body).chars().take(SHOWN).collect();
    let Ok(refusal) = serde_json::from_slice::<EnrollRefusal>(body) else {
        bail!(
            "{status} from {path}, and no JSON: {shown:?}; another program listens at this address, or a proxy does not hand on \
             {ENROLL}"
        );
    };
    if status == StatusCode::UNAUTHORIZED && !refusal.error.is_empty() && refusal.node_invalid {
        return Ok(());
    }
    if refusal.error.is_empty() {
        bail!("unexpected {status} response from {path}: {shown}; it is not a Fleet server, or url-prefix is wrong");
    }
    if refusal.node_invalid {
        bail!("unexpected {status} response: {}; does a proxy change the status? It must be 401", refusal.error);
    }
    if status == StatusCode::MISDIRECTED_REQUEST {
        bail!("agents are not served at this address; the server answers: {}", refusal.error);
    }
    if status == StatusCode::FORBIDDEN && refusal.error.contains("client certificate") {
        // The server asks agents for certificates (server.agent_ca), and this is none.
        return Ok(());
    }
    let remedy = match status {
        StatusCode::TOO_MANY_REQUESTS => "too many hosts enroll at this moment; try again",
        StatusCode::NOT_FOUND => "agents are not served here; are the address and url-prefix right?",
        status if status.is_server_error() => "the server is in trouble; see its log and fleetctl debug archive",
        _ => "it is not a Fleet server, or not the address for agents",
    };
    bail!("unexpected {status} response: {}; {remedy}", refusal.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_refusal_of_a_fleet_server_is_good() {
        let judged = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            judge("/p", status, body.as_bytes()).err().map(|error| error.to_string()).unwrap_or_default()
        };
        let refusal = r#"{"error":"no matching secret","node_invalid":true}"#;
        assert_eq!(judged(401, refusal), "");
        assert!(judged(200, refusal).contains("does a proxy change the status"));
        assert!(judged(200, "<html>hello</html>").contains("another program listens"));
        assert!(judged(200, "{}").contains("it is not a Fleet server"));
        assert!(judged(404, r#"{"error":"nothing here"}"#).contains("url-prefix"));
        assert!(judged(421, r#"{"error":"elsewhere"}"#).ends_with("the server answers: elsewhere"));
        assert!(judged(503, r#"{"error":"database"}"#).contains("debug archive"));
    }
}
