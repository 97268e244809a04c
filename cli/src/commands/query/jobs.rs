//! `query list`, `query show` and `query cancel`.

use std::fmt::Write;

use anyhow::Context as _;
use muster_api::rest::{LiveBudget, LiveCanaries, LiveHosts, LiveQueries, LiveQuery, LiveStatus, TargetState};
use serde::Serialize;

use super::args::{JobFormat, ListArgs, ShowArgs};
use super::summary::summary;
use super::tally::AnswerTally;
use super::{answers, duration, pace, states};
use crate::output::{self, printable};
use crate::rest::{RestClient, RestError};
use crate::{documents, table};

/// Characters of SQL shown in a list.
const SQL_LENGTH: usize = 60;

pub async fn list(server: &RestClient, args: ListArgs) -> anyhow::Result<()> {
    let status = if args.all { "all" } else { "open" };
    let found: LiveQueries = server.get(&format!("live_queries?status={status}")).await?;
    if args.format.is_wanted() {
        return print(&found.live_queries, args.format);
    }
    if found.live_queries.is_empty() {
        output::note(if args.all {
            "No live queries found"
        } else {
            "No open live queries found; list all with --all"
        });
        return Ok(());
    }
    let columns = ["id", "status", "created_at", "author", "targets", "answered", "failed", "waiting", "query"];
    output::data(&table::grid(&columns, found.live_queries.iter().map(row)))
}

fn row(job: &LiveQuery) -> Vec<String> {
    let counts = &job.counts;
    vec![
        job.id.to_string(),
        if job.paused { "paused" } else { states::status(job.status) }.to_owned(),
        job.created_at.format("%Y-%m-%d %H:%M:%SZ").to_string(),
        job.author_email.clone(),
        counts.targets.to_string(),
        counts.answered.to_string(),
        (counts.failed + counts.denylisted + counts.suspect + counts.lost).to_string(),
        (counts.pending + counts.sent).to_string(),
        job.query_name.clone().unwrap_or_else(|| shortened(&job.query)),
    ]
}

fn shortened(sql: &str) -> String {
    let words = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(SQL_LENGTH) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

pub async fn show(server: &RestClient, args: ShowArgs) -> anyhow::Result<()> {
    let id = args.job.id;
    if let Some(state) = args.state {
        let path = format!("live_queries/{id}/hosts?state={}", states::name(state));
        let found: LiveHosts = server.get(&path).await.map_err(|error| refusal(error, id))?;
        if args.format.is_wanted() {
            return print(&found.hosts, args.format);
        }
        if found.hosts.is_empty() {
            output::note(&format!("No hosts of live query {id} are in state {}", states::name(state)));
            return Ok(());
        }
        let rows = found
            .hosts
            .into_iter()
            .map(|host| vec![host.id.to_string(), host.hostname, states::name(host.state).to_owned()]);
        output::data(&table::grid(&["id", "hostname", "state"], rows))?;
        if state == TargetState::Failed {
            output::note(&format!("The message of each host: fleetctl query attach {id}"));
        }
        return Ok(());
    }
    let job = answers::job(server, id).await.map_err(|error| refusal(error, id))?;
    if args.format.is_wanted() {
        return print(&[job], args.format);
    }
    output::data(&description(&job))
}

fn description(job: &LiveQuery) -> String {
    let mut text = summary(job, &AnswerTally::default());
    let name = job.query_name.as_ref().map(|name| format!("{} = ", printable(name))).unwrap_or_default();
    let _ = writeln!(text, "Query:    {name}{}", printable(&job.query).replace('\n', "\n          "));
    let created = job.created_at.format("%Y-%m-%d %H:%M:%SZ");
    let _ = writeln!(text, "Created:  {created} by {}", printable(&job.author_email));
    let given = duration::shown((job.deadline - job.created_at).num_seconds());
    let _ = writeln!(text, "Deadline: {} ({given} later)", job.deadline.format("%Y-%m-%d %H:%M:%SZ"));
    if job.rate > 0 || job.paused {
        let rate = if job.rate > 0 { format!("{} hosts per second; ", job.rate) } else { String::new() };
        let _ = writeln!(text, "Rate:     {rate}{}", pace::shown(job));
    }
    if let Some(canaries) = job.canaries {
        let LiveCanaries { hosts, settled, waiting, until } = canaries;
        let wait = until.map_or("the other hosts may follow".to_owned(), |until| {
            format!("{waiting} hosts wait for them, until {} at most", until.format("%H:%M:%SZ"))
        });
        let _ = writeln!(text, "Canaries: {settled} of {hosts} done; {wait}");
    }
    if let Some(LiveBudget { host_cpu_ms, fleet_cpu_ms, spent_cpu_ms, hosts_over }) = job.budget {
        let on_each = if host_cpu_ms == 0 { "no limit".to_owned() } else { seconds(host_cpu_ms) };
        let of_all = if fleet_cpu_ms == 0 { String::new() } else { format!(" of {}", seconds(fleet_cpu_ms)) };
        let spent = seconds(spent_cpu_ms);
        let _ = writeln!(text, "CPU time: {spent}{of_all} on all hosts; {on_each} on one, exceeded on {hosts_over}");
    }
    let _ = writeln!(text, "Online:   {} of {} targeted hosts", job.online, job.counts.targets);
    text
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100)
}

