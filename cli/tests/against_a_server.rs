//! The built program against a real server.

#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

mod administration;
mod console;
mod fleetctl;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agent_compat::agent::{Flags, Identity, Platform};
use agent_compat::transport::{Direct, Trust};
use agent_compat::{CarveOutcome, Carver, SqliteHost, TestAgent};
use console::{Console, SETUP};
use muster::clock::{Clock, Moment};
use muster::config::{Sources, load};
use serde_json::Value;

const DOCUMENTS: &str = "\
apiVersion: v1
kind: query
spec:
  name: uptime
  query: SELECT * FROM uptime
---
apiVersion: v1
kind: label
spec:
  name: chosen
  label_membership_type: manual
  hosts: []
---
apiVersion: v1
kind: pack
spec:
  name: base
  targets:
    labels: [chosen, All Hosts]
  queries:
    - query: uptime
      interval: 3600
      snapshot: true
---
apiVersion: v1
kind: enroll_secret
spec:
  secrets:
    - secret: not-so-secret
";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_is_set_up_once_and_the_session_is_remembered() {
    let console = Console::new().await;
    let before = console.bad(&["login", "--email", "a@b.c", "--password", "x"]);
    assert!(before.stderr.starts_with("Error: "), "{before:?}");
    let weak = console.bad(&["setup", "--email", "no address", "--password", "weak"]);
    assert!(weak.stderr.contains("--password: ") && weak.stderr.contains("--email: "), "{weak:?}");
    assert!(!weak.stderr.contains("admin."), "{weak:?}");
    assert_eq!(console.good(&SETUP), "[+] Fleet setup successful and context configured!\n");
    assert!(console.good(&["get", "config"]).contains("org_name: Tests"));
    let again = console.bad(&SETUP);
    assert!(again.stderr.contains("already"), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_logout_ends_the_session() {
    let console = Console::set_up().await;
    assert_eq!(console.good(&["logout"]), "[+] Fleet logout successful and local token cleared!\n");
    assert!(console.bad(&["get", "hosts"]).stderr.contains("fleetctl login"));
    let wrong = console.bad(&["login", "--email", "admin@example.com", "--password", "wrong"]);
    assert_eq!(wrong.stderr, "Error: Unable to log in: Authentication failed; check email and password\n");
    let right = console.good(&["login", "--email", "admin@example.com", "--password", "only-for-tests-1!"]);
    assert_eq!(right, "[+] Fleet login successful and context configured!\n");
    console.good(&["get", "hosts"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn errors_of_the_server_are_shown_with_their_location() {
    let console = Console::set_up().await;
    let bad = DOCUMENTS.replace("interval: 3600", "interval: 0").replace("[chosen, All Hosts]", "[chosen, Everybody]");
    console.fleetctl.write("packs.yml", &bad);
    let run = console.bad(&["apply", "-f", "packs.yml"]);
    assert_eq!(run.stdout, "");
    let line = |text: &str| bad.lines().position(|line| line.contains(text)).unwrap() + 1;
    for (location, excerpt, carets) in [
        (format!("packs.yml:{}:7: ", line("interval: 0")), "      interval: 0", " ^^^^^^^^\n"),
        (format!("packs.yml:{}:22: ", line("Everybody")), "    labels: [chosen, Everybody]", " ^^^^^^^^^\n"),
    ] {
        for part in [location.as_str(), excerpt, carets] {
            assert!(run.stderr.contains(part), "{part:?} is missing in {}", run.stderr);
        }
    }
    assert!(run.stderr.ends_with("Error: 2 problems, nothing was applied\n"), "{run:?}");
    assert_eq!(console.fleetctl.run(&["get", "queries", "--yaml"]).stdout, "", "the good documents were kept out too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_misspelt_key_is_underlined() {
    let console = Console::set_up().await;
    console.fleetctl.write("packs.yml", &DOCUMENTS.replace("snapshot: true", "snapshoot: true"));
    let run = console.bad(&["apply", "-f", "packs.yml"]);
    assert!(run.stderr.contains("packs.yml:23:7: "), "{run:?}");
    assert!(run.stderr.contains("      snapshoot: true\n"), "{run:?}");
    assert!(run.stderr.contains("^^^^^^^^^\n"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn files_are_applied_and_applied_again() {
    let console = Console::set_up().await;
    console.fleetctl.write("all.yml", DOCUMENTS);
    let dry = console.good(&["apply", "-f", "all.yml", "--dry-run"]);
    assert!(dry.starts_with("[+] would've applied 1 query (1 created)\n"), "{dry}");
    let first = console.good(&["apply", "-f", "all.yml"]);
    assert_eq!(
        first,
        "[+] applied 1 query (1 created)\n    created query \"uptime\"\n\
         [+] applied 1 label (1 created)\n    created label \"chosen\"\n\
         [+] applied 1 pack (1 created)\n    created pack \"base\"\n\
         [+] applied enroll secrets (changed)\n    changed enroll_secret: secrets\n"
    );
    let again = console.good(&["apply", "-f", "all.yml"]);
    assert!(again.ends_with("no changes\n"), "{again}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn output_of_get_applies_without_changes() {
    let console = Console::set_up().await;
    assert_eq!(console.apply(DOCUMENTS).code, Some(0));
    for what in [
        &["get", "queries", "--yaml"][..],
        &["get", "packs", "--yaml", "--with-queries"],
        &["get", "labels", "--yaml"],
        &["get", "enroll_secret", "--yaml"],
        &["get", "config", "--yaml"],
        &["get", "options", "--yaml"],
        &["get", "pack", "base"],
    ] {
        let documents = console.good(what);
        assert!(documents.contains("kind: "), "{what:?}: {documents}");
        let run = console.apply(&documents);
        assert_eq!(run.code, Some(0), "{what:?}: {run:?}\n{documents}");
        assert!(run.stdout.ends_with("no changes\n"), "{what:?}: {run:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn hosts_are_listed_and_shown() {
    let console = Console::set_up().await;
    assert_eq!(console.fleetctl.run(&["get", "hosts"]).stderr, "No hosts found\n");
    assert_eq!(console.apply(DOCUMENTS).code, Some(0));
    let trust = Trust::CaFile(console.fleetctl.path().join("server/tls/server.crt"));
    let mut agent = TestAgent::simulated(1, "not-so-secret", &console.url, &trust).unwrap();
    assert!(agent.enroll().await.verdict.is_success());
    let identity = agent.agent().identity().clone();
    let table = console.good(&["get", "hosts"]);
    for text in ["UUID", "HOSTNAME", &identity.uuid, &identity.fqdn, &identity.osquery_version, "online"] {
        assert!(table.to_uppercase().contains(&text.to_uppercase()), "{text} is missing in\n{table}");
    }
    let csv = console.good(&["get", "hosts", "--csv", "--columns", "uuid,hostname"]);
    assert_eq!(csv, format!("uuid,hostname\r\n{},{}\r\n", identity.uuid, identity.fqdn));
    assert!(console.good(&["get", "hosts", "--csv"]).starts_with("created_at,updated_at,id,"));
    let lines = console.good(&["get", "hosts", "--ndjson"]);
    assert!(lines.starts_with("{\"created_at\":") && lines.lines().count() == 1, "{lines}");
    assert!(console.bad(&["get", "hosts", "--csv", "--columns", "secret"]).stderr.contains("unknown column secret"));
    let host = console.good(&["get", "host", &identity.fqdn]);
    assert!(host.contains(&format!("hardware_serial: {}", identity.hardware.serial)), "{host}");
    assert!(console.bad(&["get", "host", "none"]).stderr.contains("none"));

    // The members of a label are named by host name.
    let label =
        format!("kind: label\nspec:\n  name: chosen\n  label_membership_type: manual\n  hosts: [{}]\n", identity.fqdn);
    let run = console.apply(&label);
    assert_eq!(run.stdout, "[+] applied 1 label (1 changed)\n    changed label \"chosen\": hosts\n", "{run:?}");
    assert!(console.apply(&label).stdout.ends_with("no changes\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_hosts_of_labels_are_served_is_exported() {
    let console = Console::set_up().await;
    assert_eq!(console.apply(DOCUMENTS).code, Some(0));
    let printed = console.good(&["export", "--platform", "ubuntu", "--label", "CHOSEN", "--format", "osquery.conf"]);
    let config: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(config["packs"]["base"]["queries"]["uptime"]["interval"], 3600);
    let run = console.fleetctl.run(&["export", "--platform", "ubuntu", "--outfile", "osquery.conf"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.is_empty() && run.stderr.contains("labels: All Hosts, Ubuntu Linux, All Linux"), "{run:?}");
    assert_eq!(std::fs::read_to_string(console.fleetctl.path().join("osquery.conf")).unwrap(), printed);
    let wrong = console.bad(&["export", "--platform", "ubuntu", "--label", "none"]);
    assert!(wrong.stderr.contains("no label is named \"none\""), "{wrong:?}");
}

/// Hosts that run until the returned sender is dropped.
fn living(console: &Console, count: u32) -> tokio::sync::watch::Sender<bool> {
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let trust = Trust::CaFile(console.fleetctl.path().join("server/tls/server.crt"));
    for index in 0..count {
        let flags = Flags { enroll_secret: "not-so-secret".into(), distributed_interval: 1, ..Flags::default() };
        let platform = [Platform::Linux, Platform::Darwin, Platform::Windows][index as usize % 3];
        let identity = Identity::simulated(7, index, platform);
        let agent =
            agent_compat::Agent::new(identity, flags, Box::new(SqliteHost::new()), agent_compat::live::now_ms());
        let transport = Direct::new(&console.url, &trust).unwrap();
        tokio::spawn(agent_compat::live::run(Arc::new(Mutex::new(agent)), transport, stopped.clone()));
    }
    stop
}

#[tokio::test(flavor = "multi_thread")]
async fn all_hosts_answer_a_live_query() {
    const HOSTS: u32 = 9;
    let console = Console::set_up().await;
    assert_eq!(console.apply(DOCUMENTS).code, Some(0));
    let _living = living(&console, HOSTS);
    let enrolled = || console.good(&["get", "hosts", "--json"]).lines().count() == HOSTS as usize;
    let deadline = Instant::now() + Duration::from_secs(30);
    while !enrolled() {
        assert!(Instant::now() < deadline, "the hosts do not enroll");
        tokio::task::yield_now().await;
    }
    let question = ["--labels", "All Hosts", "--query", "select * from osquery_info", "--timeout", "60s"];
    let lines = console.good(&[&["query"], &question[..]].concat());
    assert_eq!(lines.lines().count(), HOSTS as usize, "{lines}");
    assert!(lines.lines().all(|line| line.starts_with("{\"host\":") && line.contains("\"build_platform\"")), "{lines}");
    let csv = console.good(&[&["query"], &question[..], &["--output", "csv"]].concat());
    assert_eq!(csv.lines().count(), HOSTS as usize + 1, "{csv}");
    assert!(csv.starts_with("host_hostname,"), "{csv}");
    let listed = console.good(&["query", "list", "--all", "--json"]);
    assert_eq!(listed.matches("\"complete\"").count(), 2, "{listed}");
}

const SCHEDULED: &str = "\
kind: query
spec: {name: cheap, query: SELECT 1 AS one}
---
kind: query
spec: {name: dear, query: SELECT 2 AS two}
---
kind: pack
spec:
  name: base
  targets: {labels: [All Hosts]}
  queries:
  - {query: cheap, interval: 60}
  - {query: dear, interval: 60}
---
kind: enroll_secret
spec:
  secrets:
  - secret: not-so-secret
";

/// Lets two minutes pass, and the agent check in until it was asked for statistics.
async fn sampled(console: &Console, clock: &Clock, agent: &mut TestAgent) {
    clock.advance(Duration::from_secs(120));
    agent.set_now(Some(agent.now_ms() + 120_000));
    for _ in 0..10 {
        let round = agent.distributed().await;
        console.running.run_tasks().await;
        if String::from_utf8_lossy(round.read.body()).contains("scheduled_query_stats") {
            return;
        }
    }
    panic!("the host is not asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_queries_cost_is_shown() {
    let clock = Clock::manual(Moment(1_768_478_400_000_000));
    let console = Console::with(clock.clone(), |config| {
        config.statistics.interval = Duration::from_secs(60);
        config.statistics.write_interval = Duration::ZERO;
    })
    .await;
    console.good(&SETUP);
    assert!(console.fleetctl.run(&["get", "stats"]).stderr.starts_with("No costs known yet"));
    assert_eq!(console.fleetctl.run(&["get", "denylist"]).stderr, "No queries denylisted\n");
    assert_eq!(console.fleetctl.run(&["get", "restarts"]).stderr, "No workers were replaced\n");
    assert_eq!(console.apply(SCHEDULED).code, Some(0));
    let trust = Trust::CaFile(console.fleetctl.path().join("server/tls/server.crt"));
    let mut agent = TestAgent::simulated(1, "not-so-secret", &console.url, &trust).unwrap();
    agent.set_now(Some(agent.now_ms()));
    assert!(agent.enroll().await.verdict.is_success());
    assert!(agent.config().await.verdict.is_success());
    sampled(&console, &clock, &mut agent).await;
    for _ in 0..7 {
        agent.run_scheduled("pack/base/cheap");
    }
    agent.agent_mut().set_killer(Some(Arc::new(|sql| sql == "SELECT 2 AS two")));
    agent.run_scheduled("pack/base/dear");
    assert!(agent.config().await.verdict.is_success(), "as a new worker does");
    sampled(&console, &clock, &mut agent).await;

    let hostname = agent.agent().identity().fqdn.clone();
    let fleet = console.good(&["get", "stats"]);
    assert!(fleet.contains("base/cheap") && fleet.contains("minimal") && fleet.contains("DENYLISTED"), "{fleet}");
    let query = console.good(&["get", "stats", "cheap"]);
    assert!(query.contains("impact: minimal, runs: 7, hosts: 1") && query.contains("debian"), "{query}");
    let on_label = console.good(&["get", "stats", "cheap", "--label", "All Hosts"]);
    assert!(on_label.contains("label: hosts: 1, sampled: 1, runs: 7"), "{on_label}");
    assert!(console.bad(&["get", "stats", "cheap", "--label", "none"]).stderr.contains("no label is named \"none\""));
    let report: Value = serde_json::from_str(&console.good(&["get", "stats", "base/cheap", "--json"])).unwrap();
    assert_eq!(report["total"]["executions"], 7);
    let unknown = console.bad(&["get", "stats", "none"]).stderr;
    assert!(unknown.contains("no scheduled query is named \"none\""), "{unknown}");

    let denylist = console.good(&["get", "denylist"]);
    assert!(denylist.contains("base/dear") && denylist.contains(&hostname), "{denylist}");
    let restarts: Value = serde_json::from_str(&console.good(&["get", "restarts", "--json"])).unwrap();
    assert_eq!(restarts["suspects"][0]["name"], "dear", "{restarts}");
    let top = console.good(&["top"]);
    for part in ["base/dear", "base/cheap", &hostname, "DENYLISTED SINCE", "WORKER REPLACED"] {
        assert!(top.contains(part), "{part} is missing in\n{top}");
    }
    let top: Value = serde_json::from_str(&console.good(&["top", "--json", "--once"])).unwrap();
    assert_eq!((&top["denylist"][0]["name"], &top["queries"][0]["name"]), (&"dear".into(), &"cheap".into()), "{top}");

    // A live query that stops the worker, too.
    agent.agent_mut().set_killer(Some(Arc::new(|sql| sql.contains("deadly"))));
    console.good(&["query", "--hosts", &hostname, "--query", "SELECT 'deadly'", "--detach"]);
    for _ in 0..2 {
        agent.distributed().await;
        clock.advance(Duration::from_secs(300));
        agent.set_now(Some(agent.now_ms() + 300_000));
    }
    let top: Value = serde_json::from_str(&console.good(&["top", "--json", "--once"])).unwrap();
    let live = &top["live_queries"][0];
    assert_eq!(
        (&live["query"], &live["suspects"][0]["hostname"]),
        (&"SELECT 'deadly'".into(), &hostname.into()),
        "{top}"
    );
    assert!(console.good(&["top"]).contains("STOPPED THE WORKER OF"));

    let queries = console.good(&["get", "queries"]);
    assert!(queries.contains("IMPACT") && queries.contains("minimal") && queries.contains("DENYLISTED"), "{queries}");
    assert!(console.good(&["get", "packs"]).contains("DENYLISTED"));
}

/// What a shell is told that asks for the last of these words.
fn completed(console: &Console, words: &[&str]) -> Vec<String> {
    let last = (words.len() - 1).to_string();
    let mut command = console.fleetctl.command(&[&["--"], words].concat());
    let output = command.env("FLEETCTL_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", last).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn tables_of_agents_are_shown_and_complete_words() {
    let clock = Clock::manual(Moment(1_768_478_400_000_000));
    let console = Console::with(clock.clone(), |_| {}).await;
    console.good(&SETUP);
    assert_eq!(console.apply(SCHEDULED).code, Some(0));
    assert!(console.fleetctl.run(&["get", "schema"]).stderr.starts_with("No tables known yet"));
    let words = ["fleetctl", "query", "--query", "SELECT * FROM users u JOIN proc"];
    assert_eq!(completed(&console, &words), [""; 0]);
    let trust = Trust::CaFile(console.fleetctl.path().join("server/tls/server.crt"));
    let flags = Flags { enroll_secret: "not-so-secret".into(), ..Flags::default() };
    let mut agents = Vec::new();
    for index in 1..=3 {
        let os = Identity::simulated(1, 1, Platform::Linux).os;
        let identity = Identity::simulated(1, index, Platform::Linux);
        let identity = Identity { os, osquery_version: "5.23.1".to_owned(), ..identity };
        let mut agent = TestAgent::new(identity, flags.clone(), &console.url, &trust).unwrap();
        assert!(agent.enroll().await.verdict.is_success());
        agents.push(agent);
    }
    // Each is asked about itself, and then for its tables.
    for _ in 0..4 {
        for agent in &mut agents {
            agent.distributed().await;
        }
        console.running.run_tasks().await;
    }
    let all = console.good(&["get", "schema"]);
    assert!(all.contains("processes") && all.contains("debian") && all.contains("all hosts"), "{all}");
    let one = console.good(&["get", "schema", "PROCESSES"]);
    assert!(one.starts_with("processes, on debian (all hosts)\n") && one.contains("| cmdline "), "{one}");
    let found: Value = serde_json::from_str(&console.good(&["get", "schema", "users", "--json"])).unwrap();
    assert_eq!((&found["count"], &found["groups"][0]["reports"]), (&1.into(), &3.into()), "{found}");
    assert!(console.good(&["get", "schema", "users", "--yaml"]).contains("\n- name: users\n"));
    assert!(console.good(&["get", "schema", "users", "--label", "All Hosts", "--platform", "linux"]).contains("uid"));
    assert!(console.bad(&["get", "schema", "launchd"]).stderr.contains("no host is known to have a table \"launchd\""));

    let found = completed(&console, &words);
    assert!(found.contains(&"SELECT * FROM users u JOIN processes".to_owned()), "{found:?}");
    assert!(found.len() > 2 && found.iter().all(|sql| sql.starts_with(words[3])), "{found:?}");
    assert_eq!(completed(&console, &["fleetctl", "get", "schema", "osquery_sch"]), ["osquery_schedule"]);
    for words in [
        // No table is named here, no host is of this platform, or nobody is logged in.
        ["fleetctl", "query", "--query", "SELECT proc"].as_slice(),
        &["fleetctl", "query", "--platforms", "windows", "--query", "SELECT * FROM proc"],
        &["fleetctl", "--context", "other", "query", "--query", "SELECT * FROM proc"],
    ] {
        assert_eq!(completed(&console, words), [""; 0], "{words:?}");
    }
    assert_eq!(completed(&console, &["fleetctl", "get", "sche"]), ["schema"]);
}

/// An agent that has enrolled, of a server with the documents.
async fn enrolled(console: &Console) -> TestAgent {
    console.good(&SETUP);
    assert_eq!(console.apply(DOCUMENTS).code, Some(0));
    let flags = Flags { enroll_secret: "not-so-secret".into(), ..Flags::default() };
    let identity = Identity::simulated(1, 1, Platform::Linux);
    let trust = Trust::CaFile(console.fleetctl.path().join("server/tls/server.crt"));
    let mut agent = TestAgent::new(identity, flags, &console.url, &trust).unwrap();
    assert!(agent.enroll().await.verdict.is_success());
    agent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn carves_are_listed_shown_and_downloaded() {
    let clock = Clock::manual(Moment(1_768_478_400_000_000));
    let console = Console::with(clock, |_| {}).await;
    let mut agent = enrolled(&console).await;
    assert_eq!(console.fleetctl.run(&["get", "carves"]).stderr, "No carves found\n");
    let contents: Vec<u8> = (0..300_000_u32).map(|at| (at / 7) as u8).collect();
    let carver = Carver::numbered(1, 100_000, contents.clone());
    let begun: Value = serde_json::from_slice(carver.begin(&agent).await.body()).unwrap();
    let session = begun["session_id"].as_str().unwrap();
    carver.block(&agent, session, 0).await;
    let list = console.good(&["get", "carves"]);
    assert!(
        list.contains(
            "| 1  | 2026-01-15T12:00:00Z | 1       | 33%        | 300000     | no      |          | 4998d406-"
        ),
        "{list}"
    );
    let early = console.bad(&["get", "carve", "1", "--outfile", "x.tar"]);
    assert_eq!(early.stderr, "Error: carve 1 is not complete: 33% has come; try again later\n");
    for block in 1..3 {
        carver.block(&agent, session, block).await;
    }
    assert!(console.good(&["get", "carve", "1"]).contains("status: complete"));
    assert!(console.good(&["get", "carves", "--json"]).contains(r#""carve_size":300000"#));
    let output = console.fleetctl.command(&["get", "carve", "1", "--stdout"]).output().unwrap();
    assert!(output.status.success() && output.stdout == contents);
    let run = console.fleetctl.run(&["get", "carve", "1", "--outfile", "x.tar"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), "[+] wrote x.tar (300000 bytes)\n"));
    let file = console.fleetctl.path().join("x.tar");
    assert!(std::fs::read(&file).unwrap() == contents);
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&file).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    let columns = serde_json::json!({ "carve": "1", "carve_guid": carver.carve_id, "status": "SCHEDULED" });
    agent.push_result_line(
        serde_json::json!({ "name": "pack/Evidence/logs", "action": "added", "columns": columns }).to_string(),
    );
    assert!(agent.flush_logs().await.iter().all(|exchange| exchange.verdict.is_success()));
    console.running.run_tasks().await;
    let list = console.good(&["get", "carves"]);
    assert!(list.contains("| no      | pack/Evidence/logs | 4998d406-"), "{list}");
    assert_eq!(console.fleetctl.run(&["get", "carves", "--live-query", "1"]).stderr, "No carves found\n");
    let again = console.bad(&["get", "carve", "1", "--outfile", "x.tar"]);
    assert!(again.stderr.contains("x.tar is there already"), "{again:?}");
    assert!(console.bad(&["get", "carve", "9"]).stderr.contains("there is no carve 9"));
}

/// What was downloaded before the interruption is not downloaded again.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_interrupted_download_of_a_carve_goes_on() {
    let clock = Clock::manual(Moment(1_768_478_400_000_000));
    let console = Console::with(clock, |_| {}).await;
    let agent = enrolled(&console).await;
    let contents: Vec<u8> = (0..300_000_u32).map(|at| (at / 7) as u8).collect();
    let carver = Carver::numbered(1, 100_000, contents.clone());
    assert_eq!(carver.send(&agent).await, CarveOutcome::Success { left_out: Vec::new() });
    let folder = console.fleetctl.path();
    let part = folder.join("x.tar.1-1768478400.part");
    // One block, and a part of the next.
    std::fs::write(&part, &contents[..150_001]).unwrap();
    let run = console.fleetctl.run(&["get", "carve", "1", "--outfile", "x.tar"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let goes_on = "going on after 100000 of 300000 bytes: these are as the host has sent them\n";
    assert!(run.stderr.starts_with(goes_on), "{run:?}");
    assert!(std::fs::read(folder.join("x.tar")).unwrap() == contents);
    assert!(!part.exists());
    // What a crash has left of a block is found by its digest.
    let mut broken = contents[..200_000].to_vec();
    broken[150_000..].fill(0);
    std::fs::write(folder.join("broken.tar.1-1768478400.part"), broken).unwrap();
    let run = console.fleetctl.run(&["get", "carve", &carver.carve_id, "--outfile", "broken.tar"]);
    assert!(run.stderr.starts_with(goes_on), "{run:?}");
    assert!(std::fs::read(folder.join("broken.tar")).unwrap() == contents);
    assert!(console.bad(&["get", "carve", "no-such"]).stderr.contains("no carve no-such has begun to come"));
    // Of a whole file only the name was missing; what is too long is not of this carve.
    for (name, bytes) in [("whole.tar", 300_000), ("long.tar", 300_001)] {
        let there: Vec<u8> = contents.iter().copied().chain([0]).take(bytes).collect();
        std::fs::write(folder.join(format!("{name}.1-1768478400.part")), there).unwrap();
        console.good(&["get", "carve", "1", "--outfile", name]);
        assert!(std::fs::read(folder.join(name)).unwrap() == contents, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_change_freeze_is_passed_with_a_reason() {
    // 2026-01-15 12:00 UTC.
    let clock = Clock::manual(Moment(1_768_478_400_000_000));
    let windows = r#"{"name": "release", "from": "13:00", "to": "14:00"}"#;
    let flags = [("freeze_windows", windows), ("freeze_allow_override", "true")];
    let flags = flags.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec();
    let settings = load(&Sources { flags, ..Sources::default() }).unwrap().config;
    let console = Console::with(clock.clone(), |config| config.freeze = settings.freeze).await;
    console.good(&SETUP);
    clock.advance(Duration::from_secs(3600));
    console.fleetctl.write("packs.yml", DOCUMENTS);
    let run = console.bad(&["apply", "-f", "packs.yml"]);
    assert!(run.stderr.contains("until 2026-01-15 14:00 UTC") && run.stderr.contains("--override-freeze"), "{run:?}");
    console.good(&["apply", "-f", "packs.yml", "--dry-run"]);
    let run = console.bad(&["--override-freeze", " ", "apply", "-f", "packs.yml"]);
    assert!(run.stderr.contains("expects the reason"), "{run:?}");
    console.good(&["apply", "-f", "packs.yml", "--override-freeze", "Störung 7"]);
    assert!(console.good(&["get", "queries"]).contains("uptime"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_was_planned_is_applied_by_its_id() {
    let console = Console::set_up().await;
    console.fleetctl.write("packs.yml", DOCUMENTS);
    let planned = console.good(&["plan", "-f", "packs.yml"]);
    assert!(
        planned.contains("    created query \"uptime\"") || planned.contains("would've applied 1 query"),
        "{planned}"
    );
    assert!(planned.contains("plan: 3 created, 1 changed, 0 deleted, 0 unchanged"), "{planned}");
    assert!(
        planned.contains("plan 1, until ") && planned.ends_with("apply it with: fleetctl apply --plan 1\n"),
        "{planned}"
    );
    let drift = console.fleetctl.run(&["plan", "--drift", "-f", "packs.yml"]);
    assert_eq!(drift.code, Some(2), "{drift:?}");
    assert!(drift.stderr.ends_with("Error: 4 objects of the server differ from the files\n"), "{drift:?}");

    let second = console.good(&["plan", "-f", "packs.yml"]);
    assert!(second.contains("fleetctl apply --plan 2"), "{second}");
    let listed = console.good(&["plan", "list"]);
    assert_eq!(listed.matches("admin@example.com").count(), 2, "{listed}");
    let shown = console.good(&["plan", "show", "1"]);
    assert!(shown.contains("plan: 3 created, 1 changed") && shown.contains("plan 1 by admin@example.com"), "{shown}");
    assert!(shown.contains("still good, until "), "{shown}");
    let applied = console.good(&["apply", "--plan", "1"]);
    assert!(applied.contains("[+] applied 1 query (1 created)"), "{applied}");
    assert_eq!(console.good(&["plan", "--drift", "-f", "packs.yml"]).lines().last(), Some("no changes"));
    let late = console.bad(&["apply", "--plan", "2"]);
    assert!(late.stderr.contains("plan 2 is out of date") && late.stderr.contains("query \"uptime\""), "{late:?}");
    let shown = console.good(&["plan", "show", "2"]);
    assert!(shown.contains("no longer good: plan: plan 2 is out of date"), "{shown}");
    let neither = console.bad(&["plan", "show", "1", "-f", "packs.yml"]);
    assert!(neither.stderr.contains("unexpected argument"), "{neither:?}");
    let gone = console.bad(&["apply", "--plan", "1"]);
    assert!(gone.stderr.contains("there is no plan 1: it was applied"), "{gone:?}");
    let both = console.bad(&["apply", "--plan", "1", "-f", "packs.yml"]);
    assert!(both.stderr.contains("cannot be used with"), "{both:?}");
    let few = console.bad(&["delete", "-f", "packs.yml", "--max-deletes", "2"]);
    assert!(few.stderr.contains("--max-deletes: is 2, and more would be deleted (3 in all)"), "{few:?}");
    console.good(&["delete", "-f", "packs.yml", "--max-deletes", "3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn files_can_be_all_there_is() {
    let console = Console::set_up().await;
    console.fleetctl.write("packs.yml", DOCUMENTS);
    console.good(&["apply", "-f", "packs.yml"]);
    console.fleetctl.write("fleet/one.yml", "kind: query\nspec: {name: only, query: SELECT 1}\n");
    let drift = console.fleetctl.run(&["plan", "--drift", "--delete-unnamed", "-f", "fleet"]);
    assert!(drift.code == Some(2) && drift.stdout.contains("deleted pack"), "{drift:?}");
    let few = console.bad(&["apply", "-f", "fleet", "--delete-unnamed", "--max-deletes", "1"]);
    assert!(few.stderr.contains("--max-deletes: is 1, and more would be deleted"), "{few:?}");
    console.good(&["plan", "-f", "fleet", "--delete-unnamed"]);
    let applied = console.good(&["apply", "--plan", "1"]);
    assert!(applied.contains("created query \"only\"") && applied.contains("deleted query \"uptime\""), "{applied}");
    assert_eq!(console.good(&["get", "queries", "-o", "name"]), "only\n");
    let drift = console.good(&["plan", "--drift", "--delete-unnamed", "-f", "fleet"]);
    assert_eq!(drift.lines().last(), Some("no changes"));
    let status = console.good(&["get", "documents-status"]);
    assert!(status.starts_with("documents come from operators"), "{status}");
}
