//! Results, as JSON and as a table.

use std::{fmt::Write as _, time::Duration};

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::{
    buffer::LineCount,
    live::LiveCurve,
    measure::{Endpoint, Fault, Tally, share},
    options::{Mode, Options},
    process::Usage,
    slices::Slices,
    verify::Verified,
};

/// Everything a run found out.
#[derive(Clone, Debug)]
pub struct Report {
    pub(super) settings: Value,
    /// The run, as it stands in the identity of every line.
    pub run: u32,
    /// When it started, in milliseconds of Unix time.
    pub(super) start_unix_ms: u64,
    pub(super) mode: Mode,
    pub(super) elapsed: Duration,
    pub(super) steady: Duration,
    /// Agents: all, enrolled at least once, with a config.
    pub agents: [u64; 3],
    /// Ramp and steady phase, by endpoint.
    pub tallies: [Vec<Tally>; 2],
    /// Results and statuses.
    pub lines: [LineCount; 2],
    pub(super) slices: Slices,
    pub(super) generator: Option<(Usage, Usage)>,
    pub(super) connections_opened: u64,
    pub(super) server: Option<(u32, Usage, Usage)>,
    /// Live queries in the order they were asked.
    pub live: Vec<LiveCurve>,
    /// What `--destination` held.
    pub verified: Option<Verified>,
    /// Thresholds that were passed, in words.
    pub failed: Vec<String>,
}

impl Report {
    /// The numbers of the whole run.
    #[must_use]
    pub fn whole(&self, endpoint: Endpoint) -> Tally {
        let mut whole = self.tallies[0][endpoint as usize].clone();
        whole.add(&self.tallies[1][endpoint as usize]);
        whole
    }

    fn steady(&self, endpoint: Endpoint) -> &Tally {
        &self.tallies[1][endpoint as usize]
    }

    fn steady_requests(&self) -> u64 {
        Endpoint::ALL.iter().map(|endpoint| self.steady(*endpoint).requests).sum()
    }

    /// Compares with what was allowed.
    pub(super) fn judge(&mut self, options: &Options) {
        let whole: Vec<Tally> = Endpoint::ALL.iter().map(|endpoint| self.whole(*endpoint)).collect();
        let sum = |count: fn(&Tally) -> u64| whole.iter().map(count).sum::<u64>();
        let mut failed = Vec::new();
        let errors = sum(Tally::errors);
        if let Some(max) = options.max_errors.filter(|max| errors > *max) {
            failed.push(format!("max-errors: {errors} errors, allowed {max}"));
        }
        let wrong = sum(|tally| tally.faults_of(Fault::WrongConfig) + tally.faults_of(Fault::WrongWork));
        if wrong > options.max_wrong {
            let configs = sum(|tally| tally.faults_of(Fault::WrongConfig));
            let work = wrong - configs;
            failed.push(format!(
                "max-wrong: {configs} configs and {work} questions were for another host, allowed {}",
                options.max_wrong
            ));
        }
        for (endpoint, max) in &options.max_p99 {
            let p99 = quantile(&self.steady(*endpoint).latency, 0.99);
            if p99 > *max {
                failed.push(format!("max-p99: {} took {p99:.1} ms at p99, allowed {max:.1}", endpoint.name()));
            }
        }
        for endpoint in Endpoint::ALL {
            let slow = self.steady(endpoint).slow_share();
            if let Some(max) = options.max_slow.filter(|max| slow > *max) {
                failed.push(format!(
                    "max-slow: {:.3} % of {} took more than {} ms, allowed {:.3} %",
                    slow * 100.0,
                    endpoint.name(),
                    options.slow_ms,
                    max * 100.0
                ));
            }
        }
        let late = self.late_share();
        if let Some(max) = options.max_late.filter(|max| late > *max) {
            failed.push(format!("max-late: {:.3} % began late, allowed {:.3} %", late * 100.0, max * 100.0));
        }
        if let Some(verified) = &self.verified {
            failed.extend(verified.failures(options.max_lost, options.max_doubled));
        }
        self.failed = failed;
    }

    fn late_share(&self) -> f64 {
        share(self.tallies[1].iter().map(|tally| tally.late).sum(), self.steady_requests())
    }