pub async fn cancel(server: &RestClient, id: i64) -> anyhow::Result<()> {
    let before = answers::job(server, id).await.map_err(|error| refusal(error, id))?;
    if before.status != LiveStatus::Open {
        return output::line(&format!("[!] live query {id} is already {}", states::status(before.status)));
    }
    let job = answers::cancel(server, id).await.map_err(|error| refusal(error, id))?;
    match job.status {
        LiveStatus::Cancelled => {
            let counts = &job.counts;
            output::line(&format!(
                "[+] cancelled live query {id}; {} of {} targeted hosts had answered",
                counts.answered, counts.targets
            ))
        }
        status => output::line(&format!("[!] live query {id} is already {}", states::status(status))),
    }
}

/// The error of a request for one live query.
pub fn refusal(error: RestError, id: i64) -> anyhow::Error {
    match error {
        RestError::NotFound(_) => {
            anyhow::anyhow!("there is no live query {id}; list live queries with: fleetctl query list --all")
        }
        error => error.into(),
    }
}

fn print<T: Serialize>(items: &[T], format: JobFormat) -> anyhow::Result<()> {
    let mut text = String::new();
    for item in items {
        if format.json {
            text.push_str(&serde_json::to_string(item).context("cannot print the response")?);
            text.push('\n');
        } else {
            text.push_str("---\n");
            text.push_str(&documents::to_yaml(item)?);
        }
    }
    output::data(&text)
}

impl JobFormat {
    /// Whether to print documents; otherwise tables are printed.
    fn is_wanted(self) -> bool {
        self.yaml || self.json
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::query::progress::tests::job;

    #[test]
    fn long_sql_is_shortened_in_lists() {
        assert_eq!(shortened("select  *\nfrom x"), "select * from x");
        assert_eq!(shortened(&"ü".repeat(61)), format!("{}…", "ü".repeat(60)));
    }

    #[test]
    fn a_description_has_everything() {
        let mut job = job(1, 0, 5, 5);
        job.query = "select *\nfrom users".to_owned();
        assert_eq!(
            description(&job),
            "Live query 7 is running: 5 of 6 targeted hosts answered\n  \
             pending       1 (offline or not asked yet) fleetctl query show 7 --state pending\n\
             Query:    select *\n          from users\n\
             Created:  2026-08-01 12:00:00Z by a@b.c\n\
             Deadline: 2026-08-01 13:00:00Z (1h0m later)\n\
             Online:   5 of 6 targeted hosts\n"
        );
        (job.rate, job.paused, job.given) = (50, true, 5);
        let text = description(&job);
        assert!(text.starts_with("Live query 7 is paused: 5 of 6"), "{text}");
        assert!(
            text.contains("Rate:     50 hosts per second; 5 of 6 targeted hosts have been given the query\n"),
            "{text}"
        );
        assert_eq!(row(&job)[1], "paused");
    }
}
