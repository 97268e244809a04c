use super::{PAGES, lively};
use crate::support::{Browser, TestServer};

/// Widths, and whether the theme is dark.
const LOOKS: [(u32, &str); 4] = [(1280, "light"), (1280, "dark"), (375, "light"), (375, "dark")];

/// Writes every page at two widths and in both themes, for people to look at: `make screenshots`.
#[tokio::test]
#[ignore = "writes pictures for people: make screenshots"]
async fn every_page_is_drawn() {
    let folder = std::env::var("MUSTER_SCREENSHOTS").expect("make screenshots sets the folder");
    std::fs::create_dir_all(&folder).unwrap();
    let server = lively::server().await;
    let mut agents = lively::fleet(&server, 14, 26).await;
    let ask = |sql: &str| serde_json::json!({ "query": sql, "targets": { "all": true } });
    server.rest.post("live_queries", &ask("SELECT name, version, platform FROM os_version")).await;
    for agent in &mut agents[..9] {
        agent.distributed().await;
    }
    let browser = Browser::start().await;
    draw(&browser, &server, &folder, "login", "/login").await;
    browser.log_in(&server.address, &server.rest).await;
    let pages = PAGES.iter().filter(|(path, _)| !path.ends_with("/part"));
    for (path, _) in pages {
        let name =
            if *path == "/" { "overview".to_owned() } else { path[1..].split('?').next().unwrap().replace('/', "-") };
        let name = if path.contains("?query") { format!("{name}-narrowed") } else { name };
        draw(&browser, &server, &folder, &name, path).await;
    }
    let empty = TestServer::start().await;
    browser.open(&format!("{}/login", empty.address.url)).await;
    browser.log_in(&empty.address, &empty.rest).await;
    for (name, path) in
        [("empty-overview", "/"), ("empty-hosts", "/hosts"), ("empty-queries", "/queries"), ("empty-live", "/live")]
    {
        draw(&browser, &empty, &folder, name, path).await;
    }
}

async fn draw(browser: &Browser, server: &TestServer, folder: &str, name: &str, path: &str) {
    for (width, theme) in LOOKS {
        browser.open(&format!("{}{path}", server.address.url)).await;
        browser.set_cookie("muster_theme", theme).await;
        browser.open(&format!("{}{path}", server.address.url)).await;
        browser.until_edits().await;
        let picture = browser.screenshot(width).await;
        std::fs::write(format!("{folder}/{name}-{width}-{theme}.png"), picture).unwrap();
    }
}
