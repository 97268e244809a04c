use serde_json::json;

use super::{admin, assert_guarded, lively};
use crate::support::{Browser, Visitor};

/// The keys that a browser calls Control, Arrow down and Enter.
const CONTROL: &str = "\u{e009}";
const DOWN: &str = "\u{e015}";
const ENTER: &str = "\u{e007}";

/// A part of a name finds what the role may see, a few of each kind, with few statements.
#[tokio::test]
async fn each_role_finds_what_it_may_see() {
    let server = lively::server().await;
    lively::fleet(&server, 2, 1).await;
    let observer = Visitor::of(&server.address, &server.user("observer"));
    for visitor in [&observer, &admin(&server)] {
        for path in ["/find?query=processes", "/find/part?query=processes", "/find/part", "/find/part?query=%25"] {
            let answer = visitor.get(path).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text);
            assert_guarded(path, &answer);
        }
    }
    let all = admin(&server).get("/find/part?query=pro").await.text;
    for part in ["queries/cost?pack=monitoring&amp;name=processes", "queries/1\"", "processes again"] {
        assert!(all.contains(part), "{part}: {all}");
    }
    let little = observer.get("/find/part?query=pro").await.text;
    assert!(little.contains("queries/1\"") && !little.contains("queries/cost"), "{little}");
    let packs = admin(&server).get("/find/part?query=MONITOR").await.text;
    assert!(packs.contains("packs/"), "{packs}");
    assert!(!observer.get("/find/part?query=monitor").await.text.contains("packs/"));
    // The signs of a pattern are signs like others.
    for sign in ["%25", "_", "!"] {
        let none = admin(&server).get(&format!("/find/part?query={sign}")).await.text;
        assert!(none.contains("Nothing has such a name"), "{sign}: {none}");
    }
    let pages = observer.get("/find/part").await.text;
    assert!(pages.contains("Live queries") && !pages.contains("Users"), "{pages}");
    let stranger = Visitor::stranger(&server.address);
    assert_eq!(stranger.get("/find/part?query=a").await.status, 401);
    // The periodic tasks send statements of their own now and then.
    let mut least = f64::INFINITY;
    for _ in 0..6 {
        let before = server.metric("muster_sql_statements_total").await;
        admin(&server).get("/find/part?query=a").await;
        least = least.min(server.metric("muster_sql_statements_total").await - before);
    }
    assert!(least <= 10.0, "{least}");
}

#[tokio::test]
async fn finds_are_few_and_text() {
    let server = lively::server().await;
    let documents: Vec<_> = (0..40)
        .map(|number| json!({ "kind": "query", "spec": { "name": format!("<i>many {number}"), "query": "SELECT 1" } }))
        .collect();
    server.rest.apply(&documents).await;
    let found = admin(&server).get("/find/part?query=MANY").await.text;
    assert_eq!(found.matches("&lt;i&gt;many").count(), 6, "{found}");
    assert!(!found.contains("<i>"), "{found}");
}

/// From anywhere to a host, a query or a page by the keyboard alone.
#[tokio::test]
async fn the_palette_is_used_by_keys_alone() {
    let server = lively::server().await;
    let agents = lively::fleet(&server, 2, 1).await;
    let browser = Browser::start().await;
    browser.log_in(&server.address, &server.rest).await;
    let url = |path: &str| format!("{}{path}", server.address.url);
    browser.open(&url("/labels")).await;
    browser.chord(CONTROL, "k").await;
    browser.until("document.activeElement.getAttribute('role') === 'combobox'").await;
    browser.until("document.querySelectorAll('#palette-found a').length > 5").await;
    browser.press(&agents[1].agent().identity().hostname).await;
    browser.until("document.querySelector('#palette-found section')?.getAttribute('aria-label') === 'Hosts'").await;
    browser.press(ENTER).await;
    browser.until("location.pathname.startsWith('/hosts/') && document.querySelector('.palette') !== null").await;
    browser.chord(CONTROL, "k").await;
    browser.press("packs").await;
    browser.until("document.querySelector('.palette')?.dataset.of === 'packs'").await;
    browser.press(ENTER).await;
    browser.until("document.title.startsWith('Packs') && document.querySelector('.palette') !== null").await;
    // Arrows choose, and what is chosen is said to whoever cannot see it.
    browser.chord(CONTROL, "k").await;
    browser.until("document.querySelectorAll('#palette-found a').length > 5").await;
    browser.press(DOWN).await;
    let said = "document.getElementById(document.activeElement.getAttribute('aria-activedescendant'))?.innerText";
    browser.until(&format!("{said} === 'Hosts'")).await;
    browser.press("\u{e00c}").await;
    browser.until("!document.querySelector('.palette').open").await;
    // The button does the same; without a script it leads to a page.
    browser.click("[data-palette]").await;
    browser.until("document.querySelector('.palette').open").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    let page = admin(&server).get("/find?query=uptime").await.text;
    assert!(page.contains("href=\"find\"") && page.contains("queries/cost?pack=monitoring&amp;name=uptime"), "{page}");
}
