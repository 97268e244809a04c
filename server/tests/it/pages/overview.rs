use super::admin;
use crate::support::TestServer;

/// Upgrades of many agents hide no worker that a query has stopped.
#[tokio::test]
async fn upgrades_hide_no_restart() {
    let server = TestServer::start().await;
    server.enrolled(1).await;
    let now = server.clock.now().0;
    let mut rows = vec![format!("(1, {now}, 0, 0, 0, '[]')"), format!("(1, {now}, 0, 0, 0, '[]')")];
    rows.extend((0..600).map(|_| format!("(1, {now}, 0, 1, 0, '[]')")));
    let columns = "host_id, seen_at, started_at, is_upgrade, is_reported, suspects";
    server.database().execute(&format!("INSERT INTO worker_restarts ({columns}) VALUES {}", rows.join(", ")));
    let page = admin(&server).get("/").await.text;
    assert!(page.contains("<b>2</b><span>Worker restarts in 24 h</span>"), "{page}");
}
