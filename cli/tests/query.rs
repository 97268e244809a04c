//! `fleetctl query` as the built program runs it.

#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

mod fleetctl;
mod live_server;

use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use fleetctl::{Fleetctl, Run};
use live_server::{DEADLINE, LiveServer, Script};
use serde_json::{Value, json};

const ASK: [&str; 4] = ["--labels", "All Hosts", "--query", "select 1 as x"];

/// Runs `fleetctl query` against a server; `meanwhile` gets the process ID.
fn query_while(server: &LiveServer, args: &[&str], meanwhile: impl FnOnce(u32)) -> Run {
    let fleetctl = Fleetctl::new();
    let context = format!("contexts:\n  default:\n    address: {}\n    token: t\n", server.address);
    fleetctl.write("config.yml", &context);
    let args: Vec<&str> = ["--config", "config.yml", "query"].iter().chain(args).copied().collect();
    let mut command = fleetctl.command(&args);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = child.id();
    let (end, ended) = mpsc::channel();
    thread::spawn(move || end.send(child.wait_with_output().unwrap()));
    meanwhile(id);
    let Ok(output) = ended.recv_timeout(DEADLINE) else {
        signal("KILL", id);
        panic!("fleetctl does not end: {:?}", ended.recv().map(Run::from));
    };
    Run::from(output)
}

fn query(server: &LiveServer, args: &[&str]) -> Run {
    query_while(server, args, |_| {})
}

fn signal(name: &str, process: u32) {
    assert!(Command::new("kill").args(["-s", name, &process.to_string()]).status().unwrap().success());
}

fn job(status: &str, online: u64, counts: Value) -> Value {
    let mut all = json!({
        "targets": 0, "pending": 0, "sent": 0, "answered": 0, "failed": 0, "denylisted": 0, "skipped": 0, "suspect": 0,
        "lost": 0, "expired": 0, "cancelled": 0, "gone": 0, "truncated": 0,
    });
    all.as_object_mut().unwrap().extend(counts.as_object().unwrap().clone());
    let accounted = all["targets"].as_u64().unwrap() - all["pending"].as_u64().unwrap();
    json!({
        "id": 7, "query": "select 1 as x", "created_at": "2026-08-01T12:00:00Z", "deadline": "2026-08-01T13:00:00Z",
        "author_id": 1, "author_email": "a@b.c", "status": status, "counts": all, "online": online,
        "online_waiting": online.saturating_sub(accounted),
    })
}

fn answered(id: i64, hostname: &str) -> Value {
    json!({
        "cursor": 0, "host_id": id, "hostname": hostname, "state": "answered", "rows": [{"x": "1"}],
        "at": "2026-08-01T12:00:01Z",
    })
}

/// Three hosts answer one after the other; then the live query becomes `after`.
fn three_hosts(before: Value, after: Value) -> Script {
    let answers = vec![answered(1, "a"), answered(2, "b"), answered(3, "c")];
    Script { job: before, answers, after: Some(after), ..Script::default() }
}

fn line(host: &str) -> String {
    format!("{{\"host\":\"{host}\",\"rows\":[{{\"x\":\"1\",\"host_hostname\":\"{host}\"}}]}}\n")
}

fn three_lines() -> String {
    ["a", "b", "c"].map(line).concat()
}

#[test]
fn all_hosts_answer() {
    let open = job("open", 3, json!({"targets": 3, "pending": 3}));
    let server = LiveServer::start(three_hosts(open, job("complete", 3, json!({"targets": 3, "answered": 3}))));
    let run = query(&server, &ASK);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.stdout, three_lines());
    assert_eq!(
        run.stderr,
        " 0% responded (0% online) | 0/3 targeted hosts (0/3 online)\n \
         100% responded (100% online) | 3/3 targeted hosts (3/3 online)\n\
         Live query 7 is complete: 3 of 3 targeted hosts answered\n"
    );
    assert_eq!(server.asked(), json!({"query": "select 1 as x", "targets": {"labels": ["All Hosts"]}}));
    assert!(!server.requests().iter().any(|request| request.ends_with("/cancel")));
}

#[test]
fn warnings_of_the_server_are_printed_at_the_start() {
    let open = job("open", 3, json!({"targets": 3, "pending": 3}));
    let script = three_hosts(open, job("complete", 3, json!({"targets": 3, "answered": 3})));
    let server = LiveServer::start(Script { warnings: vec!["it does not carve".to_owned()], ..script });
    let run = query(&server, &ASK);
    assert_eq!((run.code, run.stdout), (Some(0), three_lines()));
    assert!(run.stderr.starts_with("Warning: it does not carve\n"), "{}", run.stderr);
}

