//! The tables of docs/performance.md.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::crowd::Crowd;
use crate::directory::Directory;
use crate::endpoints::{self, MeasuredEndpoint};
use crate::memory::Memory;
use crate::nodes::{self, ClusterCost};
use crate::open_queries::OpenQueries;
use crate::pages::PageCosts;
use crate::profiled::ProfileCost;
use crate::restart::Restart;
use crate::standard;
use crate::statistics::CollectionCost;
use crate::subject::ConnectionMode;

/// Work behind requests: how it is called in tables, and the metric that counts it.
pub const COUNTERS: [(&str, &str); 3] = [
    ("SQL statements", "muster_sql_statements_total"),
    ("rows written", "muster_rows_written_total"),
    ("bus commands", "muster_bus_commands_total"),
];

const BEGIN: &str = "<!-- measured: ";
const END: &str = "<!-- end of measured -->";

/// Measurements with one backend.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Measured {
    /// The command of the parts that have none of their own below.
    pub command: String,
    /// Commands that measured, by the word of the part.
    #[serde(default)]
    pub commands: BTreeMap<String, String>,
    pub machine: String,
    pub pinning: String,
    pub endpoints: Vec<endpoints::EndpointCost>,
    pub memory: Option<Memory>,
    #[serde(default)]
    pub directory: Option<Directory>,
    #[serde(default)]
    pub pages: Option<PageCosts>,
    #[serde(default)]
    pub crowd: Option<Crowd>,
    #[serde(default)]
    pub restart: Option<Restart>,
    #[serde(default)]
    pub open_queries: Option<OpenQueries>,
    #[serde(default)]
    pub statistics: Option<CollectionCost>,
    #[serde(default)]
    pub profile: Option<ProfileCost>,
    #[serde(default)]
    pub nodes: Vec<ClusterCost>,
    pub standard: Vec<standard::StandardLoad>,
}

/// Measurements by what the server keeps its data in.
pub type Book = BTreeMap<String, Measured>;

/// Reads the measurements that `page` was made from, if it was.
pub fn read(book: &Path) -> Result<Book> {
    if !book.exists() {
        return Ok(Book::new());
    }
    let text = std::fs::read(book).with_context(|| format!("cannot read {}", book.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not as expected; remove it", book.display()))
}

/// Writes the measurements, and puts their tables between the marks of `page`.
pub fn write(book: &Path, page: &Path, measured: &Book) -> Result<()> {
    let text = std::fs::read_to_string(page).with_context(|| format!("cannot read {}", page.display()))?;
    let begin = text.find(BEGIN).with_context(|| format!("{} has no line {BEGIN}", page.display()))?;
    let end = text.find(END).with_context(|| format!("{} has no line {END}", page.display()))?;
    let line_end = begin + text[begin..].find('\n').context("the mark is not a line")? + 1;
    let tables: String = measured.iter().map(|(backend, measured)| render(backend, measured)).collect();
    std::fs::write(page, format!("{}\n{tables}{}", &text[..line_end], &text[end..]))?;
    std::fs::write(book, serde_json::to_string_pretty(measured)? + "\n")?;
    Ok(())
}

/// All tables of one backend.
pub fn render(backend: &str, measured: &Measured) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "## {backend}\n\n{}. {}\n", measured.machine, measured.pinning);
    let mut section = |title: &str, part: &str, table: Option<String>| {
        let Some(table) = table else { return };
        let command = measured.commands.get(part).unwrap_or(&measured.command);
        let _ = writeln!(text, "### {title}\n\n`{command}`\n\n{table}");
    };
    let rows = &measured.endpoints;
    let endpoints = || format!("{}\n### Hosts per core\n\n{}", endpoints_table(rows), hosts_per_core(rows));
    section("Server CPU per request", "endpoints", (!rows.is_empty()).then(endpoints));
    let rows = &measured.standard;
    section("A fleet at the standard profile", "standard", (!rows.is_empty()).then(|| standard_table(rows)));
    section(
        "Many hosts, all asked at once, and others that enroll",
        "crowd",
        measured.crowd.as_ref().map(Crowd::render),
    );
    section("A restart under load", "restart", measured.restart.as_ref().map(Restart::render));
    let open = measured.open_queries.as_ref();
    section("Live queries that wait for other hosts", "open-queries", open.map(OpenQueries::render));
    let statistics = measured.statistics.as_ref();
    section("Collecting what queries cost", "statistics", statistics.map(CollectionCost::render));
    section("A CPU profile of the server", "profile", measured.profile.as_ref().map(ProfileCost::render));
    let rows = &measured.nodes;
    section("Several nodes, any of which gets any request", "nodes", (!rows.is_empty()).then(|| nodes::render(rows)));
    section("Memory", "memory", measured.memory.as_ref().map(Memory::render));
    section("Lists of a large fleet", "directory", measured.directory.as_ref().map(Directory::render));
    section("Pages of a large fleet", "pages", measured.pages.as_ref().map(PageCosts::render));
    text
}

