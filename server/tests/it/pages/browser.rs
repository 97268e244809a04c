use std::time::Duration;

use super::{PAGES, lively};
use crate::support::{Browser, PASSWORD, TestServer, eventually};

/// Set-up, login and logout, as a person does it.
#[tokio::test]
async fn a_person_sets_up_logs_out_and_logs_in() {
    let server = TestServer::empty(|_| {}).await;
    let url = |path: &str| format!("{}{path}", server.address.url);
    let browser = Browser::start().await;
    browser.open(&url("/hosts")).await;
    assert_eq!(browser.url().await, url("/setup"));
    for (field, text) in
        [("email", "admin@example.com"), ("name", "Admin"), ("password", PASSWORD), ("password_confirmation", PASSWORD)]
    {
        browser.fill(&format!("input[name={field}]"), text).await;
    }
    browser.click("button.primary").await;
    browser.until("document.title.startsWith('Overview')").await;
    assert!(browser.text().await.contains("No host has enrolled yet"));
    browser.click("details.account summary").await;
    browser.click("button[value=dark]").await;
    browser.until("document.documentElement.dataset.theme === 'dark'").await;
    browser.click("details.account summary").await;
    browser.click("form[action=logout] button").await;
    browser.until("document.title.startsWith('Log in')").await;
    browser.open(&url("/labels")).await;
    browser.fill("input[name=email]", "admin@example.com").await;
    browser.fill("input[name=password]", PASSWORD).await;
    browser.click("button.primary").await;
    browser.until("document.title.startsWith('Labels')").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

/// Every page of a lively fleet loads whole and complains of nothing; keys go where they say.
#[tokio::test]
async fn every_page_loads_without_a_complaint() {
    let server = lively::server().await;
    let agents = lively::fleet(&server, 4, 4).await;
    server.rest.post("live_queries", &serde_json::json!({ "query": "SELECT 1", "targets": { "all": true } })).await;
    let url = |path: &str| format!("{}{path}", server.address.url);
    let browser = Browser::start().await;
    browser.open(&url("/login")).await;
    browser.log_in(&server.address, &server.rest).await;
    for width in [1280, 375] {
        browser.resize(width, 800).await;
        for (path, _) in PAGES.iter().filter(|(path, _)| !path.ends_with("/part")) {
            browser.open(&url(path)).await;
            browser.until_edits().await;
            assert_eq!(browser.complaints().await, Vec::<String>::new(), "{path}");
            let overhang = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
            assert_eq!(browser.value(overhang).await, 0, "{path} is wider than a window of {width}");
        }
    }
    browser.resize(1280, 800).await;
    browser.open(&url("/")).await;
    let text = browser.text().await;
    for part in [
        "4 of 4 hosts online",
        "1 query denylisted on 1 host",
        "1 host stalled",
        "Most expensive queries",
        "file hashes",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Each number leads to what is behind it.
    browser.click(".number.bad").await;
    browser.until("document.title.startsWith('Watchdog')").await;
    assert!(browser.text().await.contains("file hashes"));
    browser.press("gh").await;
    browser.until("document.title.startsWith('Hosts')").await;
    browser.press("/").await;
    browser.until("document.activeElement.name === 'query'").await;
    browser.press(&format!("{}\u{e007}", agents[1].agent().identity().hostname)).await;
    browser.until("document.querySelectorAll('tbody tr').length === 1").await;
    browser.click("tbody a").await;
    browser.until("document.querySelector('h2')?.innerText === 'Vitals'").await;
    let host = browser.text().await;
    assert!(host.contains("Denylisted") && host.contains("Worker restarted"), "{host}");
    browser.click("nav.tabs a:nth-child(2)").await;
    browser.until("location.pathname.endsWith('/queries')").await;
    let why = browser.text().await;
    assert!(why.contains("processes again") && why.contains("platform"), "{why}");
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

/// A live query from its start to its export: answers come while one looks, numbers add up, and an export has all.
#[tokio::test]
async fn a_live_query_streams_its_answers_into_the_page() {
    let server = TestServer::start().await;
    let mut agents = crate::live::hosts(&server, 3).await;
    let url = |path: &str| format!("{}{path}", server.address.url);
    let browser = Browser::start().await;
    browser.open(&url("/login")).await;
    browser.log_in(&server.address, &server.rest).await;
    browser.open(&url("/live")).await;
    browser.write("SELECT 'answer' AS word, 7 AS number").await;
    browser.click("button.primary").await;
    browser.until("document.querySelector('[role=alert]')?.innerText.includes('choose hosts') === true").await;
    // The console tells of every refusal.
    let refused = browser.complaints().await;
    assert!(refused.iter().all(|line| line.contains("status of 422")), "{refused:?}");
    browser.click("input[name=all]").await;
    browser.click("button.primary").await;
    browser.until("location.pathname.startsWith('/live/')").await;
    assert!(browser.text().await.contains("0 of 3 hosts answered"));
    server.clock.advance(Duration::from_secs(1));
    agents[0].distributed().await;
    browser.until("document.querySelectorAll('#results tbody tr').length === 1").await;
    browser.until("document.querySelector('#progress')?.innerText.includes('1 of 3 hosts answered')").await;
    for agent in &mut agents[1..] {
        agent.distributed().await;
    }
    browser.until("document.querySelectorAll('#results tbody tr').length === 3").await;
    browser.until("document.querySelector('#progress')?.innerText.includes('Complete')").await;
    assert!(browser.text().await.contains("answer"));
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    // What a page without a script shows is the same.
    browser.open(&browser.url().await).await;
    assert_eq!(browser.value("document.querySelectorAll('#results tbody tr').length").await, 3);
    let visitor = super::admin(&server);
    let csv = visitor.get("/live/1/results.csv").await;
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
    let mut lines: Vec<&str> = csv.text.split("\r\n").filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.remove(0), "host_id,hostname,error,word,number");
    assert_eq!(lines.len(), 3, "{}", csv.text);
    assert!(lines.iter().all(|line| line.ends_with(",,answer,7")), "{}", csv.text);
    let lines = visitor.get("/live/1/results.ndjson").await.text;
    assert_eq!(lines.lines().count(), 3, "{lines}");
    // One that is cancelled says so.
    let asked = visitor.submit("/live", "/live", &[("sql", "SELECT 2"), ("all", "true")]).await;
    let path = asked.headers["location"].to_str().unwrap().to_owned();
    browser.open(&url(&path)).await;
    browser.click("form[action$=cancel] button").await;
    eventually("it is cancelled", Duration::from_secs(10), async || {
        browser.text().await.contains("Cancelled").then_some(())
    })
    .await;
}