/// The row of such an answer says `SCHEDULED`: the files come later.
#[test]
fn carves_that_are_on_their_way_are_named_with_the_command_that_downloads_them() {
    let open = job("open", 3, json!({"targets": 3, "pending": 3}));
    let mut script = three_hosts(open, job("complete", 3, json!({"targets": 3, "answered": 3})));
    script.answers[1]["carves"] = json!(["4fcdbf34-7723-44b9-9ba5-e0c15e65ca9d"]);
    let run = query(&LiveServer::start(script), &ASK);
    assert_eq!((run.code, run.stdout), (Some(0), three_lines()));
    let note = "b: sends files within some minutes; then: fleetctl get carve 4fcdbf34-7723-44b9-9ba5-e0c15e65ca9d --outfile FILE\n";
    assert_eq!(run.stderr.matches(note).count(), 1, "{}", run.stderr);
}

#[test]
fn exit_leaves_when_online_hosts_are_done() {
    let open = job("open", 3, json!({"targets": 4, "pending": 4}));
    let server =
        LiveServer::start(three_hosts(open, job("open", 3, json!({"targets": 4, "pending": 1, "answered": 3}))));
    let run = query(&server, &[&ASK[..], &["--exit"]].concat());
    assert_eq!((run.code, run.stdout), (Some(0), three_lines()), "{}", run.stderr);
    assert!(
        run.stderr.ends_with(
            " 75% responded (100% online) | 3/4 targeted hosts (3/3 online)\n\
             Live query 7 was cancelled by a@b.c: 3 of 4 targeted hosts answered\n  \
             cancelled     1 fleetctl query show 7 --state cancelled\n"
        ),
        "{}",
        run.stderr
    );
    assert!(server.requests().contains(&"POST live_queries/7/cancel".to_owned()));
}

#[test]
fn keep_does_not_cancel() {
    let open = job("open", 3, json!({"targets": 4, "pending": 4}));
    let server =
        LiveServer::start(three_hosts(open, job("open", 3, json!({"targets": 4, "pending": 1, "answered": 3}))));
    let run = query(&server, &[&ASK[..], &["--exit", "--keep"]].concat());
    assert_eq!((run.code, run.stdout), (Some(0), three_lines()), "{}", run.stderr);
    assert!(run.stderr.ends_with("Resume with: fleetctl query attach 7 --cursor 3\n"), "{}", run.stderr);
    assert!(!server.requests().iter().any(|request| request.ends_with("/cancel")));
}

#[test]
fn a_timeout_ends_the_query() {
    let open = || job("open", 1, json!({"targets": 1, "pending": 1}));
    for (extra, stderr) in
        [(["--quiet"].as_slice(), ""), (&[], "Stopped by timeout\nLive query 7 was cancelled by a@b.c: 0 of 1")]
    {
        let server = LiveServer::start(Script { job: open(), ..Script::default() });
        let run = query(&server, &[&ASK[..], &["--timeout", "50ms"], extra].concat());
        assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{run:?}");
        assert!(run.stderr.contains(stderr) && run.stderr.is_empty() == stderr.is_empty(), "{run:?}");
        assert!(server.requests().contains(&"POST live_queries/7/cancel".to_owned()));
    }
}

#[test]
fn a_lost_connection_is_resumed() {
    let open = job("open", 3, json!({"targets": 3, "pending": 3}));
    let script = three_hosts(open, job("complete", 3, json!({"targets": 3, "answered": 3})));
    let server = LiveServer::start(Script { breaks_after: Some(2), ..script });
    let run = query(&server, &ASK);
    assert_eq!((run.code, run.stdout), (Some(0), three_lines()), "{}", run.stderr);
    assert!(run.stderr.contains("Error talking to server: cannot reach http://127.0.0.1"), "{}", run.stderr);
    assert!(run.stderr.contains("; retrying in 0.2 s\n"), "{}", run.stderr);
    assert!(run.stderr.ends_with("Live query 7 is complete: 3 of 3 targeted hosts answered\n"), "{}", run.stderr);
    let requests = server.requests();
    assert_eq!(
        requests[1..3],
        ["cursor=0", "cursor=2"].map(|at| format!("GET live_queries/7/results?{at}&follow=true"))
    );
}

fn with_failures() -> Script {
    let answers = vec![
        answered(1, "a"),
        json!({
            "cursor": 0, "host_id": 2, "hostname": "b", "state": "failed", "rows": [], "error": "no such table: x",
            "at": "2026-08-01T12:00:01Z",
        }),
    ];
    let counts = json!({"targets": 2, "answered": 1, "failed": 1});
    let open = job("open", 2, json!({"targets": 2, "pending": 2}));
    Script { job: open, answers, after: Some(job("complete", 2, counts)), ..Script::default() }
}