fn endpoints_table(rows: &[endpoints::EndpointCost]) -> String {
    let mut text = String::from(
        "| request | connections | server µs | ceiling µs | ratio | generator µs | runs |\n|---|---|---:|---:|---:|---:|---:|\n",
    );
    for row in rows {
        // Its steady phase, which is what it reports on, has no enrollments.
        let is_known = row.endpoint != MeasuredEndpoint::Enroll.title();
        let generator = if is_known { format!("{:.1}", row.generator_us) } else { "–".to_owned() };
        let _ = writeln!(
            text,
            "| {} | {} | {:.1} | {:.1} | {:.2} | {} | {} |",
            row.endpoint, row.mode, row.server_us, row.ceiling_us, row.ratio, generator, row.runs
        );
    }
    text
}

/// Requests a host makes in a second at the standard profile.
const RATES: [(MeasuredEndpoint, f64, &str); 4] = [
    (MeasuredEndpoint::ReadEmpty, 1.0 / 10.0, "1/10 s"),
    (MeasuredEndpoint::Config, 1.0 / 60.0, "1/60 s"),
    (MeasuredEndpoint::Log, 0.1 / 10.0, "0.1/10 s"),
    (MeasuredEndpoint::Round, 1.0 / 3600.0, "1/3600 s"),
];

fn hosts_per_core(rows: &[endpoints::EndpointCost]) -> String {
    let mut text = String::new();
    for mode in [ConnectionMode::BalancedTls, ConnectionMode::BalancedPlain, ConnectionMode::DirectTls] {
        let cost = |endpoint: MeasuredEndpoint| {
            rows.iter()
                .find(|row| row.endpoint == endpoint.title() && row.mode == mode.title())
                .map(|row| row.server_us)
        };
        let terms: Option<Vec<_>> =
            RATES.iter().map(|(endpoint, rate, shown)| Some((cost(*endpoint)?, rate, shown))).collect();
        let Some(terms) = terms else { continue };
        let us_per_second: f64 = terms.iter().map(|(us, rate, _)| us * **rate).sum();
        let shown: Vec<String> = terms.iter().map(|(us, _, shown)| format!("{us:.1} × {shown}")).collect();
        let hosts = (1e6 / us_per_second / 1000.0).round() as u64;
        let _ = writeln!(
            text,
            "- {}: {} = {us_per_second:.2} µs of CPU a second for each host, so 1,000,000 / {us_per_second:.2} ≈ **{hosts},000 hosts** to a core.",
            mode.title(),
            shown.join(" + ")
        );
    }
    text
}

