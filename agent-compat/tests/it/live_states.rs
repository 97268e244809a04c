//! Recorded answers as answers to live queries of this server: in which state does each leave its host?

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::harness::{CompatServer, RecordedRequest, recording};
use agent_compat::agent::AgentEndpoint;
use anyhow::{Context as _, Result};
use muster::clock::Clock;
use serde_json::{Value, json};

use crate::one;

const PREFIX: &str = "fleet_distributed_query_";

/// Past the time in which an agent repeats an answer.
const RETRY_WINDOW: Duration = Duration::from_secs(25);

/// A recorded name, and the state and the message its host must end with.
type State = (&'static str, (&'static str, &'static str));

/// A host that is asked what was asked when its answers were recorded.
struct AskedHost {
    server: CompatServer,
    clock: Clock,
    key: String,
    /// Live queries by the names recorded answers have.
    jobs: BTreeMap<String, i64>,
}

impl AskedHost {
    async fn start(key: &str) -> Result<Self> {
        let clock = Clock::manual(Clock::system().now());
        let server = CompatServer::start_by(clock.clone()).await?;
        let host_id = server.enroll_recorded(&one(1)?).await?;
        server.seed_key(key, host_id)?;
        Ok(Self { server, clock, key: key.to_owned(), jobs: BTreeMap::new() })
    }

    /// Asks under a recorded name.
    async fn ask(&mut self, name: &str) -> Result<i64> {
        let request = json!({ "query": format!("SELECT '{name}'"), "targets": { "all": true } });
        let made = self.server.operate("/api/v1/fleet/live_queries", &request).await?;
        let id = made["live_query"]["id"].as_i64().context("no id")?;
        self.jobs.insert(name.to_owned(), id);
        Ok(id)
    }

    /// Fetches work; the live queries in it.
    async fn read(&self) -> Result<BTreeSet<i64>> {
        let answer = self.server.send(&one(17)?.with_key(&self.key)).await?.json();
        let queries = answer["queries"].as_object().context("no queries")?;
        Ok(queries.keys().filter_map(|name| name.strip_prefix(PREFIX)?.parse().ok()).collect())
    }

    async fn config(&self) -> Result<()> {
        let sent = self.server.send(&one(3)?.with_key(&self.key)).await?;
        assert!(sent.verdict.is_success(), "{}", sent.text());
        Ok(())
    }

    /// Sends a recorded write in which the names are those of this server's live queries.
    async fn write(&self, recorded: &RecordedRequest) -> Result<()> {
        let mut body = recorded.body.clone();
        for (name, id) in &self.jobs {
            body = replace_all(&body, format!("\"{name}\":").as_bytes(), format!("\"{PREFIX}{id}\":").as_bytes());
        }
        let sent = self.server.send(&recorded.with_body(body)).await?;
        assert!(sent.verdict.is_success(), "{}: {}", recorded.name, sent.text());
        Ok(())
    }

    /// The one answer that is kept.
    fn answer(&self, name: &str) -> Result<Value> {
        let mut answers = self.server.live_answers(self.jobs[name])?;
        assert_eq!(answers.len(), 1, "{name}: {answers:?}");
        Ok(answers.remove(0))
    }

    fn state(&self, name: &str) -> Result<String> {
        Ok(self.answer(name)?["state"].as_str().unwrap_or_default().to_owned())
    }
}

fn replace_all(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// Asks what a recorded write answers, sends it twice, and gives what is kept.
async fn replay(number: u32, names: &[&str]) -> Result<AskedHost> {
    let recorded = one(number)?;
    let mut asked = AskedHost::start(recorded.header_key.as_deref().context("no key")?).await?;
    for name in names {
        asked.ask(name).await?;
    }
    assert_eq!(asked.read().await?, asked.jobs.values().copied().collect());
    asked.write(&recorded).await?;
    // As after an acknowledgement that was lost.
    asked.write(&recorded).await?;
    Ok(asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_answers_leave_their_host_in_the_right_state() -> Result<()> {
    let answered = ("answered", "");
    let cases: &[(u32, &[State])] = &[
        (18, &[("q_ok", answered)]),
        (
            20,
            &[
                ("q_empty", answered),
                ("q_err", ("failed", "no such table: no_such_table")),
                ("q_syntax", ("failed", "near \"selec\": syntax error")),
                ("q_types", answered),
            ],
        ),
        (22, &[("d_none", answered), ("d_yes", answered)]),
        (26, &[("sched", answered)]),
        (27, &[("dburn2", ("denylisted", "distributed query is denylisted")), ("dsmall2", answered)]),
        (28, &[("b", answered)]),
        (29, &[("comment", answered), ("dup", answered), ("multi", ("failed", "map::at"))]),
    ];
    for (number, states) in cases {
        let names: Vec<&str> = states.iter().map(|(name, _)| *name).collect();
        let asked = replay(*number, &names).await.with_context(|| number.to_string())?;
        for (name, (state, error)) in *states {
            let answer = asked.answer(name)?;
            assert_eq!(answer["state"], *state, "{number} {name}: {answer}");
            assert_eq!(answer["error"].as_str().unwrap_or_default(), *error, "{number} {name}: {answer}");
        }
        assert_eq!(asked.read().await?, BTreeSet::new(), "nothing is asked again");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_are_kept_as_far_as_they_are() -> Result<()> {
    let asked = replay(28, &["b"]).await?;
    let answer = asked.answer("b")?;
    let row = &answer["rows"][0];
    assert_eq!(row["blob"], "A\u{fffd}B", "{answer}");
    assert_eq!(row["ctl"], "\u{1}x\u{1f}\u{7f}\t");
    assert_eq!(row["html"], "</script>");
    assert_eq!(row["esc"], "a/b\\c\"");
    Ok(())
}

/// The recorded agent's worker was killed while it ran `dburn`: of what it had fetched it reports `dsmall` alone, and the
/// next time refuses.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_killed_the_worker_is_suspect_and_then_denylisted() -> Result<()> {
    let name = "51-watchdog-denylist.tsv";
    let writes: Vec<RecordedRequest> = recording(name)?
        .into_iter()
        .map(|(_, request)| request)
        .filter(|request| request.endpoint() == Some(AgentEndpoint::DistributedWrite))
        .collect();
    let with = |text: &str| {
        let found = writes.iter().find(|write| String::from_utf8_lossy(&write.body).contains(text));
        found.with_context(|| format!("{name}: no write has {text}"))
    };
    let (small, refused) = (with("\"dsmall\"")?, with("\"dburn2\"")?);
    let mut asked = AskedHost::start(small.header_key.as_deref().context("no key")?).await?;
    // The server learns how often it fetches its config.
    for _ in 0..3 {
        asked.config().await?;
        asked.clock.advance(Duration::from_secs(60));
    }
    let (burn, dsmall) = (asked.ask("dburn").await?, asked.ask("dsmall").await?);
    assert_eq!(asked.read().await?, [burn, dsmall].into());
    // Killed; the new worker fetches its config, and reports what was done.
    asked.config().await?;
    asked.write(small).await?;
    assert_eq!(asked.state("dsmall")?, "answered");
    assert_eq!(asked.server.live_answers(burn)?, [Value::Null; 0], "the answer has not come");
    asked.clock.advance(RETRY_WINDOW);
    assert_eq!(asked.read().await?, [burn].into(), "asked once more, alone");
    // Long before its time, and no part of it either.
    asked.clock.advance(Duration::from_secs(17));
    asked.config().await?;
    asked.clock.advance(RETRY_WINDOW);
    assert_eq!(asked.read().await?, BTreeSet::new());
    assert_eq!(asked.state("dburn")?, "suspect");

    let (burn, dsmall) = (asked.ask("dburn2").await?, asked.ask("dsmall2").await?);
    assert_eq!(asked.read().await?, [burn, dsmall].into());
    asked.write(refused).await?;
    assert_eq!((asked.state("dburn2")?.as_str(), asked.state("dsmall2")?.as_str()), ("denylisted", "answered"));
    Ok(())
}