#[test]
fn failures_differ_from_empty_answers() {
    let run = query(&LiveServer::start(with_failures()), &ASK);
    let failed = "{\"host\":\"b\",\"rows\":[],\"error\":\"no such table: x\"}\n";
    assert_eq!((run.code, run.stdout), (Some(0), line("a") + failed));
    assert!(run.stderr.contains("\nb: no such table: x\n"), "{}", run.stderr);
    assert!(
        run.stderr.ends_with(
            "Live query 7 is complete: 1 of 2 targeted hosts answered\n  \
             failed        1 fleetctl query show 7 --state failed\n                  1x no such table: x\n"
        ),
        "{}",
        run.stderr
    );
    let run = query(&LiveServer::start(with_failures()), &[&ASK[..], &["--quiet", "--output", "csv"]].concat());
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("host_hostname,x\r\na,1\r\n", "b: no such table: x\n"));
}

#[test]
fn an_interrupt_cancels() {
    let open = job("open", 3, json!({"targets": 4, "pending": 1, "answered": 3}));
    let server = LiveServer::start(three_hosts(open.clone(), open));
    let run = query_while(&server, &ASK, |process| {
        server.wait_for("GET live_queries/7/results");
        signal("INT", process);
    });
    assert_eq!((run.code, run.stdout), (Some(1), three_lines()));
    assert!(run.stderr.contains("Cancelling live query 7; press Ctrl-C again to exit immediately\n"), "{}", run.stderr);
    assert!(run.stderr.ends_with("Error: interrupted; live query 7 was cancelled by a@b.c\n"), "{}", run.stderr);
}

#[test]
fn a_second_interrupt_ends_it_at_once() {
    let open = job("open", 3, json!({"targets": 4, "pending": 1, "answered": 3}));
    let mut script = three_hosts(open.clone(), open);
    script.unanswered = Some("POST live_queries/7/cancel");
    let server = LiveServer::start(script);
    let run = query_while(&server, &ASK, |process| {
        server.wait_for("GET live_queries/7/results");
        signal("INT", process);
        server.wait_for("POST live_queries/7/cancel");
        signal("INT", process);
    });
    assert_eq!(run.code, Some(130), "{}", run.stderr);
}

#[test]
fn live_queries_can_be_detached_and_attached() {
    let open = job("open", 3, json!({"targets": 4, "pending": 1, "answered": 3}));
    let server = LiveServer::start(three_hosts(open.clone(), open));
    let run = query(&server, &[&ASK[..], &["--detach"]].concat());
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "7\n"));
    assert_eq!(run.stderr, "Live query 7 targets 4 hosts; watch it with: fleetctl query attach 7\n");
    let run = query(&server, &["attach", "7", "--cursor", "2", "--exit"]);
    assert_eq!((run.code, run.stdout), (Some(0), line("c")), "{}", run.stderr);
    assert!(!server.requests().iter().any(|request| request.ends_with("/cancel")));
    let run = query(&server, &["attach", "8"]);
    assert_eq!(run.stderr, "Error: there is no live query 8; list live queries with: fleetctl query list --all\n");
}

#[test]
fn jobs_are_listed_shown_and_cancelled() {
    let open = job("open", 3, json!({"targets": 4, "pending": 1, "answered": 2, "failed": 1}));
    let server = LiveServer::start(Script { job: open, ..Script::default() });
    let run = query(&server, &["list"]);
    assert!(run.stdout.contains("| 7  | open   | 2026-08-01 12:00:00Z | a@b.c  | 4       | 2 "), "{run:?}");
    let run = query(&server, &["list", "--all", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&run.stdout).unwrap()["counts"]["failed"], 1, "{run:?}");
    let run = query(&server, &["show", "7", "--state", "failed"]);
    assert!(run.stdout.contains("| 2  | b        | failed |"), "{run:?}");
    assert!(run.stderr.contains("The message of each host: fleetctl query attach 7"), "{run:?}");
    let run = query(&server, &["show", "7", "--yaml"]);
    assert!(run.stdout.starts_with("---\nid: 7\nquery: select 1 as x\n"), "{run:?}");
    let given = "0 of 4 targeted hosts have been given the query\n";
    for (args, done) in [
        (["pause", "7"].as_slice(), "paused live query 7"),
        (&["resume", "7"], "resumed live query 7"),
        (&["rate", "7", "50"], "live query 7 is given to 50 hosts per second"),
        (&["rate", "7", "0"], "live query 7 has no rate limit"),
    ] {
        assert_eq!(query(&server, args).stdout, format!("[+] {done}; {given}"));
    }
    let run = query(&server, &["cancel", "7"]);
    assert_eq!(run.stdout, "[+] cancelled live query 7; 2 of 4 targeted hosts had answered\n");
    let run = query(&server, &["cancel", "7"]);
    assert_eq!(run.stdout, "[!] live query 7 is already cancelled\n");
    let run = query(&server, &["pause", "7"]);
    assert_eq!(run.stdout, "[!] live query 7 is already cancelled\n");
    let run = query(&server, &["show", "7", "--state", "asleep"]);
    assert!(run.stderr.contains("invalid value 'asleep'") && run.stderr.contains("suspect"), "{run:?}");
}

