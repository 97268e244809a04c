use std::time::Duration;

use agent_compat::transport::read_response;
use agent_compat::{Exchange, Verdict};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// Longest wait for an answer: longer than agents wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// A plain connection on which a test writes what it likes.
pub struct Raw(TcpStream);

impl Raw {
    /// Connects to `http://HOST:PORT`.
    pub async fn connect(url: &str) -> Self {
        Self(TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap())
    }

    /// The head of a POST with these headers besides `Host`.
    pub fn head(path: &str, headers: &[(&str, &str)]) -> String {
        let mut head = format!("POST {path} HTTP/1.1\r\nHost: test\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head + "\r\n"
    }

    /// Writes; `false` when the other side has closed.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    /// Reads one answer to its end, judged as an agent judges it; none when the connection ends first.
    pub async fn answer(&mut self) -> Exchange {
        let response =
            tokio::time::timeout(PATIENCE, read_response(&mut self.0, false)).await.ok().and_then(Result::ok);
        let verdict = match &response {
            Some(response) => judge(&response.body),
            None => Verdict::Failure("no answer".to_owned()),
        };
        Exchange { verdict, response }
    }
}

fn judge(body: &[u8]) -> Verdict {
    let identity = agent_compat::Identity::simulated(1, 0, agent_compat::Platform::Linux);
    let tables = Box::new(agent_compat::SqliteHost::new());
    agent_compat::Agent::new(identity, agent_compat::Flags::default(), tables, 0).judge(body)
}
