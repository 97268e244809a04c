use std::collections::BTreeSet;

use agent_compat::TestAgent;
use agent_compat::agent::{Identity, Platform};
use serde_json::Value;

use super::{accessible, admin};
use crate::checkin::schema;
use crate::checkin::settle;
use crate::support::{Browser, TestServer, Visitor};

const CONTROL: &str = "\u{e009}";
const ENTER: &str = "\u{e007}";
const TAB: &str = "\u{e004}";
const HOME: &str = "\u{e011}";
const RIGHT: &str = "\u{e014}";
const ESCAPE: &str = "\u{e00c}";

/// What the form would send.
const SENT: &str = "document.querySelector('textarea').value";

/// A server that knows the tables of its hosts, which run Linux and Windows.
async fn learned() -> (TestServer, Vec<TestAgent>) {
    let server = schema::server().await;
    let mut agents = schema::settled(&server, 3, "5.22.1").await;
    for index in 11..=13 {
        let mut agent = server.address.agent_of(Identity::simulated(1, index, Platform::Windows));
        assert!(agent.enroll().await.verdict.is_success());
        settle(&mut agent).await;
        agents.push(agent);
    }
    server.run_tasks().await;
    server.run_tasks().await;
    assert_eq!(schema::asked(&mut agents).await, 6);
    server.run_tasks().await;
    (server, agents)
}

/// Waits until this is what Enter takes. The editor takes no key for an answer to what has only just appeared.
async fn until_chosen(browser: &Browser, label: &str) {
    let chosen = format!(
        "(() => {{
            const option = document.querySelector('.cm-tooltip-autocomplete li[aria-selected] .cm-completionLabel');
            if (option?.innerText !== '{label}') return false;
            const list = option.closest('ul');
            list.shownAt ??= performance.now();
            return performance.now() - list.shownAt > 150;
        }})()"
    );
    browser.until(&chosen).await;
}

async fn open(browser: &Browser, server: &TestServer, path: &str) {
    browser.open(&format!("{}{path}", server.address.url)).await;
    browser.until_edits().await;
}

