//! A server with one live query that implements the endpoints `fleetctl query` uses.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// Timeout of every step.
pub const DEADLINE: Duration = Duration::from_secs(30);
const BASE: &str = "/api/v1/fleet/";

/// Responses of the server; tests fill it in before they run fleetctl.
#[derive(Default)]
pub struct Script {
    pub job: Value,
    /// The cursor of an answer is its index plus one.
    pub answers: Vec<Value>,
    /// The live query after all answers were sent.
    pub after: Option<Value>,
    /// The first connection breaks after this number of answers; the next one repeats the last answer.
    pub breaks_after: Option<usize>,
    /// Response to the creation of the live query, instead of creating it.
    pub refusal: Option<(u16, Value)>,
    /// Warnings in the response to the creation.
    pub warnings: Vec<String>,
    /// A request that is not answered before its client hangs up.
    pub unanswered: Option<&'static str>,
    /// Requests received, without polls of the live query.
    pub requests: Vec<String>,
    /// Body of the creation request.
    pub asked: Value,
}

pub struct LiveServer {
    pub address: String,
    shared: Arc<Shared>,
}

struct Shared {
    script: Mutex<Script>,
    changed: Condvar,
}

impl LiveServer {
    pub fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared { script: Mutex::new(script), changed: Condvar::new() });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&serving);
                thread::spawn(move || shared.serve(stream.unwrap()));
            }
        });
        Self { address, shared }
    }

    pub fn requests(&self) -> Vec<String> {
        self.shared.script.lock().unwrap().requests.clone()
    }

    pub fn asked(&self) -> Value {
        self.shared.script.lock().unwrap().asked.clone()
    }

    /// Waits until a request was received.
    pub fn wait_for(&self, request: &str) {
        let script = self.shared.script.lock().unwrap();
        let absent = |script: &mut Script| !script.requests.iter().any(|made| made.starts_with(request));
        let (_script, waited) = self.shared.changed.wait_timeout_while(script, DEADLINE, absent).unwrap();
        assert!(!waited.timed_out(), "nobody asked for {request}");
    }
}

impl Shared {
    /// Answers one request; a client that disconnects is not a failure.
    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        if reader.read_line(&mut line).is_err() || line.is_empty() {
            return;
        }
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            if header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let request = line.trim_end().trim_end_matches(" HTTP/1.1").replace(BASE, "");
        if request != "GET live_queries/7" && request != "GET version" {
            self.script.lock().unwrap().requests.push(request.clone());
            self.changed.notify_all();
        }
        if let Some(query) = request.strip_prefix("GET live_queries/7/results?cursor=") {
            let (cursor, follow) = query.split_once("&follow=").unwrap();
            let _ = self.stream(&mut stream, cursor.parse().unwrap(), follow == "true");
            return;
        }
        if self.script.lock().unwrap().unanswered == Some(request.as_str()) {
            let _ = reader.read(&mut [0]);
            return;
        }
        let (status, answer) = self.answer(&request, &body);
        let answer = answer.to_string();
        let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", answer.len());
        let _ = stream.write_all(format!("{head}{answer}").as_bytes());
    }

    fn answer(&self, request: &str, body: &[u8]) -> (u16, Value) {
        let mut script = self.script.lock().unwrap();
        match request {
            "GET version" => {
                let version = env!("CARGO_PKG_VERSION");
                let [branch, revision, go_version, build_date, build_user] = [""; 5];
                let version = json!({
                    "version": version, "branch": branch, "revision": revision, "go_version": go_version,
                    "build_date": build_date, "build_user": build_user,
                });
                (200, version)
            }
            "POST live_queries" => {
                script.asked = serde_json::from_slice(body).unwrap();
                let created = json!({"live_query": script.job, "warnings": script.warnings});
                script.refusal.clone().unwrap_or((200, created))
            }
            "GET live_queries/7" => (200, json!({"live_query": script.job})),
            "GET live_queries?status=open" | "GET live_queries?status=all" => {
                (200, json!({"live_queries": [script.job]}))
            }
            "GET live_queries/7/hosts?state=failed" => {
                (200, json!({"hosts": [{"id": 2, "hostname": "b", "state": "failed"}]}))
            }
            "POST live_queries/7/pause" | "POST live_queries/7/resume" => {
                script.job["paused"] = request.ends_with("pause").into();
                (200, json!({"live_query": script.job}))
            }
            "POST live_queries/7/rate" => {
                script.job["rate"] = serde_json::from_slice::<Value>(body).unwrap()["rate"].take();
                (200, json!({"live_query": script.job}))
            }
            "POST live_queries/7/cancel" => {
                script.job["status"] = "cancelled".into();
                script.job["stop_reason"] = "cancelled by a@b.c".into();
                script.job["counts"]["cancelled"] = script.job["counts"]["pending"].take();
                script.job["counts"]["pending"] = 0.into();
                self.changed.notify_all();
                (200, json!({"live_query": script.job}))
            }
            _ => (404, json!({"message": "Resource Not Found", "errors": [{"name": "base", "reason": "not there"}]})),
        }
    }

    /// Sends the answers after a cursor; with `follow`, keeps the connection open until the live query ends.
    fn stream(&self, stream: &mut TcpStream, cursor: usize, follow: bool) -> std::io::Result<()> {
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes())?;
        chunk(stream, "\n")?;
        let mut script = self.script.lock().unwrap();
        let breaks_after = script.breaks_after.filter(|_| follow && cursor == 0);
        let repeats = usize::from(script.breaks_after.is_some() && cursor > 0);
        for index in cursor - repeats..script.answers.len() {
            if breaks_after == Some(index) {
                // Closes the connection in the middle of a line.
                return chunk(stream, "{\"cursor\":");
            }
            let mut answer = script.answers[index].clone();
            answer["cursor"] = (index + 1).into();
            let line = format!("{answer}\n");
            let (start, end) = line.split_at(line.len() / 2);
            chunk(stream, start)?;
            chunk(stream, end)?;
        }
        if let Some(after) = script.after.take() {
            script.job = after;
        }
        if follow {
            let is_open = |script: &mut Script| script.job["status"] == "open";
            drop(self.changed.wait_timeout_while(script, DEADLINE, is_open).unwrap());
        }
        stream.write_all(b"0\r\n\r\n")
    }
}

fn chunk(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())?;
    stream.flush()
}
