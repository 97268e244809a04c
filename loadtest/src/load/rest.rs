//! As much of a REST client as setting up and live queries need.

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::wire::Target;

/// Timeout of a REST request.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);

/// An operator's session.
#[derive(Clone, Debug)]
pub(super) struct Rest {
    target: Target,
    host: String,
    prefix: String,
    token: Option<String>,
}

/// Status and body of an answer.
struct Answer {
    status: u16,
    body: Value,
}

impl Rest {
    pub fn new(target: Target, host: &str, prefix: &str) -> Self {
        Self { target: Target { sources: 0, ..target }, host: host.to_owned(), prefix: prefix.to_owned(), token: None }
    }

    pub fn with_token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    /// Makes the first user; `None` if there is one already.
    pub async fn set_up(&self, email: &str, password: &str) -> anyhow::Result<Option<Self>> {
        let body = json!({
            "admin": {"email": email, "name": "Load test", "password": password},
            "org_info": {"org_name": "Load test"},
            "server_url": "",
        });
        let answer = self.send("POST", "/api/v1/setup", Some(&body)).await?;
        match answer.body.get("token").and_then(Value::as_str) {
            Some(token) if answer.status == 200 => Ok(Some(self.clone().with_token(token))),
            _ if answer.status == 422 => bail!("the server refuses the first user: {}", answer.body),
            _ => Ok(None),
        }
    }

    pub async fn log_in(&self, email: &str, password: &str) -> anyhow::Result<Self> {
        let body = json!({"email": email, "password": password});
        let answer = self.send("POST", "/api/v1/fleet/login", Some(&body)).await?;
        match answer.body.get("token").and_then(Value::as_str) {
            Some(token) => Ok(self.clone().with_token(token)),
            None => bail!("{email} cannot log in: {}", words(&answer)),
        }
    }

    /// Sends a request below the newest base, which must succeed.
    pub async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let answer = self.send(method, &format!("/api/v1/fleet/{path}"), body).await?;
        if answer.status != 200 {
            bail!("{method} {path}: {}", words(&answer));
        }
        Ok(answer.body)
    }

    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let authorization =
            self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let request = format!(
            "{method} {}{path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nConnection: close\r\n{authorization}Content-Length: {}\r\n\r\n{body}",
            self.prefix,
            self.host,
            body.len(),
        );
        let exchange = async {
            let mut connection = self.target.connect(0, 0).await?;
            let mut buffer = Vec::new();
            let answer = connection.exchange(request.as_bytes(), &mut buffer).await?;
            connection.close().await;
            std::io::Result::Ok((answer.status, buffer[answer.body].to_vec()))
        };
        let (status, text) = timeout(DEADLINE, exchange)
            .await
            .with_context(|| format!("{method} {path}: no answer within {} s", DEADLINE.as_secs()))?
            .with_context(|| format!("{method} {path} at {}", self.host))?;
        let body = serde_json::from_slice(&text)
            .with_context(|| format!("{method} {path}: {status} {:?}", String::from_utf8_lossy(&text)))?;
        Ok(Answer { status, body })
    }
}

fn words(answer: &Answer) -> String {
    let reasons = answer.body.get("errors").and_then(Value::as_array).into_iter().flatten();
    let reasons: Vec<String> = reasons
        .filter_map(|error| Some(format!("{}: {}", error.get("name")?.as_str()?, error.get("reason")?.as_str()?)))
        .collect();
    let message = answer.body.get("message").and_then(Value::as_str).unwrap_or_default();
    format!("{} {message} {}", answer.status, reasons.join("; ")).trim().to_owned()
}
