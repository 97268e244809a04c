use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{PAGES, lively};
use crate::support::Browser;

const AXE: &str = include_str!("../../vendor/axe-core/axe.min.js");
const CHECKSUMS: &str = include_str!("../../vendor/checksums.txt");

/// What axe-core calls serious or critical in a part of the page that is open, and where.
pub async fn faults(browser: &Browser, part: &str) -> Vec<String> {
    browser.run(AXE).await;
    let run = format!("axe.run('{part}', {{ resultTypes: ['violations'], preload: false }})");
    let found = browser.promised(&run).await;
    let violations = found["violations"].as_array().unwrap_or_else(|| panic!("axe has not run: {found}"));
    assert!(found["testEngine"]["version"].is_string(), "{found}");
    let is_grave =
        |violation: &&Value| ["serious", "critical"].contains(&violation["impact"].as_str().unwrap_or("critical"));
    let listed = violations.iter().filter(is_grave).flat_map(|violation| {
        let nodes = violation["nodes"].as_array().unwrap().iter().take(5);
        nodes.map(|node| format!("{}: {} {}", violation["id"], node["html"], node["failureSummary"]))
    });
    listed.collect()
}

/// Nothing on any page keeps people with a screen reader, without a mouse or with weak eyes from using it, in either theme.
#[tokio::test]
async fn every_page_is_for_everybody() {
    let checksum: String = Sha256::digest(AXE).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(CHECKSUMS.contains(&format!("{checksum}  axe-core/axe.min.js\n")), "axe.min.js is another: {checksum}");
    let server = lively::server().await;
    let mut agents = lively::fleet(&server, 4, 4).await;
    server.rest.post("live_queries", &json!({ "query": "SELECT 1 AS one", "targets": { "all": true } })).await;
    agents[0].distributed().await;
    let browser = Browser::start().await;
    let mut found = Vec::new();
    for theme in ["light", "dark"] {
        let mut look = async |path: &str| {
            browser.open(&format!("{}{path}", server.address.url)).await;
            browser.until_edits().await;
            assert_eq!(browser.value("document.documentElement.dataset.theme").await, theme, "{path}");
            found.extend(faults(&browser, "html").await.into_iter().map(|fault| format!("{path} {theme}: {fault}")));
        };
        browser.open(&format!("{}/login", server.address.url)).await;
        browser.set_cookie("muster_theme", theme).await;
        for width in [1280, 375] {
            browser.resize(width, 800).await;
            if theme == "light" && width == 1280 {
                look("/login").await;
                browser.log_in(&server.address, &server.rest).await;
            }
            for (path, _) in PAGES.iter().filter(|(path, _)| !path.ends_with("/part")) {
                look(path).await;
            }
        }
    }
    assert_eq!(found, Vec::<String>::new());
}
