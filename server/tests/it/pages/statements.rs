use serde_json::json;

use super::{PAGES, admin, lively};

/// Most SQL statements of a page, with the two of the session.
const MOST: f64 = 10.0;

/// Pages read a bounded number of rows with few statements, whatever the size of the fleet. The periodic tasks send statements
/// of their own now and then, which can only add to the least of several equal requests.
#[tokio::test]
async fn a_page_takes_few_statements() {
    let server = lively::server().await;
    lively::fleet(&server, 4, 4).await;
    server.rest.post("live_queries", &json!({ "query": "SELECT 1", "targets": { "all": true } })).await;
    let visitor = admin(&server);
    let mut counted = Vec::new();
    let schemas = ["/live/schema", "/live/schema?label=All%20Hosts&platform=linux", "/live/schema?hosts=host"];
    for path in PAGES.into_iter().map(|(path, _)| path).chain(schemas) {
        let mut least = f64::INFINITY;
        for _ in 0..6 {
            let before = server.metric("muster_sql_statements_total").await;
            assert_eq!(visitor.get(path).await.status, 200, "{path}");
            least = least.min(server.metric("muster_sql_statements_total").await - before);
        }
        counted.push((path, least));
    }
    let is_met = counted.iter().all(|(_, least)| (1.0..=MOST).contains(least));
    assert!(is_met, "page, statements: {counted:?}");
}
