//! `muster doctor`: looks at what a server with these settings needs, and says what is wrong with it and what to do. It changes
//! nothing, makes no file, and ends within a bounded time whatever hangs.

mod certificate;
mod clock;
mod database;
mod disk;
mod documents;
mod open_files;
mod ports;
mod proxies;
mod redis;
mod secrets;

use std::cmp::Reverse;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::clock::Clock;
use crate::config::Config;

/// The subjects, in the order in which they are told and documented.
const SUBJECTS: [&str; 10] =
    ["ports", "certificate", "clock", "open files", "disk", "documents", "database", "redis", "proxies", "secrets"];

/// Longest time for the checks of one subject; subjects are looked at side by side.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Ok,
    /// The server works; somebody should look.
    Warn,
    /// The server does not start, or does not keep its promises.
    Fail,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        })
    }
}

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    pub subject: &'static str,
    pub severity: Severity,
    pub found: String,
    /// What to do; nothing if all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Diagnosis {
    fn ok(subject: &'static str, found: impl Into<String>) -> Self {
        Self { subject, severity: Severity::Ok, found: found.into(), remedy: None }
    }

    fn warn(subject: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { subject, severity: Severity::Warn, found: found.into(), remedy: Some(remedy.into()) }
    }

    fn fail(subject: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Fail, ..Self::warn(subject, found, remedy) }
    }
}

/// One line for each, the worst first and otherwise in the order of subjects, and a line that counts them.
pub fn as_text(diagnoses: &[Diagnosis]) -> String {
    let mut text = String::new();
    let mut sorted: Vec<&Diagnosis> = diagnoses.iter().collect();
    sorted.sort_by_key(|diagnosis| Reverse(diagnosis.severity));
    for Diagnosis { subject, severity, found, remedy } in sorted {
        let line = match remedy {
            Some(remedy) => format!("{severity:<4} {subject}: {found}; {remedy}"),
            None => format!("{severity:<4} {subject}: {found}"),
        };
        // Errors of others may have several lines.
        let _ = writeln!(text, "{}", line.split(['\n', '\r']).map(str::trim).collect::<Vec<_>>().join(" "));
    }
    text + &summary(diagnoses) + "\n"
}

/// How many diagnoses there are of each severity, and what that means.
fn summary(diagnoses: &[Diagnosis]) -> String {
    let number = |severity| diagnoses.iter().filter(|diagnosis| diagnosis.severity == severity).count();
    let (fail, warn, ok) = (number(Severity::Fail), number(Severity::Warn), number(Severity::Ok));
    let meaning = match worst(diagnoses) {
        Severity::Ok => "all is well",
        Severity::Warn => "the server works; look at what is warned of",
        Severity::Fail => "the server does not start, or does not keep its promises, until what fails is mended",
    };
    format!("{fail} FAIL, {warn} warn, {ok} ok: {meaning}")
}

/// An object with the worst `severity` and the list `diagnoses`.
pub fn as_json(diagnoses: &[Diagnosis]) -> String {
    let json = serde_json::json!({ "severity": worst(diagnoses), "diagnoses": diagnoses });
    format!("{json:#}\n")
}

/// The worst of all.
pub fn worst(diagnoses: &[Diagnosis]) -> Severity {
    diagnoses.iter().map(|diagnosis| diagnosis.severity).max().unwrap_or(Severity::Ok)
}

/// Looks at everything. In the order of subjects.
pub async fn diagnose(config: Config, clock: Clock) -> Vec<Diagnosis> {
    let (config, now) = (Arc::new(config), clock.now());
    let all = tokio::join!(
        in_time("ports", ports::check(&config)),
        on_thread("certificate", &config, move |config| certificate::check(config, now)),
        on_thread("clock", &config, move |_| clock::check(now)),
        on_thread("open files", &config, open_files::check),
        on_thread("disk", &config, disk::check),
        on_thread("documents", &config, documents::check),
        in_time("database", database::check(&config, &clock)),
        in_time("redis", redis::check(&config, &clock)),
        on_thread("proxies", &config, proxies::check),
        on_thread("secrets", &config, secrets::check),
    );
    let (a, b, c, d, e, f, g, h, i, j) = all;
    let mut all = [a, b, c, d, e, f, g, h, i, j].concat();
    // The clock of the database, for one, is found with the database.
    all.sort_by_key(|diagnosis| SUBJECTS.iter().position(|subject| *subject == diagnosis.subject));
    all
}

async fn in_time(subject: &'static str, check: impl Future<Output = Vec<Diagnosis>>) -> Vec<Diagnosis> {
    tokio::time::timeout(CHECK_TIMEOUT, check).await.unwrap_or_else(|_| {
        let found = format!("the check has not ended within {} s", CHECK_TIMEOUT.as_secs());
        vec![Diagnosis::fail(subject, found, "look whether a disk, a name server or a network hangs")]
    })
}

/// For what may block, as a folder on a server that is away does.
async fn on_thread(
    subject: &'static str,
    config: &Arc<Config>,
    check: impl FnOnce(&Config) -> Vec<Diagnosis> + Send + 'static,
) -> Vec<Diagnosis> {
    let config = Arc::clone(config);
    let checked = tokio::task::spawn_blocking(move || check(&config));
    in_time(subject, async {
        checked.await.unwrap_or_else(|_| vec![Diagnosis::fail(subject, "the check has crashed", "report it")])
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_diagnosis_is_a_line_and_the_worst_one_counts() {
        let all = [
            Diagnosis::ok("ports", "127.0.0.1:8080 is free"),
            Diagnosis::warn("disk", "little room", "make room"),
            Diagnosis::fail("redis", "refused:\n  connection", "start it"),
        ];
        assert_eq!(
            as_text(&all),
            "FAIL redis: refused: connection; start it\nwarn disk: little room; make room\nok   ports: 127.0.0.1:8080 is free\n\
             1 FAIL, 1 warn, 1 ok: the server does not start, or does not keep its promises, until what fails is mended\n"
        );
        assert_eq!(worst(&all), Severity::Fail);
        assert_eq!(worst(&all[..2]), Severity::Warn);
        assert!(as_text(&all[..1]).ends_with("0 FAIL, 0 warn, 1 ok: all is well\n"));
        let json: serde_json::Value = serde_json::from_str(&as_json(&all)).unwrap();
        assert_eq!(json["severity"], "fail");
        assert_eq!(json["diagnoses"][0].get("remedy"), None);
    }
}