    /// The results as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let seconds = self.steady.as_secs_f64();
        let by_name = |tally: &dyn Fn(Endpoint) -> Tally, seconds: f64| {
            let entries = Endpoint::ALL
                .iter()
                .map(|endpoint| (endpoint.name().to_owned(), tally_json(&tally(*endpoint), seconds)));
            Value::Object(entries.collect::<Map<_, _>>())
        };
        let requests = self.steady_requests();
        let sum = |count: fn(&Tally) -> u64| self.tallies[1].iter().map(count).sum::<u64>();
        let slow = sum(|tally| tally.slow);
        let mut json = json!({
            "version": 1,
            "settings": self.settings,
            "run": format!("{:08x}", self.run),
            "start_unix_ms": self.start_unix_ms,
            "elapsed_ms": millis(self.elapsed),
            "steady_ms": millis(self.steady),
            "agents": {"total": self.agents[0], "enrolled": self.agents[1], "configured": self.agents[2]},
            "endpoints": by_name(&|endpoint| self.steady(endpoint).clone(), seconds),
            "whole_run": by_name(&|endpoint| self.whole(endpoint), self.elapsed.as_secs_f64()),
            "total": {
                "requests": requests,
                "rate": round(requests as f64 / seconds),
                "errors": sum(Tally::errors),
                "late": sum(|tally| tally.late),
                "slow": slow,
                "slow_share": share(slow, requests),
                "bytes_out": sum(|tally| tally.bytes_out),
                "bytes_in": sum(|tally| tally.bytes_in),
            },
            "lines": {"results": self.lines[0], "statuses": self.lines[1]},
            "live": self.live,
        });
        if let Some((before, after)) = &self.generator {
            let cpu = after.cpu.saturating_sub(before.cpu);
            json["generator"] = json!({
                "cpu_s": cpu.as_secs_f64(),
                "cpu_us_per_request": per_request(cpu, requests),
                "rss_bytes": after.rss_bytes,
                "peak_rss_bytes": after.peak_rss_bytes,
                "connections_opened": self.connections_opened,
            });
        }
        if let Some((pid, before, after)) = &self.server {
            let cpu = after.cpu.saturating_sub(before.cpu);
            json["server"] = json!({
                "pid": pid,
                "cpu_s": cpu.as_secs_f64(),
                "cpu_us_per_request": per_request(cpu, requests),
                "rss_start_bytes": before.rss_bytes,
                "rss_end_bytes": after.rss_bytes,
                "peak_rss_bytes": after.peak_rss_bytes,
            });
        }
        if let Some(verified) = &self.verified {
            json["verify"] = serde_json::to_value(verified).unwrap_or_default();
        }
        if let Some(slices) = self.slices.json() {
            json["slices"] = slices;
        }
        json["failed"] = json!(self.failed);
        json
    }

    /// The results for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::new();
        let mode = if self.mode == Mode::Balanced { "balanced" } else { "direct" };
        // Writing to a string has no way to fail, here and below.
        let _ = writeln!(
            out,
            "{} agents, {mode}: {} enrolled, {} configured; steady phase of {:.1} s",
            self.agents[0],
            self.agents[1],
            self.agents[2],
            self.steady.as_secs_f64()
        );
        let _ = writeln!(
            out,
            "\n{:<8} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8} {:>8} {:>8}",
            "", "requests", "per s", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "sent p50", "late", "slow", "errors"
        );
        for endpoint in Endpoint::ALL {
            let enrolls = endpoint == Endpoint::Enroll;
            // Agents enroll in the ramp, if all goes well.
            let tally = if enrolls { self.whole(endpoint) } else { self.steady(endpoint).clone() };
            let seconds = if enrolls { self.elapsed } else { self.steady };
            let _ = writeln!(
                out,
                "{:<8} {:>10} {:>9.1} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>8} {:>8} {:>8}",
                endpoint.name(),
                tally.requests,
                tally.requests as f64 / seconds.as_secs_f64(),
                quantile(&tally.latency, 0.5),
                quantile(&tally.latency, 0.99),
                quantile(&tally.latency, 0.999),
                tally.latency.max() as f64 / 1000.0,
                quantile(&tally.service, 0.5),
                tally.late,
                tally.slow,
                tally.errors(),
            );
        }
        self.push_faults(&mut out);
        let [results, statuses] = self.lines;
        let _ = writeln!(
            out,
            "\nlines      {} made, {} acknowledged, {} dropped; statuses {} made, {} acknowledged",
            results.made, results.acknowledged, results.dropped, statuses.made, statuses.acknowledged
        );
        if let Some((before, after)) = &self.generator {
            push_usage(&mut out, "generator", before, after, self.steady_requests());
        }
        if let Some((_, before, after)) = &self.server {
            push_usage(&mut out, "server", before, after, self.steady_requests());
        }
        for live in &self.live {
            push_live(&mut out, live);
        }
        if let Some(verified) = &self.verified {
            out.push_str(&verified.text());
        }
        if self.late_share() > 0.01 {
            out.push_str(
                "\nMore than 1 % of requests began late: generator or connections could not keep up, and latencies are \
                 partly their own. Try more --connections or --threads, or a machine of its own.\n",
            );
        }
        out
    }

    fn push_faults(&self, out: &mut String) {
        let mut has_any = false;
        for endpoint in Endpoint::ALL {
            let whole = self.whole(endpoint);
            for fault in Fault::ALL {
                let count = whole.faults_of(fault);
                if count == 0 {
                    continue;
                }
                if !has_any {
                    out.push_str("\nerrors over the whole run\n");
                    has_any = true;
                }
                let example = whole.examples[fault as usize].as_deref().unwrap_or_default();
                let short: String = example.chars().take(140).collect();
                let _ = writeln!(out, "  {:<8} {:<13} {count:>8}  {short}", endpoint.name(), fault.name());
            }
            if whole.missed > 0 {
                let _ = writeln!(
                    out,
                    "  {:<8} {:<13} {:>8}  left out because the agent was busy",
                    endpoint.name(),
                    "missed",
                    whole.missed
                );
            }
        }
    }
}

