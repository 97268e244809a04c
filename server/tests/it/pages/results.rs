use agent_compat::TestAgent;
use agent_compat::agent::AgentEndpoint;
use serde_json::{Value, json};

use super::{admin, assert_guarded};
use crate::live::{ask, hosts};
use crate::support::{Browser, TestServer, Visitor};

/// Rows that each of the hosts answers with.
const EACH: usize = 20_000;

async fn answer(agent: &mut TestAgent, id: i64, rows: &Value) {
    assert!(agent.read().await.verdict.is_success());
    let query = format!("fleet_distributed_query_{id}");
    let body = json!({ "node_key": agent.node_key(), "queries": { &query: rows }, "statuses": { &query: 0 } });
    assert!(agent.raw(AgentEndpoint::DistributedWrite, body.to_string(), &[]).await.verdict.is_success());
}

/// A hundred thousand rows are all there, and only those in sight are drawn; they are filtered and sorted, and columns are put
/// away and stay so.
#[tokio::test]
async fn a_hundred_thousand_rows_are_looked_through() {
    let server = TestServer::start().await;
    let mut agents = hosts(&server, 6).await;
    let id = ask(&server, "SELECT number, word FROM many").await.id;
    for (index, agent) in agents.iter_mut().enumerate() {
        let row = |number: usize| json!({ "number": format!("{}", index * EACH + number), "word": format!("<w{}>", number % 7) });
        answer(agent, id, &(0..EACH).map(row).collect()).await;
    }
    let browser = Browser::start().await;
    browser.log_in(&server.address, &server.rest).await;
    let page = format!("{}/live/{id}", server.address.url);
    browser.open(&page).await;
    browser.until("document.querySelector('[data-rows]').dataset.rows === '100000'").await;
    browser.until("document.querySelector('.virtual')?.getAttribute('aria-rowcount') === '100001'").await;
    // One host more has answered.
    browser.until("document.querySelector('[data-more]').innerText.includes('the exports have all')").await;
    let drawn = "document.querySelectorAll('#results tbody tr').length";
    let is_few = format!("{drawn} > 10 && {drawn} < 100");
    browser.until(&is_few).await;
    browser.value("document.querySelector('.virtual-scroll').scrollTo(0, 9e9)").await;
    browser
        .until("[...document.querySelectorAll('#results tbody td')].some((cell) => cell.innerText === '99999')")
        .await;
    browser.until(&is_few).await;
    // The highest number first.
    let first = "document.querySelector('#results tbody [aria-rowindex=\"2\"] td:nth-child(2)')?.innerText";
    for direction in ["ascending", "descending"] {
        browser.click("#results th:nth-child(2) button").await;
        let sorted = format!("document.querySelector('#results th:nth-child(2)').ariaSort === '{direction}'");
        browser.until(&sorted).await;
    }
    browser.value("document.querySelector('.virtual-scroll').scrollTo(0, 0)").await;
    browser.until(&format!("{first} === '99999'")).await;
    browser.fill("[data-filter]", "W3>").await;
    browser.until("document.querySelector('.virtual').getAttribute('aria-rowcount') === '14286'").await;
    browser.until(&format!("{first} === '99999' || {first} === '99998' || Number({first}) > 99990")).await;
    browser.click("#results details.picker summary").await;
    browser.click("#results .picker input[value=word]").await;
    browser.until("document.querySelectorAll('#results th').length === 2").await;
    browser.open(&page).await;
    browser.until("document.querySelector('[data-rows]').dataset.rows === '100000'").await;
    browser.until("document.querySelectorAll('#results th').length === 2").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

/// Columns may be called like what the page uses itself, and a row may have none.
#[tokio::test]
async fn hostile_rows_stay_in_their_cells() {
    let server = TestServer::start().await;
    let mut agents = hosts(&server, 2).await;
    let id = ask(&server, "SELECT 1").await.id;
    let rows = json!([{ "Host": "<b>forged</b>", "__proto__": "x", "constructor": "y" }, {}]);
    answer(&mut agents[0], id, &rows).await;
    let browser = Browser::start().await;
    browser.log_in(&server.address, &server.rest).await;
    browser.open(&format!("{}/live/{id}", server.address.url)).await;
    browser.until("document.querySelectorAll('.virtual tbody tr').length === 2").await;
    let name = agents[0].agent().identity().hostname.clone();
    let cells = browser
        .value("[...document.querySelectorAll('.virtual tbody tr:first-child td')].map((cell) => cell.innerText)")
        .await;
    assert!(cells[0].as_str().unwrap().starts_with(&name), "{cells}");
    for cell in ["<b>forged</b>", "x", "y"] {
        assert!(cells.as_array().unwrap().contains(&json!(cell)), "{cell}: {cells}");
    }
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

/// The form says how many hosts are chosen, while one chooses and without a script.
#[tokio::test]
async fn targets_are_counted_while_one_chooses() {
    let server = TestServer::start().await;
    let agents = hosts(&server, 3).await;
    server.run_tasks().await;
    let visitor = admin(&server);
    let name = agents[0].agent().identity().hostname.clone();
    for (chosen, said) in [
        ("", "0 hosts</strong>"),
        ("?all=true", "3 hosts</strong>"),
        (&format!("?hosts={name}"), "1 host</strong>"),
        ("?label=All%20Hosts", "3 hosts</strong>"),
        ("?platform=none", "0 hosts</strong>"),
        ("?hosts=nobody%3Ci%3E", "no host is called &quot;nobody&lt;i&gt;&quot;"),
        ("?label=nothing", "there is no label"),
    ] {
        let answer = visitor.get(&format!("/live/targets{chosen}")).await;
        assert_eq!(answer.status, 200, "{chosen}: {}", answer.text);
        assert_guarded("/live/targets", &answer);
        let text = answer.text.replace(" chosen", "");
        assert!(text.contains(said), "{chosen}: {}", answer.text);
    }
    let many = ["hosts=".to_owned(), vec!["x"; 501].join(",")].concat();
    let refused = visitor.get(&format!("/live/targets?{many}")).await.text;
    assert!(refused.contains("counted only when the query runs"), "{refused}");
    let counted = visitor.submit("/live", "/live", &[("sql", "SELECT 1"), ("all", "true"), ("count", "true")]).await;
    assert_eq!(counted.status, 200);
    assert!(counted.text.contains("3 hosts") && counted.text.contains("SELECT 1"), "{}", counted.text);
    assert_eq!(server.number("SELECT count(*) FROM live_queries"), 0, "nothing is asked");
    assert_eq!(Visitor::stranger(&server.address).get("/live/targets").await.status, 401);
    let browser = Browser::start().await;
    browser.log_in(&server.address, &server.rest).await;
    browser.open(&format!("{}/live", server.address.url)).await;
    browser.click("input[name=all]").await;
    browser.until("document.querySelector('#targets').innerText.includes('3 hosts')").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}
