use serde_json::Value;

use crate::administration::{SCHEDULE, enrolled};
use crate::console::Console;
use crate::living;

#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_of_a_host_is_run_now() {
    let console = Console::set_up().await;
    assert_eq!(console.apply(SCHEDULE).code, Some(0));
    let _living = living(&console, 1);
    let host = enrolled(&console, 1).remove(0);

    let run = console.bad(&["run", &host]);
    for part in [
        // One query for both packs.
        "pack/again/one (every 600 s)\npack/base/one (every 60 s): 2 rows",
        "| 1   |\n| 2   |\n",
        "pack/base/broken (every 60 s): failed: ",
        "no_such_table",
        "pack/found nowhere/elsewhere (every 60 s): skipped: ",
        "2 of 3 queries ran",
    ] {
        assert!(run.stdout.contains(part), "{part:?} is missing in {}\n{}", run.stdout, run.stderr);
    }
    assert!(run.stderr.ends_with("Error: 1 of 3 queries did not run\n"), "{run:?}");
    let listed = console.good(&["query", "list", "--all", "--json"]);
    assert_eq!((listed.lines().count(), listed.matches("\"open\"").count()), (3, 0), "each is asked once: {listed}");

    let lines = console.good(&["run", &host, "--pack", "again", "--at-once", "1", "--json"]);
    let outcome: Value = serde_json::from_str(&lines).unwrap();
    assert_eq!(outcome["names"], serde_json::json!(["pack/again/one"]));
    assert_eq!((&outcome["state"], &outcome["row_count"]), (&"answered".into(), &2.into()), "{outcome}");
    assert_eq!(outcome["rows"][0]["one"], "1", "{outcome}");

    assert!(console.bad(&["run", &host, "--pack", "none"]).stderr.contains("runs no query of the pack \"none\""));
    assert!(console.bad(&["run", "none"]).stderr.contains("there is no host \"none\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_host_that_is_away_is_not_asked() {
    let clock = muster::clock::Clock::manual(muster::clock::Moment(1_768_478_400_000_000));
    let console = Console::with(clock.clone(), |_| {}).await;
    console.good(&crate::console::SETUP);
    assert_eq!(console.apply(SCHEDULE).code, Some(0));
    let trust = agent_compat::transport::Trust::CaFile(console.fleetctl.path().join("server/tls/server.crt"));
    let mut agent = agent_compat::TestAgent::simulated(1, "not-so-secret", &console.url, &trust).unwrap();
    assert!(agent.enroll().await.verdict.is_success());
    clock.advance(std::time::Duration::from_secs(3600));
    let run = console.bad(&["run", &agent.agent().identity().fqdn]);
    assert!(run.stderr.contains("is offline, seen last at "), "{run:?}");
    assert_eq!(console.good(&["query", "list", "--all", "--json"]), "");
}
