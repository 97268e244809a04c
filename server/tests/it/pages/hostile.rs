use agent_compat::agent::{Identity, Platform};
use serde_json::json;

use super::{PAGES, admin, assert_guarded};
use crate::checkin::settle;
use crate::support::TestServer;

/// Markup, quotes, and characters that hide or turn what follows.
const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u{202e}gnp\u{200b}\u{feff}";

/// Whatever agents and operators call things is text on every page, and nothing in it hides.
#[tokio::test]
async fn names_are_text_on_every_page() {
    let server = TestServer::start().await;
    let long = format!("{HOSTILE}{}", "x".repeat(10_000));
    for (index, name) in [HOSTILE, long.as_str()].into_iter().enumerate() {
        let mut identity = Identity::simulated(1, index as u32, Platform::Linux);
        for field in [&mut identity.hostname, &mut identity.fqdn, &mut identity.computer_name] {
            name.clone_into(field);
        }
        for field in [&mut identity.os.name, &mut identity.os.platform, &mut identity.hardware.model] {
            HOSTILE.clone_into(field);
        }
        let mut agent = server.address.agent_of(identity);
        assert!(agent.enroll().await.verdict.is_success());
        settle(&mut agent).await;
    }
    server.run_tasks().await;
    // Directions cannot be told apart in names that operators choose; markup and quotes can.
    let name = "<script>alert(1)</script>\"'><i>";
    server
        .rest
        .apply(&[
            json!({ "kind": "query", "spec": { "name": name, "description": HOSTILE, "query": "SELECT '<script>alert(3)</script>'" } }),
            json!({ "kind": "label", "spec": { "name": name, "description": HOSTILE, "query": "SELECT '<script>'" } }),
            json!({ "kind": "pack", "spec": { "name": "monitoring", "description": HOSTILE, "targets": { "labels": [name, "All Hosts"] },
                "queries": [{ "query": name, "name": "processes", "interval": 60 }] } }),
        ])
        .await;
    let documents =
        json!([{ "kind": "query", "spec": { "name": name, "query": "SELECT '<script>alert(5)</script>'" } }]);
    server.rest.apply(&[json!({ "kind": "rollout", "spec": { "name": name, "documents": documents } })]).await;
    let ask = json!({ "query": "SELECT '<script>alert(4)</script>'", "targets": { "all": true } });
    assert_eq!(server.rest.post("live_queries", &ask).await.status, 200);
    let visitor = admin(&server);
    for (path, _) in PAGES {
        let answer = visitor.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert_guarded(path, &answer);
        assert!(answer.text.len() < 90_000, "{path}: {} bytes", answer.text.len());
        // The pages have one script, which is a file.
        assert_eq!(answer.text.matches("<script").count(), usize::from(answer.text.contains("<!DOCTYPE")), "{path}");
        for markup in ["<img", "<i>"] {
            assert!(!answer.text.contains(markup), "{path} has {markup}");
        }
        let text = text_of(&answer.text);
        for hidden in ['\u{202e}', '\u{200b}', '\u{feff}'] {
            assert!(!text.contains(hidden), "{path} has {hidden:?}");
        }
    }
    let hosts = visitor.get("/hosts").await.text;
    assert!(hosts.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && hosts.contains("U+202E"), "{hosts}");
    // What a visitor types is text, too.
    for path in [
        "/hosts?query=%3Cscript%3E&platform=%22%3E%3Ci%3E",
        "/queries?query=%3Cscript%3E%22%3E",
        "/live?sql=%3C/textarea%3E%3Cscript%3E",
    ] {
        let text = visitor.get(path).await.text;
        assert!(text.contains("&lt;"), "{path}: {text}");
        assert_eq!(text.matches("<script").count(), 1, "{path}: {text}");
        assert!(!text.contains("<i>"), "{path}: {text}");
    }
}

/// What stands between the tags of a page, but for texts that can be edited: they are as they are.
fn text_of(page: &str) -> String {
    let parts = page.split('<').filter(|part| !part.starts_with("textarea"));
    parts.filter_map(|part| Some(part.split_once('>')?.1)).collect()
}
