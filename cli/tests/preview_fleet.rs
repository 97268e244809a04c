//! `fleetctl preview` with the real server: all simulated hosts answer a live query.

#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

#[expect(dead_code, reason = "other tests write files")]
mod fleetctl;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use fleetctl::{Fleetctl, Run};

const HOSTS: usize = 25;

/// How long the preview may take to start or stop on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// Path of the server, which is an example of this package so that it is built with these tests.
fn muster() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_fleetctl")).with_file_name("examples").join("muster");
    assert!(
        path.is_file(),
        "build it first, which `cargo test` does unless told what: cargo build -p fleetctl --examples"
    );
    path
}

/// A preview; killed when dropped. The server then ends because its standard input closes.
struct Preview {
    child: Child,
    lines_out: Receiver<String>,
}

impl Preview {
    fn start(fleetctl: &Fleetctl) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let mut command = fleetctl.command(&["preview", "--port", &port, "--muster"]);
        command.arg(muster()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (lines_in, lines_out) = channel();
        for stream in [
            Box::new(child.stdout.take().unwrap()) as Box<dyn std::io::Read + Send>,
            Box::new(child.stderr.take().unwrap()),
        ] {
            let lines_in = lines_in.clone();
            thread::spawn(move || {
                let lines = BufReader::new(stream).lines().map_while(Result::ok);
                lines.for_each(|line| drop(lines_in.send(line)));
            });
        }
        Self { child, lines_out }
    }

    /// Waits for a line, and gives those before it.
    fn wait_for(&self, text: &str) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            match self.lines_out.recv_timeout(DEADLINE) {
                Ok(line) if line.contains(text) => return all,
                Ok(line) => all.push(line),
                Err(error) => panic!("{text:?} was not printed ({error}): {all:#?}"),
            }
        }
    }

    /// Stops the preview with SIGINT, as Ctrl-C does.
    fn stop(mut self) {
        assert!(Command::new("kill").args(["-s", "INT", &self.child.id().to_string()]).status().unwrap().success());
        self.wait_for("The preview has stopped");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Preview {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A strict RFC 4180 parser: lines end in CRLF and have the same number of fields; quotes surround whole fields and are
/// doubled inside.
fn strict_csv(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut rest) = (Vec::new(), Vec::new(), text);
    while !rest.is_empty() {
        let field = if let Some(mut quoted) = rest.strip_prefix('"') {
            let mut field = String::new();
            loop {
                let (part, after) = quoted.split_once('"').expect("a quote without its other");
                field += part;
                quoted = after;
                let Some(more) = quoted.strip_prefix('"') else { break };
                field.push('"');
                quoted = more;
            }
            rest = quoted;
            field
        } else {
            let end = rest.find([',', '\r', '\n', '"']).expect("the last line has no end");
            let field = rest[..end].to_owned();
            rest = &rest[end..];
            field
        };
        record.push(field);
        if let Some(more) = rest.strip_prefix(',') {
            rest = more;
        } else {
            rest = rest.strip_prefix("\r\n").unwrap_or_else(|| panic!("neither a comma nor an end: {rest:.20}"));
            records.push(std::mem::take(&mut record));
        }
    }
    assert!(record.is_empty(), "the last line has no end");
    assert!(records.iter().all(|record| record.len() == records[0].len()), "fields are missing: {records:?}");
    records
}

fn hosts_of(records: &[Vec<String>]) -> BTreeSet<&str> {
    records[1..].iter().map(|record| record[0].as_str()).collect()
}

fn ask(fleetctl: &Fleetctl, sql: &str, more: &[&str]) -> Run {
    let ask = ["--config", "preview/fleetctl.yml", "query", "--labels", "All Hosts", "--query", sql, "--timeout", "2m"];
    let run = fleetctl.run(&[&ask[..], more].concat());
    assert_eq!(run.code, Some(0), "{run:?}");
    run
}

#[test]
fn every_host_of_a_preview_answers() {
    let fleetctl = Fleetctl::new();
    let preview = Preview::start(&fleetctl);
    let printed = preview.wait_for("Press Ctrl-C to stop");
    let tries = printed.iter().skip_while(|line| *line != "Try:").map(|line| line.trim());
    let tries: Vec<&str> = tries.filter(|line| line.contains(" --config ")).collect();
    assert_eq!(tries.len(), 2, "{printed:#?}");
    for command in tries {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(fleetctl.path()).stdin(Stdio::null());
        let run = Run::from(shell.output().unwrap());
        assert_eq!(run.code, Some(0), "{command}: {run:?}");
    }
    assert!(printed.iter().any(|line| line.contains("Server log ")), "{printed:#?}");
    let info = "select * from osquery_info";

    let run = ask(&fleetctl, info, &[]);
    let lines: Vec<serde_json::Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), HOSTS, "{run:?}");
    assert!(lines.iter().all(|line| line["rows"].as_array().unwrap().len() == 1), "{run:?}");
    assert_eq!(lines.iter().map(|line| line["host"].as_str().unwrap()).collect::<BTreeSet<_>>().len(), HOSTS);
    assert!(run.stderr.contains("is complete: 25 of 25 targeted hosts answered\n"), "{}", run.stderr);

    let table = strict_csv(&ask(&fleetctl, info, &["--output", "csv"]).stdout);
    assert_eq!((table.len(), table[0][0].as_str()), (HOSTS + 1, "host_hostname"), "{table:?}");
    assert!(table[0].iter().any(|column| column == "build_platform"), "{table:?}");
    assert_eq!(hosts_of(&table).len(), HOSTS);

    // Cells that need quoting or an apostrophe.
    let odd = "select 'a,b' as comma, 'say \"x\"' as quote, 'one' || char(10) || 'two' as line, \
               '=1+1' as formula, '@x' as at, '-1' as number, '+x' as plus, char(9) || '=1' as tab";
    let run = ask(&fleetctl, odd, &["--output", "csv"]);
    let table = strict_csv(&run.stdout);
    assert_eq!(table[0][1..], ["comma", "quote", "line", "formula", "at", "number", "plus", "tab"]);
    assert_eq!(table[1][1..], ["a,b", "say \"x\"", "one\ntwo", "'=1+1", "'@x", "-1", "'+x", "'\t=1"]);
    assert_eq!(hosts_of(&table).len(), HOSTS);

    // Parts of the fleet.
    let quarter = strict_csv(&ask(&fleetctl, info, &["--output", "csv", "--percent", "20"]).stdout);
    assert_eq!(hosts_of(&quarter).len(), 5);
    let three = strict_csv(&ask(&fleetctl, info, &["--output", "csv", "--max-hosts", "3"]).stdout);
    assert_eq!(hosts_of(&three).len(), 3);
    preview.stop();
}

#[test]
fn the_strict_reader_is_strict() {
    assert_eq!(strict_csv("a,\"b\"\"\r\n\"\r\n,\r\n"), [["a", "b\"\r\n"], ["", ""]]);
    for wrong in ["a", "a\n", "a\"b\r\n", "\"a\"b\r\n", "\"a", "a,b\r\nc\r\n"] {
        assert!(std::panic::catch_unwind(|| strict_csv(wrong)).is_err(), "{wrong:?}");
    }
}
