//! Exports of hosts.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use muster_api::rest::{HostList, HostView};
use serde_json::{Value, json};

use super::hosts::add_hosts_to;
use crate::support::{TestServer, count};

/// The records of comma-separated values.
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut cell) = (Vec::new(), Vec::new(), String::new());
    let (mut is_quoted, mut characters) = (false, text.chars().peekable());
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => record.push(std::mem::take(&mut cell)),
            '\r' if !is_quoted => {}
            '\n' if !is_quoted => {
                record.push(std::mem::take(&mut cell));
                records.push(std::mem::take(&mut record));
            }
            other => cell.push(other),
        }
    }
    assert!(record.is_empty() && cell.is_empty() && !is_quoted, "the last record is whole");
    records
}

/// A value of a list as a cell has it.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[tokio::test]
async fn exports_say_what_the_list_says() {
    let mut server = TestServer::start().await;
    let hosts = count(3_000, 20_000);
    add_hosts_to(&mut server, hosts).await;
    for (id, name) in [
        (1, "=cmd|'' /C calc''!A0"),
        (2, "@SUM(A1)"),
        (3, "+1"),
        (4, "-1"),
        (5, "a, \"b\"; c"),
        (6, "two\nlines"),
        (7, "\tx"),
        (8, "\rx"),
        (9, "ünïcode"),
    ] {
        server.database().execute(&format!("UPDATE hosts SET computer_name = '{name}' WHERE id = {id}"));
    }
    for filter in
        ["", "&order_key=hostname&order_direction=desc", "&query=host-00000000", "&status=online", "&per_page=7&page=2"]
    {
        let list = server.rest.get(&format!("hosts?{}", filter.trim_start_matches('&'))).await.json();
        let list = list["hosts"].as_array().unwrap();
        let csv = server.rest.get(&format!("hosts/report?format=csv{filter}")).await;
        assert_eq!(csv.status, 200, "{}", csv.text);
        let mut lines = records(&csv.text).into_iter();
        let columns = lines.next().unwrap();
        let expected: Vec<Vec<String>> =
            list.iter().map(|host| columns.iter().map(|column| cell(&host[column])).collect()).collect();
        assert!(lines.eq(expected), "{filter}");
        let text = server.rest.get(&format!("hosts/report?format=ndjson{filter}")).await.text;
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(&lines, list, "{filter}");
    }
    let all: HostList = server.rest.read("hosts").await;
    assert_eq!(all.hosts.len(), hosts as usize);
    // A host has a column for each key, in the same order.
    let text = server.rest.get("hosts/report?format=csv&per_page=1").await.text;
    let keys: Vec<String> = serde_json::to_string(&all.hosts[0]).unwrap().split("\":").map(str::to_owned).collect();
    let columns = &records(&text)[0];
    assert!(columns.iter().zip(&keys).all(|(column, key)| key.ends_with(column.as_str())), "{columns:?} {keys:?}");
    assert_eq!(columns.len(), serde_json::to_value(&all.hosts[0]).unwrap().as_object().unwrap().len());
}

#[tokio::test]
async fn an_export_has_the_columns_and_the_hosts_that_are_asked_for() {
    let mut server = TestServer::start().await;
    add_hosts_to(&mut server, 20).await;
    let report = async |query: &str| server.rest.get(&format!("hosts/report?{query}")).await;
    let csv = report("format=csv&columns=hostname,id&per_page=2").await;
    assert_eq!(csv.text, "hostname,id\r\nhost-000000001,1\r\nhost-000000002,2\r\n");
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
    assert_eq!(csv.headers["content-disposition"], "attachment; filename=\"Hosts 2026-01-15.csv\"");
    let lines = report("format=ndjson&per_page=2").await;
    assert_eq!(lines.headers["content-type"], "application/x-ndjson");
    assert_eq!(lines.headers["content-disposition"], "attachment; filename=\"Hosts 2026-01-15.ndjson\"");
    let label = json!({ "kind": "label", "spec": {
        "name": "some", "label_membership_type": "manual", "hosts": ["id-3", "id-5"],
    } });
    server.rest.apply(&[label]).await;
    let id = server.number("SELECT id FROM labels WHERE name = 'some'");
    assert_eq!(report(&format!("format=csv&columns=id&label_id={id}")).await.text, "id\r\n3\r\n5\r\n");
    assert_eq!(report("format=csv&columns=id&query=nothing").await.text, "id\r\n");
    assert_eq!(report("format=ndjson&query=nothing").await.text, "");
    assert_eq!(report("format=csv&label_id=999999").await.status, 404);
    for (bad, reason) in [
        ("", "format is missing; give csv or ndjson"),
        ("format=xls", "unknown format xls; known are csv, ndjson"),
        ("format=csv&columns=id,secret", "unknown column secret; known are created_at, "),
        ("format=ndjson&columns=id", "columns go with format=csv"),
        ("format=csv&colums=id", "unknown parameter colums"),
    ] {
        let answer = report(bad).await;
        assert_eq!(answer.status, 400, "{bad}: {}", answer.text);
        assert!(answer.problems()[0].contains(reason), "{bad}: {}", answer.text);
    }
}

/// An export shows the hosts that were there when it was begun, in its order and each once, without those that went
/// meanwhile.
#[tokio::test]
async fn an_export_is_stable_while_hosts_come_and_go() {
    // More than what the sockets of a connection hold.
    const HOSTS: u32 = 20_000;
    let mut server = TestServer::start().await;
    add_hosts_to(&mut server, HOSTS).await;
    let open = server.rest.getting("hosts/report?format=ndjson").send().await.unwrap();
    let ids: Vec<i64> = (i64::from(HOSTS) - 99..=i64::from(HOSTS)).collect();
    let deleted = server.rest.post("hosts/delete", &json!({ "ids": ids })).await;
    assert_eq!(deleted.status, 200, "{}", deleted.text);
    for index in 0..10 {
        server.enrolled(index).await;
    }
    let (mut text, mut chunks) = (Vec::new(), open.bytes_stream());
    while let Some(chunk) = chunks.next().await {
        text.extend_from_slice(&chunk.unwrap());
    }
    let text = String::from_utf8(text).unwrap();
    let shown: Vec<i64> = text.lines().map(|line| serde_json::from_str::<HostView>(line).unwrap().id).collect();
    assert_eq!(shown, (1..=i64::from(HOSTS) - 100).collect::<Vec<_>>());
    let now: HostList = server.rest.read("hosts").await;
    let now: BTreeSet<i64> = now.hosts.iter().map(|host| host.id).collect();
    assert_eq!(now.len(), HOSTS as usize - 100 + 10);
}
