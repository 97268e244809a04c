use agent_compat::TestAgent;

use super::{PAGES, lively};
use crate::support::{Browser, TestServer};

/// Widths and themes.
const LOOKS: [(u32, &str); 4] = [(1280, "light"), (1280, "dark"), (375, "light"), (375, "dark")];

/// Those of the largest windows, for the pages that people look at most.
const WIDE_LOOKS: [(u32, &str); 2] = [(2560, "light"), (2560, "dark")];
const WIDE: [&str; 6] =
    ["/", "/hosts", "/hosts/1", "/queries", "/queries/cost?pack=monitoring&name=processes", "/live/1"];

/// The pictures in docs/pictures: name, page, theme, and the size of the window.
const PICTURES: [(&str, &str, &str, u32, u64); 10] = [
    ("overview", "/", "light", 1280, 1240),
    ("overview-dark", "/", "dark", 1280, 860),
    ("overview-telephone", "/", "light", 375, 812),
    ("hosts", "/hosts", "light", 1280, 760),
    ("host", "/hosts/1", "light", 1280, 900),
    ("queries", "/queries", "light", 1280, 720),
    ("query", "/queries/cost?pack=integrity&name=file+hashes", "dark", 1280, 900),
    ("live-query", "/live/1", "light", 1280, 860),
    ("watchdog", "/watchdog", "light", 1280, 620),
    ("activity", "/activity", "light", 1280, 620),
];

/// Largest picture, and all together, in bytes.
const LARGEST: usize = 120 * 1024;
const ALL: usize = 900 * 1024;

/// A fleet that has lived for a day, with a live query that most hosts have answered.
async fn lived() -> (TestServer, Vec<TestAgent>) {
    let server = lively::server().await;
    let mut agents = lively::fleet(&server, 14, 26).await;
    let ask = |sql: &str| serde_json::json!({ "query": sql, "targets": { "all": true } });
    server.rest.post("live_queries", &ask("SELECT name, version, platform FROM os_version")).await;
    for agent in &mut agents[..9] {
        agent.distributed().await;
    }
    (server, agents)
}

/// Writes the pictures of the documentation: `make pictures`.
#[tokio::test]
#[ignore = "writes pictures for the documentation: make pictures"]
async fn pictures_are_small() {
    let folder = std::env::var("MUSTER_PICTURES").expect("make pictures sets the folder");
    std::fs::create_dir_all(&folder).unwrap();
    let (server, _agents) = lived().await;
    let browser = Browser::start().await;
    browser.open(&format!("{}/login", server.address.url)).await;
    browser.set_cookie("muster_first_steps", "away").await;
    browser.log_in(&server.address, &server.rest).await;
    let mut all = 0;
    for (name, path, theme, width, height) in PICTURES {
        browser.set_cookie("muster_theme", theme).await;
        browser.resize(width, height).await;
        browser.open(&format!("{}{path}", server.address.url)).await;
        // What scripts add to the answers of a live query.
        browser.until("document.readyState === 'complete' && !document.querySelector('#results:has(tbody tr):not(:has(.virtual))')").await;
        let picture = browser.picture(width, height).await;
        assert!(picture.len() <= LARGEST, "{name} has {} bytes", picture.len());
        all += picture.len();
        std::fs::write(format!("{folder}/{name}.webp"), picture).unwrap();
    }
    assert!(all <= ALL, "all have {all} bytes");
}

/// Writes every page at two widths and in both themes, and some in the largest windows, for people to look at: `make screenshots`.
#[tokio::test]
#[ignore = "writes pictures for people: make screenshots"]
async fn every_page_is_drawn() {
    let folder = std::env::var("MUSTER_SCREENSHOTS").expect("make screenshots sets the folder");
    std::fs::create_dir_all(&folder).unwrap();
    let (server, _agents) = lived().await;
    let browser = Browser::start().await;
    draw(&browser, &server, &folder, "login", "/login", &LOOKS).await;
    browser.log_in(&server.address, &server.rest).await;
    let pages = PAGES.iter().filter(|(path, _)| !path.ends_with("/part"));
    for (path, _) in pages {
        let name =
            if *path == "/" { "overview".to_owned() } else { path[1..].split('?').next().unwrap().replace('/', "-") };
        let name = if path.contains("?query") { format!("{name}-narrowed") } else { name };
        draw(&browser, &server, &folder, &name, path, &LOOKS).await;
        if WIDE.contains(path) {
            draw(&browser, &server, &folder, &name, path, &WIDE_LOOKS).await;
        }
    }
    let empty = TestServer::start().await;
    browser.open(&format!("{}/login", empty.address.url)).await;
    browser.log_in(&empty.address, &empty.rest).await;
    for (name, path) in
        [("empty-overview", "/"), ("empty-hosts", "/hosts"), ("empty-queries", "/queries"), ("empty-live", "/live")]
    {
        draw(&browser, &empty, &folder, name, path, &LOOKS).await;
    }
}

async fn draw(browser: &Browser, server: &TestServer, folder: &str, name: &str, path: &str, looks: &[(u32, &str)]) {
    for &(width, theme) in looks {
        browser.open(&format!("{}{path}", server.address.url)).await;
        browser.set_cookie("muster_theme", theme).await;
        browser.open(&format!("{}{path}", server.address.url)).await;
        browser.until_edits().await;
        let picture = browser.screenshot(width).await;
        std::fs::write(format!("{folder}/{name}-{width}-{theme}.png"), picture).unwrap();
    }
}