impl Verified {
    /// Which of these bounds are passed, in words.
    #[must_use]
    pub fn failures(&self, max_lost: u64, max_doubled: u64) -> Vec<String> {
        let mut failed = Vec::new();
        let such = |examples: &[String]| examples.first().map(|tag| format!(", such as {tag}")).unwrap_or_default();
        if self.lost > max_lost {
            let example = such(&self.examples.lost);
            failed.push(format!("max-lost: {} lines were lost{example}; allowed {max_lost}", self.lost));
        }
        if self.doubled > max_doubled {
            let example = such(&self.examples.doubled);
            failed
                .push(format!("max-doubled: {} lines stand there again{example}; allowed {max_doubled}", self.doubled));
        }
        failed
    }

    /// The counts in one line.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "verified   {} acknowledged, {} found, {} lost, {} doubled; {} in doubt, {} unacknowledged, {} foreign\n",
            self.acknowledged, self.found, self.lost, self.doubled, self.in_doubt, self.unacknowledged, self.foreign
        )
    }
}

fn push_usage(out: &mut String, who: &str, before: &Usage, after: &Usage, requests: u64) {
    let cpu = after.cpu.saturating_sub(before.cpu);
    let _ = writeln!(
        out,
        "{who:<10} {:.2} s CPU in the steady phase, {:.1} us a request; {:.1} MiB resident, {:.1} MiB at most",
        cpu.as_secs_f64(),
        per_request(cpu, requests),
        after.rss_bytes as f64 / 1_048_576.0,
        after.peak_rss_bytes as f64 / 1_048_576.0,
    );
}

fn push_live(out: &mut String, live: &LiveCurve) {
    let time = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{:.2} s", ms as f64 / 1000.0));
    let states: Vec<String> = live.states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let _ = writeln!(
        out,
        "live {:<5} {} targets: 50 % after {}, 90 % {}, 99 % {}, all {}; {}",
        live.id,
        live.targets,
        time(live.t50_ms),
        time(live.t90_ms),
        time(live.t99_ms),
        time(live.t100_ms),
        states.join(", ")
    );
    if let Some(error) = &live.error {
        let _ = writeln!(out, "           {error}");
    }
}

fn tally_json(tally: &Tally, seconds: f64) -> Value {
    let kinds: Map<String, Value> =
        Fault::ALL.iter().map(|fault| (fault.name().to_owned(), tally.faults_of(*fault).into())).collect();
    let examples: Map<String, Value> = Fault::ALL
        .iter()
        .filter_map(|fault| Some((fault.name().to_owned(), tally.examples[*fault as usize].clone()?.into())))
        .collect();
    json!({
        "requests": tally.requests,
        "rate": round(tally.requests as f64 / seconds),
        "latency_ms": times_json(&tally.latency),
        "service_ms": times_json(&tally.service),
        "late": tally.late,
        "late_max_ms": millis(tally.late_max),
        "slow": tally.slow,
        "slow_share": tally.slow_share(),
        "missed": tally.missed,
        "resent": tally.resent,
        "errors": tally.errors(),
        "errors_by_kind": kinds,
        "examples": examples,
        "bytes_out": tally.bytes_out,
        "bytes_in": tally.bytes_in,
    })
}

fn times_json(times: &Histogram<u64>) -> Value {
    json!({
        "p50": quantile(times, 0.5),
        "p90": quantile(times, 0.9),
        "p99": quantile(times, 0.99),
        "p999": quantile(times, 0.999),
        "max": if times.is_empty() { 0.0 } else { times.max() as f64 / 1000.0 },
        "mean": round(times.mean() / 1000.0),
    })
}

/// Milliseconds; 0 of nothing.
fn quantile(times: &Histogram<u64>, quantile: f64) -> f64 {
    if times.is_empty() { 0.0 } else { times.value_at_quantile(quantile) as f64 / 1000.0 }
}

fn per_request(cpu: Duration, requests: u64) -> f64 {
    if requests == 0 { 0.0 } else { round(cpu.as_secs_f64() * 1e6 / requests as f64) }
}

fn round(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

fn millis(time: Duration) -> f64 {
    round(time.as_secs_f64() * 1000.0)
}