fn standard_table(rows: &[standard::StandardLoad]) -> String {
    let columns = |value: &dyn Fn(&standard::StandardLoad) -> String| -> String {
        rows.iter().map(|row| format!(" {} |", value(row))).collect()
    };
    let mut text = String::new();
    let mut line = |name: &str, value: &dyn Fn(&standard::StandardLoad) -> String| {
        let _ = writeln!(text, "| {name} |{}", columns(value));
    };
    line("", &|row| format!("{} {}", grouped(u64::from(row.agents)), row.mode));
    line("---", &|_| "---:".to_owned());
    line("windows", &|row| format!("{} of {} s", row.windows, row.window_secs));
    line("requests/s", &|row| format!("{:.0}", row.requests_per_second));
    line("server CPU per request, µs", &|row| format!("{:.1}", row.server_us_per_request));
    line("ceiling CPU per request, µs", &|row| format!("{:.1}", row.ceiling_us_per_request));
    line("cores the server kept busy", &|row| format!("{:.3}", row.server_cores));
    line("hosts per core, from that", &|row| grouped((f64::from(row.agents) / row.server_cores) as u64));
    line("generator CPU per request, µs", &|row| format!("{:.1}", row.generator_us_per_request));
    let names: std::collections::BTreeSet<&String> = rows.iter().flat_map(|row| row.latency_ms.keys()).collect();
    for name in names {
        line(&format!("{name}: p50 / p99, ms"), &|row| match row.latency_ms.get(name) {
            Some((p50, p99)) => format!("{p50:.1} / {p99:.1}"),
            None => "–".to_owned(),
        });
    }
    for (title, name) in COUNTERS {
        // A number the server does not have is not 0.
        line(&format!("{title} per 1,000 requests"), &|row| {
            row.per_1000.get(name).map_or_else(|| "not counted".to_owned(), |count| format!("{count:.1}"))
        });
    }
    line("database CPU per 1,000 requests, ms", &|row| match row.database_us_per_1000 {
        Some(us) => format!("{:.2}", us / 1000.0),
        None => "in the server's".to_owned(),
    });
    line("resident, MiB", &|row| format!("{:.0}", row.rss_bytes / (1024.0 * 1024.0)));
    line("requests in the steady phase", &|row| grouped(row.requests));
    line("errors in the steady phase", &|row| {
        let kinds = row.errors.iter().map(|(kind, count)| format!("{} {}", grouped(*count), kind.replace('_', " ")));
        if row.errors.is_empty() { "0".to_owned() } else { kinds.collect::<Vec<_>>().join(", ") }
    });
    line("started more than 100 ms late", &|row| grouped(row.late));
    line("log lines acknowledged / lost / doubled", &|row| {
        format!("{} / {} / {}", grouped(row.acknowledged), grouped(row.lost), grouped(row.doubled))
    });
    text
}

/// Digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(endpoint: MeasuredEndpoint, server_us: f64) -> endpoints::EndpointCost {
        endpoints::EndpointCost {
            endpoint: endpoint.title().to_owned(),
            mode: ConnectionMode::DirectTls.title().to_owned(),
            server_us,
            ceiling_us: server_us / 2.0,
            ratio: 2.0,
            generator_us: 1.0,
            runs: 3,
        }
    }

    #[test]
    fn hosts_per_core_are_a_core_divided_by_what_a_host_costs() {
        let mut rows = vec![
            row(MeasuredEndpoint::ReadEmpty, 100.0),
            row(MeasuredEndpoint::Config, 60.0),
            row(MeasuredEndpoint::Log, 200.0),
        ];
        assert_eq!(hosts_per_core(&rows), "", "a mode that was not measured whole is left out");
        // 10 + 1 + 2 + 1 = 14 us a second.
        rows.push(row(MeasuredEndpoint::Round, 3600.0));
        let text = hosts_per_core(&rows);
        assert!(text.contains("= 14.00 µs") && text.contains("**71,000 hosts**"), "{text}");
    }

    #[test]
    fn tables_are_replaced_and_what_is_around_them_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (book, page) = (folder.path().join("book.json"), folder.path().join("page.md"));
        std::fs::write(&page, format!("before\n{BEGIN}`make bench` -->\nold\n{END}\nafter\n")).unwrap();
        let measured = Measured {
            machine: "A machine".to_owned(),
            endpoints: vec![row(MeasuredEndpoint::ReadEmpty, 100.0)],
            ..Measured::default()
        };
        for _ in 0..2 {
            let mut all = read(&book).unwrap();
            all.insert("SQLite + memory".to_owned(), measured.clone());
            write(&book, &page, &all).unwrap();
        }
        let text = std::fs::read_to_string(&page).unwrap();
        assert!(
            text.starts_with("before\n<!-- measured: `make bench` -->\n\n## SQLite + memory\n\nA machine"),
            "{text}"
        );
        assert!(text.ends_with("<!-- end of measured -->\nafter\n") && !text.contains("old"), "{text}");
        assert!(text.contains("| read, empty | direct, TLS | 100.0 | 50.0 | 2.00 | 1.0 | 3 |"), "{text}");
    }
}
