use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::fleetctl::Fleetctl;

/// A server with one fixed response per request line, such as `GET me`.
pub struct Canned {
    asked: Receiver<(String, String)>,
}

impl Canned {
    /// Starts the server and points `fleetctl` to it. Requests that are not listed get 404, except `GET version`.
    pub fn start(fleetctl: &Fleetctl, answers: &[(&str, u16, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let version = format!(
            r#"{{"version":"{}","branch":"","revision":"","go_version":"","build_date":"","build_user":""}}"#,
            env!("CARGO_PKG_VERSION")
        );
        let mut table = vec![("GET version".to_owned(), 200, version)];
        table.extend(answers.iter().map(|(asked, status, body)| ((*asked).to_owned(), *status, (*body).to_owned())));
        let (sender, asked) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &table, &sender);
            }
        });
        assert_eq!(fleetctl.run(&["config", "set", "--address", &address, "--token", "t"]).code, Some(0));
        Self { asked }
    }

    /// Requests since the last call as (request line, body), without `GET version`.
    pub fn asked(&self) -> Vec<(String, String)> {
        self.asked.try_iter().filter(|(line, _)| line != "GET version").collect()
    }
}

fn serve(stream: TcpStream, table: &[(String, u16, String)], asked: &Sender<(String, String)>) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "the request ends early: {head}");
    }
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let line = format!("{method} {}", path.trim_start_matches("/api/v1/fleet/"));
    let missing = (404, r#"{"message":"Resource Not Found","errors":[{"name":"base","reason":"not found"}]}"#);
    let found = table.iter().find(|(known, _, _)| *known == line);
    let (status, answer) = found.map_or(missing, |(_, status, body)| (*status, body.as_str()));
    let head = format!("HTTP/1.1 {status} Canned\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
    // Recorded before the response, so that a client that has read it finds the request here.
    let _ = asked.send((line, String::from_utf8(body).unwrap()));
    reader.get_mut().write_all(format!("{head}{answer}").as_bytes()).unwrap();
}
