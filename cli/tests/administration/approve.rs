use muster::clock::Clock;

use crate::console::{Console, SETUP};

const GUARD: &str = "\
mode: warn
rules:
  - {name: requests, reason: hosts send requests, tables: [curl], mode: enforce, approve: true}
";

const LABEL: &str = "{kind: label, spec: {name: a, query: SELECT 1 FROM curl}}\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_second_person_approves_at_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("guard.yml");
    std::fs::write(&path, GUARD).unwrap();
    let console = Console::with(Clock::system(), |config| config.server.guard = Some(path)).await;
    console.good(&SETUP);
    assert_eq!(console.good(&["approve", "list"]), "");
    let one = ["user", "create", "--email", "one@example.com", "--api-only", "--password", "only-for-tests-2!"];
    let maintainer = console.good(&[&one[..], &["--global-role", "maintainer"]].concat());
    let token = maintainer.trim_end().rsplit(' ').next().unwrap();
    let at = ["--address", &console.url, "--rootca", "server/tls/server.crt", "--token", token];
    console.good(&[&["config", "set", "--context", "one"][..], &at].concat());

    let refused = console.apply(LABEL);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("asks for a second person"), "{refused:?}");
    let listed = console.good(&["approve", "list", "--context", "one"]);
    let key = listed.split('|').map(str::trim).find(|cell| cell.len() == 12 && refused.stderr.contains(*cell)).unwrap();
    assert!(
        listed.contains("open") && listed.contains("SELECT 1 FROM curl") && listed.contains("requests"),
        "{listed}"
    );
    let json = console.good(&["approve", "list", "-o", "json"]);
    let one: serde_json::Value = serde_json::from_str(json.trim_end()).unwrap();
    assert_eq!((&one["key"], &one["rules"][0]), (&key.into(), &"requests".into()), "{json}");
    assert!(console.good(&["approve", "list", "--yaml"]).contains("state: open"));
    assert!(console.bad(&["approve", "grant", key]).stderr.contains("your own request"));
    console.good(&["approve", "grant", key, "--context", "one"]);
    let decided = console.good(&["approve", "list"]);
    assert!(decided.contains("granted") && decided.contains("one@example.com"), "{decided}");
    let applied = console.apply(LABEL);
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert!(applied.stderr.contains("one@example.com has approved it"), "{applied:?}");
    assert!(console.bad(&["approve", "deny", key, "--context", "one"]).stderr.contains("has decided on it already"));
}
