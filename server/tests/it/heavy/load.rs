//! The load generator against the real server: what it reports is true.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use loadtest::load::{self, BadOptions, Endpoint, Fault, Options, Report};

use crate::support::{PASSWORD, ServerSetup, count};

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

/// Options as they stand on the command line.
pub fn options(words: &str) -> Options {
    let words = words.split_whitespace();
    Arguments::try_parse_from(std::iter::once("run").chain(words)).unwrap_or_else(|error| panic!("{error}")).options
}

pub async fn run(options: &Options) -> Report {
    load::run(options, &|_| {}, &|_| {}).await.unwrap()
}

/// A server process with room for a quick start, and the files its log lines go to.
fn setup(flags: &[&str]) -> (ServerSetup, Vec<PathBuf>) {
    let quick = ["osquery_enrolls_per_second=100000", "osquery_enrolls_per_second_per_secret=100000"];
    let setup = ServerSetup::new(&[&quick[..], flags].concat());
    let destination = vec![setup.folder().join("logs/results"), setup.folder().join("logs/statuses")];
    (setup, destination)
}

fn whole(report: &Report, endpoint: Endpoint) -> load::Tally {
    report.whole(endpoint)
}

pub fn errors(report: &Report) -> Vec<String> {
    let all = Endpoint::ALL.iter().flat_map(|endpoint| whole(report, *endpoint).examples.into_iter().flatten());
    all.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_agents_lose_nothing_and_answer_live_queries() {
    const CLONES: u64 = 3;
    let (setup, destination) = setup(&["server_trusted_proxies=127.0.0.1"]);
    let server = setup.start().await;
    let (agents, ramp, duration) = (count(500, 2_000), count(8, 20), count(12, 30));
    let mut options = options(&format!(
        "--server {} --insecure --setup --password {PASSWORD} --agents {agents} --ramp {ramp}s --duration {duration}s --live 1 --connections 32 \
         --clones {CLONES} --log-interval 2s --log-share 0.4 --server-pid {}",
        setup.address().url,
        server.pid(),
    ));
    options.destination = destination;
    let ledger = setup.folder().join("ledger");
    options.ledger = Some(ledger.clone());
    let report = run(&options).await;
    eprintln!("{}", report.table());
    assert_eq!(report.failed, Vec::<String>::new());
    assert_eq!(errors(&report), Vec::<String>::new());
    assert_eq!(report.agents, [agents; 3]);
    let verified = report.verified.clone().unwrap();
    assert!(verified.found > agents, "{verified:?}");
    assert_eq!((verified.found, verified.lost, verified.doubled), (verified.acknowledged, 0, 0));
    assert_eq!(report.lines.iter().map(|lines| lines.acknowledged).sum::<u64>(), verified.acknowledged);
    let live = &report.live[0];
    // Clones are one host until they have been seen side by side for two minutes.
    assert_eq!(live.targets, agents - CLONES, "{live:?}");
    assert_eq!(live.states.values().sum::<u64>(), live.targets, "{live:?}");
    assert!(live.states["answered"] * 20 > agents * 19 && live.t99_ms.is_some(), "{live:?}");
    let json = report.json();
    assert!(json["server"]["cpu_us_per_request"].as_f64().unwrap() > 0.0, "{json}");
    assert_eq!(json["endpoints"]["enroll"]["errors"], 0, "{json}");
    // The ledger that was written says the same to whoever verifies later.
    let read = load::Ledger::read(std::io::BufReader::new(std::fs::File::open(&ledger).unwrap())).unwrap();
    assert_eq!(load::verify([read], &options.destination).unwrap(), verified);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_goes_missing_afterwards_is_named_and_fails_the_run() {
    let (setup, destination) = setup(&["server_tls=false"]);
    let _server = setup.start().await;
    let mut options = options(&format!(
        "--server {} --setup --password {PASSWORD} --agents 100 --ramp 1s --duration 5s --log-interval 1s \
         --log-share 1 --mode direct --source-addresses 5 --connections 32",
        setup.address().url,
    ));
    let ledger = setup.folder().join("ledger");
    options.ledger = Some(ledger.clone());
    let report = run(&options).await;
    assert_eq!(errors(&report), Vec::<String>::new());
    let mut text = std::fs::read_to_string(&destination[0]).unwrap();
    let end = text.find('\n').unwrap() + 1;
    let first = text[..end].to_owned();
    text.replace_range(..end, "");
    let last = text.lines().next_back().unwrap().to_owned() + "\n";
    text.push_str(&last);
    std::fs::write(&destination[0], text).unwrap();
    let read = load::Ledger::read(std::io::BufReader::new(std::fs::File::open(&ledger).unwrap())).unwrap();
    let verified = load::verify([read], &destination).unwrap();
    assert_eq!((verified.lost, verified.doubled), (1, 1), "{verified:?}");
    assert!(first.contains(&verified.examples.lost[0]), "{first} {verified:?}");
    assert!(last.contains(&verified.examples.doubled[0]), "{last} {verified:?}");
    let failed = verified.failures(0, 0);
    assert!(failed[0].starts_with("max-lost:") && failed[1].starts_with("max-doubled:"), "{failed:?}");
    assert_eq!(verified.failures(1, 1), Vec::<String>::new());
}

/// The markers are what a set-up server gives to some hosts; a server that gives them to nobody serves wrong configs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configs_for_somebody_else_are_named() {
    let (setup, _) = setup(&["server_tls=false"]);
    let _server = setup.start().await;
    let command = |more: &str| {
        options(&format!(
            "--server {} --password {PASSWORD} --agents 50 --ramp 500ms --duration 1s {more}",
            setup.address().url
        ))
    };
    let report = run(&command("--setup")).await;
    assert_eq!(report.failed, Vec::<String>::new());
    // The label of Windows hosts now decides over the pack of Linux hosts.
    let rest = crate::support::Rest::new(&setup.address());
    let login = serde_json::json!({ "email": "load@example.com", "password": PASSWORD });
    let token = rest.post("login", &login).await.json()["token"].as_str().unwrap().to_owned();
    let pack = serde_json::json!({
        "kind": "pack",
        "spec": {
            "name": "load_marker_linux",
            "targets": { "labels": ["MS Windows"] },
            "queries": [{ "query": "marker_linux", "name": "marker_linux", "interval": 86_400 }],
        },
    });
    rest.with_token(&token).apply(&[pack]).await;
    let report = run(&command("--check-config")).await;
    assert!(whole(&report, Endpoint::Config).faults_of(Fault::WrongConfig) > 0);
    assert!(report.failed.iter().any(|failed| failed.starts_with("max-wrong:")), "{:?}", report.failed);
    assert!(errors(&report).iter().any(|example| example.contains("marker_linux")), "{:?}", errors(&report));
}

#[tokio::test]
async fn bad_options_are_all_named_before_anything_is_sent() {
    let refused = |words: &str| {
        let options = options(words);
        async move {
            let error = load::run(&options, &|_| {}, &|_| {}).await.unwrap_err();
            error.downcast::<BadOptions>().unwrap().0
        }
    };
    let problems = refused("--server https://192.0.2.1 --agents 3 --clones 3 --live 1").await;
    for word in ["--insecure", "--enroll-secret", "--live", "--clones", "--allow-remote"] {
        assert!(problems.iter().any(|problem| problem.contains(word)), "{word}: {problems:?}");
    }
    let problems = refused("--server http://127.0.0.1:1 --enroll-secret x --connections 900000 --duration 0").await;
    for word in ["ulimit -n", "--duration"] {
        assert!(problems.iter().any(|problem| problem.contains(word)), "{word}: {problems:?}");
    }
}

/// Nobody listens: the run goes on, and says what is wrong with every request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_is_reported_as_such() {
    let setup = ServerSetup::new(&["server_tls=false"]);
    let url = setup.address().url;
    let report = run(&options(&format!(
        "--server {url} --enroll-secret x --agents 20 --ramp 100ms --duration 3s --max-errors 5"
    )))
    .await;
    let enroll = whole(&report, Endpoint::Enroll);
    assert_eq!(enroll.requests, enroll.faults_of(Fault::Connection), "{:?}", errors(&report));
    // The first attempt, and one after a second; the next is four seconds later.
    assert_eq!(enroll.requests, 40);
    assert!(report.failed[0].starts_with("max-errors: 40"), "{:?}", report.failed);
    assert!(Duration::from_millis(report.json()["elapsed_ms"].as_f64().unwrap() as u64) >= Duration::from_secs(3));
}
