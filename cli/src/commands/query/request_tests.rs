use clap::Parser as _;
use serde_json::json;

use super::*;
use crate::args::{Cli, Command};

fn asked(flags: &[&str]) -> anyhow::Result<NewLiveQuery> {
    let line = ["fleetctl", "query"].iter().chain(flags);
    match Cli::try_parse_from(line)?.command {
        Command::Query(args) => request(&args.ask),
        _ => unreachable!("the line says query"),
    }
}

fn refused(flags: &[&str]) -> String {
    asked(flags).unwrap_err().to_string()
}

#[test]
fn flags_become_a_request() {
    let made = asked(&["--hosts", "a, b,", "--labels", "All Hosts", "--query", "select 1"]).unwrap();
    assert_eq!(
        serde_json::to_value(made).unwrap(),
        json!({"query": "select 1", "targets": {"hosts": ["a", "b"], "labels": ["All Hosts"]}})
    );
    let flags = [
        ["--labels", "x"].as_slice(),
        &["--labels", "y", "--platforms", "linux,darwin", "--exclude-hosts", "c"],
        &["--exclude-labels", "z", "--max-hosts", "10", "--percent", "5", "--deadline", "1m1500ms"],
        &["--query-name", "uptime", "--discovery", "select 2", "--rate", "50"],
    ];
    assert_eq!(
        serde_json::to_value(asked(&flags.concat()).unwrap()).unwrap(),
        json!({
            "query_name": "uptime", "discovery": "select 2",
            "targets": {
                "labels": ["x", "y"], "platforms": ["linux", "darwin"],
                "exclude_hosts": ["c"], "exclude_labels": ["z"],
            },
            "max_hosts": 10, "percent": 5, "deadline_seconds": 62, "rate": 50,
        })
    );
    let made = asked(&["--all", "--exclude-labels", "z", "--query", "select 1"]).unwrap();
    assert_eq!(serde_json::to_value(made.targets).unwrap(), json!({"all": true, "exclude_labels": ["z"]}));
}

#[test]
fn sql_may_begin_with_a_comment() {
    let made = asked(&["--all", "--query", "-- c\nselect 1", "--discovery", "--d\nselect 2"]).unwrap();
    assert_eq!((made.query.as_deref(), made.discovery.as_deref()), (Some("-- c\nselect 1"), Some("--d\nselect 2")));
}

#[test]
fn mistakes_read_as_they_do_in_fleet() {
    let nobody = "No hosts or labels targeted. Please provide either --hosts or --labels, or --platforms, or --all.";
    assert_eq!(refused(&[]), nobody);
    assert_eq!(refused(&["--hosts", ",", "--query", "select 1"]), nobody);
    assert_eq!(refused(&["--exclude-labels", "x", "--query", "select 1"]), nobody);
    assert_eq!(
        refused(&["--hosts", "a", "--query", "select 1", "--query-name", "x"]),
        "--query and --query-name must not be provided together"
    );
    assert_eq!(refused(&["--hosts", "a", "--query", " "]), "Query must be specified with --query or --query-name");
    assert!(refused(&["--all", "--hosts", "a", "--query", "x"]).starts_with("--all already targets every host"));
    assert!(refused(&["--all", "--deadline", "0", "--query", "x"]).starts_with("--deadline must be longer"));
    assert!(refused(&["--all", "--percent", "101", "--query", "x"]).contains("101 is not in 1..=100"));
    assert!(refused(&["--all", "--timeout", "30", "--query", "x"]).contains("expects a duration such as 30s"));
}

#[test]
fn refusals_name_flags() {
    let error = |name: &str, reason: &str| FieldError { name: name.to_owned(), reason: reason.to_owned() };
    let request = NewLiveQuery { query_name: Some("x".to_owned()), ..NewLiveQuery::default() };
    let errors = vec![
        error("targets.hosts[0]", "no host is called a"),
        error("query", "near \"selec\": syntax error"),
        error("targets", "no hosts targeted"),
        error("other", "strange"),
    ];
    assert_eq!(
        refusal(RestError::Invalid(errors), &request).to_string(),
        "--hosts: no host is called a\n--query: near \"selec\": syntax error\n\
         no hosts targeted\nother: strange"
    );
    let unknown = RestError::Invalid(vec![error("query_name", "there is no query \"x\"")]);
    assert_eq!(refusal(unknown, &request).to_string(), "Query 'x' not found");
    let guarded = RestError::Invalid(vec![error("query_name", "the table guard refuses this")]);
    assert!(refusal(guarded, &request).to_string().contains("the table guard refuses this"));
    assert_eq!(refusal(RestError::NotFound(String::new()), &request).to_string(), "Query 'x' not found");
    let busy = RestError::Busy { retry_after: "5".to_owned() };
    assert_eq!(refusal(busy, &request).to_string(), "too many requests; try again in 5 seconds");
}
