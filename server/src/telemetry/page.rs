use std::fmt::Write as _;

use super::listed::metric_descriptions;

const INTRODUCTION: &str = "\
# Metrics

`GET /metrics` shows these metrics in Prometheus' text format; [operations](operations.md#metrics) says who may read them.
`make docs` writes this page from the server's own list.

`handler` is an operation: of agents `enroll_agent`, `get_client_config`, `get_distributed_queries`,
`submit_distributed_query_results`, `submit_logs`, `carve_begin` or `carve_block`, of operators the `operationId` of
[openapi.json](openapi.json). It is there once the operation was used. Labels name no hosts, and queries only where the help
says how many: a node has fewer than 5,500 series with 500 queries and 20,000 hosts. All histograms of seconds have the same
buckets, and so have all of bytes.
";

/// `docs/metrics.md`.
pub fn metrics_page() -> String {
    let mut page = INTRODUCTION.to_owned();
    let mut group = "";
    for metric in metric_descriptions() {
        if metric.group != group {
            group = metric.group;
            let _ = write!(page, "\n## {group}\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n");
        }
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(", ") };
        let _ = writeln!(page, "| `{}` | {} | {labels} | {} |", metric.name, metric.kind, metric.help);
    }
    page
}
