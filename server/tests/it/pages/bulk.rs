use muster_api::rest::{HostEnvelope, HostList};

use super::{admin, assert_guarded, hidden};
use crate::support::{Answer, Browser, Rest, TestServer, Visitor};

fn location(answer: &Answer) -> &str {
    assert_eq!(answer.status, 303, "{}", answer.text);
    answer.headers["location"].to_str().unwrap()
}

async fn hosts(rest: &Rest) -> usize {
    rest.read::<HostList>("hosts").await.hosts.len()
}

async fn server_with(count: u32) -> TestServer {
    let server = TestServer::start().await;
    for index in 0..count {
        let mut agent = server.enrolled(index).await;
        crate::checkin::settle(&mut agent).await;
    }
    server.run_tasks().await;
    server
}

#[tokio::test]
async fn selected_hosts_are_asked_again_and_asked_live() {
    let server = server_with(3).await;
    let visitor = admin(&server);
    let asked =
        visitor.submit("/hosts", "/hosts/selected/refetch", &[("host", "1"), ("host", "3"), ("host", "77")]).await;
    assert_eq!(location(&asked), "/hosts?notice=refetched");
    for (id, is_asked) in [(1, true), (2, false), (3, true)] {
        let host = server.rest.read::<HostEnvelope>(&format!("hosts/{id}")).await.host.host;
        assert_eq!(host.refetch_requested, is_asked, "{id}");
    }
    assert_eq!(server.number("SELECT count(*) FROM activities WHERE kind = 'refetched_hosts'"), 1);
    let live = visitor.submit("/hosts", "/hosts/selected/live", &[("host", "1"), ("host", "2")]).await;
    let form = location(&live);
    assert_eq!(form, "/live?host_id=1&host_id=2");
    let form = visitor.get(form).await;
    assert_eq!(form.status, 200);
    for id in [1, 2] {
        assert!(form.text.contains(&format!(r#"name="host_id" value="{id}" checked"#)), "{id}: {}", form.text);
    }
    let fields = [("host_id", "1"), ("host_id", "2"), ("sql", "SELECT 1 AS one")];
    let asked = visitor.submit("/live", "/live", &fields).await;
    assert!(location(&asked).starts_with("/live/"), "{}", asked.text);
    let id = location(&asked).trim_start_matches("/live/").to_owned();
    let reported = server.rest.get(&format!("live_queries/{id}")).await.json();
    assert_eq!(reported["live_query"]["counts"]["targets"], 2, "{reported}");
    // A host that is gone is named as such.
    let refused = visitor.submit("/live", "/live", &[("host_id", "77"), ("sql", "SELECT 1")]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("no host with id 77"), "{}", refused.text);
    // Nothing is chosen.
    for path in ["/hosts/selected/refetch", "/hosts/selected/delete", "/hosts/selected/live"] {
        let refused = visitor.submit("/hosts", path, &[]).await;
        assert_eq!(refused.status, 422, "{path}");
        assert!(refused.text.contains("no host is selected"), "{path}: {}", refused.text);
    }
}

/// Hosts are deleted after their number was confirmed, and not if it has changed meanwhile.
#[tokio::test]
async fn a_deletion_names_its_size_and_does_no_more() {
    let server = server_with(4).await;
    let visitor = admin(&server);
    let ask = visitor.submit("/hosts", "/hosts/selected/delete", &[("host", "1"), ("host", "2")]).await;
    assert_guarded("/hosts/selected/delete", &ask);
    assert!(ask.text.contains("Delete 2 hosts?"), "{}", ask.text);
    assert_eq!(hosts(&server.rest).await, 4, "nothing is deleted yet");
    let confirmed = "/hosts/selected/delete/confirmed";
    let expected = hidden(&ask.text, "expected");
    // Others than were confirmed, as many of them.
    let others = [("host", "1"), ("host", "3"), ("expected", &*expected)];
    assert_eq!(visitor.submit("/hosts", confirmed, &others).await.status, 422);
    assert_eq!(hosts(&server.rest).await, 4);
    let chosen = [("host", "2"), ("host", "1"), ("expected", &*expected)];
    assert_eq!(location(&visitor.submit("/hosts", confirmed, &chosen).await), "/hosts?notice=deleted");
    assert_eq!(hosts(&server.rest).await, 2);
    // All of a list: what it has become meanwhile is confirmed anew.
    let all = [("all", "true"), ("status", "online")];
    let ask = visitor.submit("/hosts", "/hosts/selected/delete", &all).await;
    assert!(ask.text.contains("Delete 2 hosts?"), "{}", ask.text);
    let expected = hidden(&ask.text, "expected");
    server.enrolled(9).await;
    server.run_tasks().await;
    let changed = visitor.submit("/hosts", confirmed, &[all[0], all[1], ("expected", &expected)]).await;
    assert_eq!(changed.status, 422);
    assert!(
        changed.text.contains("Delete 3 hosts?") && changed.text.contains("has changed meanwhile"),
        "{}",
        changed.text
    );
    assert_eq!(hosts(&server.rest).await, 3);
    let expected = hidden(&changed.text, "expected");
    let deleted = visitor.submit("/hosts", confirmed, &[all[0], all[1], ("expected", &expected)]).await;
    assert_eq!(location(&deleted), "/hosts?notice=deleted");
    assert_eq!(hosts(&server.rest).await, 0);
}

#[tokio::test]
async fn only_those_who_may_change_hosts_do() {
    let server = server_with(2).await;
    let observer = Visitor::of(&server.address, &server.user("observer"));
    for (path, fields) in [
        ("/hosts/selected/refetch", &[("host", "1")][..]),
        ("/hosts/selected/delete", &[("host", "1")]),
        ("/hosts/selected/delete/confirmed", &[("host", "1"), ("expected", "1")]),
        ("/hosts/selected/delete/confirmed", &[("all", "true"), ("expected", "2")]),
    ] {
        assert_eq!(observer.submit("/hosts", path, fields).await.status, 403, "{path}");
        let forged = Visitor::finish(admin(&server).posting(path, fields)).await;
        assert_eq!(forged.status, 403, "{path} without a token");
    }
    assert_eq!(hosts(&server.rest).await, 2);
    let page = observer.get("/hosts").await.text;
    assert!(!page.contains("selected/delete") && page.contains("selected/live"), "{page}");
}

/// Columns are chosen without a script, and remembered by the browser.
#[tokio::test]
async fn columns_are_chosen_and_remembered() {
    let server = server_with(1).await;
    let mut visitor = admin(&server);
    let usual = visitor.get("/hosts").await.text;
    assert!(usual.contains(">Last seen<") && !usual.contains("<th class=\"wide-only\">UUID</th>"), "{usual}");
    let chosen = [("column", "uuid"), ("column", "memory"), ("column", "<script>"), ("back", "/hosts?status=online")];
    let kept = visitor.submit("/hosts", "/hosts/columns", &chosen).await;
    assert_eq!(location(&kept), "/hosts?status=online");
    let cookie = kept.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap()).collect::<String>();
    assert!(cookie.starts_with("muster_host_columns=uuid.memory;"), "{cookie}");
    let session = visitor.cookie.clone().unwrap();
    visitor.cookie = Some(format!("{session}; muster_host_columns=uuid.memory"));
    let page = visitor.get("/hosts").await.text;
    assert!(page.contains("<th>UUID</th>") || page.contains("<th class=\"\">UUID</th>"), "{page}");
    assert!(
        !page.contains(">Last seen<") || page.matches("Last seen").count() == 1,
        "only the picker names it: {page}"
    );
    visitor.cookie = Some(format!("{session}; muster_host_columns=none"));
    assert_eq!(visitor.get("/hosts").await.status, 200);
    let away = visitor.submit("/hosts", "/hosts/columns", &[("back", "https://evil.example/")]).await;
    assert_eq!(location(&away), "/");
}

/// Rows are selected one by one or all at once; buttons work once something is.
#[tokio::test]
async fn rows_are_selected_in_a_browser() {
    let server = server_with(3).await;
    let browser = Browser::start().await;
    browser.log_in(&server.address, &server.rest).await;
    browser.open(&format!("{}/hosts", server.address.url)).await;
    browser.until("document.querySelector('.bulk-bar button').disabled").await;
    browser.click("[data-pick-all]").await;
    browser.until("document.querySelector('[data-picked]').innerText === '3 selected:'").await;
    browser.click("tbody tr:first-child input").await;
    browser.until("document.querySelector('[data-picked]').innerText === '2 selected:'").await;
    browser.click(".bulk-bar button.danger").await;
    browser.until("document.querySelector('h1').innerText === 'Delete 2 hosts?'").await;
    browser.click("main button.danger").await;
    browser.until("document.querySelectorAll('tbody tr').length === 1").await;
    assert!(browser.text().await.contains("Deleted."));
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}