/// A live query whose table and column are completed, by keys alone, up to its answers.
#[tokio::test]
async fn a_live_query_is_written_with_completion() {
    let (server, mut agents) = learned().await;
    let browser = Browser::start().await;
    browser.log_in(&server.address, &server.rest).await;
    for theme in ["dark", "light"] {
        open(&browser, &server, "/live").await;
        browser.set_cookie("muster_theme", theme).await;
        open(&browser, &server, "/live").await;
        browser.click("label[for=sql]").await;
        browser.press("SELECT name, FROM os_v").await;
        until_chosen(&browser, "os_version").await;
        assert_eq!(accessible::faults(&browser, "form[data-ask]").await, Vec::<String>::new(), "{theme}");
    }
    browser.press(ENTER).await;
    browser.until(&format!("{SENT} === 'SELECT name, FROM os_version'")).await;
    // A column behind an alias, and one of a table that is named.
    browser.press(" AS o WHERE o.platf").await;
    until_chosen(&browser, "platform").await;
    let about = browser.value("document.querySelector('li[aria-selected] .cm-completionDetail').innerText").await;
    assert_eq!(about, "text");
    browser.press(ENTER).await;
    browser.until(&format!("{SENT} === 'SELECT name, FROM os_version AS o WHERE o.platform'")).await;
    browser.write("SELECT name, vers FROM os_version AS o WHERE o.platform IS NOT NULL").await;
    browser.chord(CONTROL, HOME).await;
    for _ in 0.."SELECT name, vers".len() {
        browser.press(RIGHT).await;
    }
    browser.chord(CONTROL, " ").await;
    until_chosen(&browser, "version").await;
    browser.press(TAB).await;
    let whole = "SELECT name, version FROM os_version AS o WHERE o.platform IS NOT NULL";
    browser.until(&format!("{SENT} === '{whole}'")).await;
    // With nothing to choose from, the key leads on.
    browser.press(TAB).await;
    browser.until("document.activeElement.name === 'all'").await;
    browser.press(" ").await;
    browser.until("document.querySelector('#targets').innerText.includes('6 hosts chosen')").await;
    browser.click(".cm-content").await;
    browser.chord(CONTROL, ENTER).await;
    browser.until("location.pathname.startsWith('/live/')").await;
    for agent in &mut agents {
        agent.distributed().await;
    }
    browser.until("document.querySelectorAll('#results tbody tr').length === 6").await;
    assert!(browser.text().await.contains(whole));
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

/// What is completed follows the hosts that are chosen.
#[tokio::test]
async fn tables_of_other_platforms_are_not_offered() {
    let (server, _agents) = learned().await;
    let browser = Browser::start().await;
    browser.log_in(&server.address, &server.rest).await;
    open(&browser, &server, "/live").await;
    browser.click(".cm-content").await;
    browser.press("SELECT 1 FROM bitlock").await;
    until_chosen(&browser, "bitlocker_info").await;
    let about = browser.value("document.querySelector('li[aria-selected] .cm-completionDetail').innerText").await;
    assert_eq!(about, "only windows");
    browser.press(ESCAPE).await;
    browser.click("select[name=platform] option[value=debian]").await;
    browser.write("SELECT 1 FROM os_v").await;
    until_chosen(&browser, "os_version").await;
    browser.write("SELECT 1 FROM bitlock").await;
    browser.chord(CONTROL, " ").await;
    browser
        .until("performance.getEntriesByType('resource').some(({ name }) => name.includes('schema?platform=debian'))")
        .await;
    browser.until("!document.querySelector('.cm-tooltip-autocomplete')").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}

/// Whatever stands in a text is text, and the field is as it was before for whoever has no script.
#[tokio::test]
async fn hostile_texts_are_edited_as_text() {
    let server = TestServer::start().await;
    let browser = Browser::start().await;
    browser.log_in(&server.address, &server.rest).await;
    let path = "/live?sql=%3C/textarea%3E%3Cscript%3Ealert(1)%3C/script%3E%0A%E2%80%AE%E2%80%8B%EF%BB%BFx";
    let page = admin(&server).get(path).await.text;
    assert!(page.contains("name=\"sql\" rows=\"5\" required"), "{page}");
    open(&browser, &server, path).await;
    let shown = browser.value("document.querySelector('.cm-content').innerText").await;
    let shown = shown.as_str().unwrap();
    assert!(shown.starts_with("</textarea><script>alert(1)</script>\nU+202EU+200BU+FEFFx"), "{shown}");
    // Nobody knows any table: words of SQL are completed.
    browser.write("SELEC").await;
    browser.chord(CONTROL, " ").await;
    until_chosen(&browser, "SELECT").await;
    browser.press(ESCAPE).await;
    browser.press(TAB).await;
    browser.until("document.activeElement.name === 'all'").await;
    // An empty text is reported of by the server, beside what was chosen.
    browser.write(" ").await;
    browser.click("input[name=all]").await;
    browser.click("button.primary").await;
    browser.until("!!document.querySelector('[role=alert]')").await;
    browser.until_edits().await;
    assert_eq!(browser.value("document.querySelector('[name=all]').checked").await, true);
    let refused = browser.complaints().await;
    assert!(refused.iter().all(|line| line.contains("status of 422")), "{refused:?}");
}

fn names(schema: &Value) -> BTreeSet<&str> {
    schema["tables"].as_array().unwrap().iter().map(|table| table["name"].as_str().unwrap()).collect()
}

/// The schema of the editor is what REST tells, of the hosts that are chosen, to those who may read queries.
#[tokio::test]
async fn the_schema_of_the_editor_is_that_of_the_hosts_chosen() {
    let (server, agents) = learned().await;
    let path = "/live/schema";
    assert_eq!(Visitor::stranger(&server.address).get(path).await.status, 401);
    let unknown = Visitor::of(&server.address, &server.user("superuser"));
    assert_eq!(unknown.get(path).await.status, 403);
    let observer = Visitor::of(&server.address, &server.user("observer"));
    let answer = observer.get(path).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.headers["content-type"], "application/json; charset=utf-8");
    assert_eq!(answer.headers["cache-control"], "private, max-age=60");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert!(answer.text.len() < 250_000, "{}", answer.text.len());
    let whole: Value = serde_json::from_str(&answer.text).unwrap();
    let reported = server.rest.get("/api/v1/fleet/schema").await.json();
    assert_eq!(names(&whole), names(&reported));
    assert!(names(&whole).contains("bitlocker_info") && names(&whole).contains("deb_packages"));
    let windows = agents[5].agent().identity().hostname.clone();
    for (chosen, has_windows, has_linux) in [
        ("platform=windows".to_owned(), true, false),
        ("platform=linux&label=All%20Hosts".to_owned(), false, true),
        (format!("hosts={windows}"), true, false),
        (format!("platform=linux&hosts={windows}"), true, true),
        ("all=true&platform=linux".to_owned(), true, true),
        // Of these nobody knows anything.
        ("platform=darwin".to_owned(), true, true),
        ("hosts=nobod".to_owned(), true, true),
        (format!("hosts={}", "x,".repeat(600)), true, true),
    ] {
        let answer = observer.get(&format!("{path}?{chosen}")).await;
        assert_eq!(answer.status, 200, "{chosen}: {}", answer.text);
        let schema: Value = serde_json::from_str(&answer.text).unwrap();
        let has = |table| names(&schema).contains(table);
        assert_eq!((has("bitlocker_info"), has("deb_packages")), (has_windows, has_linux), "{chosen}");
    }
}