#[test]
fn a_query_that_failed_on_all_hosts_is_a_failure() {
    let failed = json!({
        "cursor": 0, "host_id": 4, "hostname": "d", "state": "failed", "rows": [], "at": "2026-08-01T12:00:01Z",
        "error": "no such table: x",
    });
    let script = |counts: Value, answers: Vec<Value>| Script {
        job: job("open", 2, json!({"targets": 2, "pending": 2})),
        answers,
        after: Some(job("complete", 2, counts)),
        ..Script::default()
    };
    let csv = |script: Script| query(&LiveServer::start(script), &[&ASK[..], &["--output", "csv"]].concat());
    let run = csv(script(json!({"targets": 2, "failed": 1, "skipped": 1}), vec![failed.clone()]));
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.ends_with("Error: no host answered, and 1 could not run live query 7\n"), "{}", run.stderr);
    let run = csv(script(json!({"targets": 2, "failed": 1, "answered": 1}), vec![failed, answered(1, "a")]));
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn skipped_hosts_are_counted_and_not_shown() {
    let skipped = json!({
        "cursor": 0, "host_id": 4, "hostname": "d", "state": "skipped", "rows": [], "at": "2026-08-01T12:00:01Z",
        "error": "the discovery query found nothing there",
    });
    let mut script = three_hosts(
        job("open", 4, json!({"targets": 4, "pending": 4})),
        job("complete", 4, json!({"targets": 4, "answered": 3, "skipped": 1})),
    );
    script.answers.push(skipped);
    let server = LiveServer::start(script);
    let run = query(&server, &[&ASK[..], &["--discovery", "select 2"]].concat());
    assert_eq!((run.code, run.stdout), (Some(0), three_lines()), "{}", run.stderr);
    assert_eq!(server.asked()["discovery"], "select 2");
    assert!(run.stderr.contains(" 100% responded (100% online) | 4/4 targeted hosts"), "{}", run.stderr);
    assert!(
        run.stderr.contains("skipped       1 (the discovery query returned no rows) fleetctl query show 7"),
        "{}",
        run.stderr
    );
    assert!(!run.stderr.contains("d: "), "{}", run.stderr);
}

#[test]
fn errors_of_the_server_name_flags() {
    let errors = json!([
        {"name": "targets.hosts[0]", "reason": "no host is called \"nobody\""},
        {"name": "query", "reason": "near \"selec\": syntax error"},
        {"name": "discovery", "reason": "cannot be empty"},
    ]);
    let refusal = Some((422, json!({"message": "Validation Failed", "errors": errors})));
    let server = LiveServer::start(Script { refusal, ..Script::default() });
    let run = query(&server, &["--hosts", "nobody", "--query", "selec 1"]);
    assert_eq!(run.code, Some(1));
    assert_eq!(
        run.stderr,
        "Error: --hosts: no host is called \"nobody\"\n--query: near \"selec\": syntax error\n--discovery: cannot be empty\n"
    );
}

#[test]
fn the_environment_sets_flags_but_does_not_hide_subcommands() {
    let fleetctl = Fleetctl::new();
    let run = fleetctl.run(&["query"]);
    assert_eq!(
        run.stderr,
        "Error: No hosts or labels targeted. Please provide either --hosts or --labels, or --platforms, or --all.\n"
    );
    let mut command = fleetctl.command(&["query"]);
    let run = Run::from(command.env("HOSTS", "a").env("QUERY", "x").env("QUERYNAME", "y").output().unwrap());
    assert_eq!(run.stderr, "Error: --query and --query-name must not be provided together\n");
    let mut command = fleetctl.command(&["query", "list"]);
    let run = Run::from(command.env("HOSTS", "a").env("QUERY", "x").env("EXIT", "1").output().unwrap());
    assert!(run.stderr.starts_with("Error: set the Fleet API address"), "{run:?}");
}
