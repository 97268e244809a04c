//! The commands that the server sends to Redis, under load, by every way in turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use redis::{Value, from_redis_value};
use tokio::task::JoinSet;

use crate::ROUNDS;
use crate::config;
use crate::link::Purpose;
use crate::processes::Process;
use crate::script::{Call, ScriptStep};
use crate::ways::Way;

/// How long one way is measured at a time.
const WINDOW: Duration = Duration::from_millis(400);

/// Commands of other callers while large results are read or written: agents' claims, so many at one time, each so long
/// after the one before.
const CLAIMERS: usize = 4;
const BETWEEN_CLAIMS: Duration = Duration::from_millis(2);

/// Callers that append answers.
const ANSWERERS: usize = 16;

/// Hosts of one page, as in the server.
const PAGE: i64 = 32 * 1024;

/// Timeouts, long enough that a slow way is measured and not cut off.
const TIMEOUT: Duration = Duration::from_secs(20);

pub struct Bench {
    redis: Process,
    config: config::Redis,
    steps: Arc<Steps>,
    /// Jobs and hosts that were not used yet.
    next: AtomicI64,
    next_host: Arc<AtomicI64>,
}

struct Steps {
    open: ScriptStep,
    claim: ScriptStep,
    answer: ScriptStep,
    read: ScriptStep,
}

type NamedWay = (&'static str, Arc<Way>);

/// Of one window: calls a second, bytes a second, and how long calls took, in milliseconds.
#[derive(Default)]
struct Window {
    calls: f64,
    megabytes: f64,
    times: [f64; 2],
    claim_times: [f64; 2],
}

impl Bench {
    pub async fn start() -> Result<Self> {
        let redis = Process::redis(&[]).await?;
        let config =
            config::Redis { address: vec![redis.address()], read_timeout: TIMEOUT, ..config::Redis::default() };
        let steps = Steps {
            open: ScriptStep::of_a_job(include_str!("../../server/src/bus/redis/scripts/open.lua")),
            claim: ScriptStep::of_a_job(include_str!("../../server/src/bus/redis/scripts/claim.lua")),
            answer: ScriptStep::of_a_job(include_str!("../../server/src/bus/redis/scripts/answer.lua")),
            read: ScriptStep::of_a_job(include_str!("../../server/src/bus/redis/scripts/read.lua")),
        };
        Ok(Self { redis, config, steps: Arc::new(steps), next: AtomicI64::new(1), next_host: Arc::default() })
    }

    /// Readers read pieces of a job's answers while agents claim.
    pub async fn reads(&self, readers: i64, piece: i64, line: usize) -> Result<()> {
        let writer = Way::shared(&self.config, 1).await?;
        let (read_job, claim_job) = (self.open(&writer).await?, self.open(&writer).await?);
        let line_bytes = i64::try_from(line)?;
        let lines = (readers * piece * 2).clamp(8 << 20, 64 << 20) / line_bytes;
        for host in 0..lines {
            answer(&self.steps, &writer, read_job, host, &vec![b'x'; line - 1]).await?;
        }
        let ways = [
            ("server", Arc::new(Way::link(&self.config)?)),
            ("one connection, no limit", Arc::new(Way::shared(&self.config, 1000).await?)),
            ("one connection, 1 read at a time", Arc::new(Way::shared(&self.config, 1).await?)),
            ("one connection, 2 reads at a time", Arc::new(Way::shared(&self.config, 2).await?)),
            ("pool of 2 without PING", Arc::new(Way::own_pool(&self.config, 2)?)),
            ("pool of 4 without PING", Arc::new(Way::own_pool(&self.config, 4)?)),
            ("pool of 16 without PING", Arc::new(Way::own_pool(&self.config, 16)?)),
            ("deadpool-redis of 4", Arc::new(Way::pool(&self.config, 4)?)),
        ];
        // Claims have a connection of their own, as in the server, whichever way reads go.
        let claims = Arc::new(Way::link(&self.config)?);
        println!("\n{readers} readers, pieces of {} KiB, lines of {} KiB; claims meanwhile", piece >> 10, line >> 10);
        rounds(&ways, async |way| {
            let end = Instant::now() + WINDOW;
            let claiming = self.claims(&claims, claim_job, CLAIMERS, BETWEEN_CLAIMS, end);
            let mut reading = JoinSet::new();
            for reader in 0..readers {
                let (steps, way) = (Arc::clone(&self.steps), Arc::clone(way));
                let start = lines / readers * reader * line_bytes;
                reading.spawn(read_on(steps, way, read_job, start, piece, lines * line_bytes, end));
            }
            let (began, mut bytes, mut times) = (Instant::now(), 0, Vec::new());
            while let Some(read) = reading.join_next().await {
                let (read_bytes, read_times) = read??;
                bytes += read_bytes;
                times.extend(read_times);
            }
            let elapsed = began.elapsed().as_secs_f64();
            let mut claim_times = all(claiming).await?;
            Ok(Window {
                calls: times.len() as f64 / elapsed,
                megabytes: bytes as f64 / 1e6 / elapsed,
                times: percentiles(&mut times),
                claim_times: percentiles(&mut claim_times),
            })
        })
        .await?;
        self.redis.ask(&["flushall"])?;
        Ok(())
    }

    /// Only claims, as fast as they go.
    pub async fn steps(&self, callers: usize) -> Result<()> {
        let job = self.open(&Way::shared(&self.config, 1).await?).await?;
        let ways = self.small_ways()?;
        println!("\n{callers} callers that claim");
        rounds(&ways, async |way| {
            let began = Instant::now();
            let mut times = all(self.claims(way, job, callers, Duration::ZERO, began + WINDOW)).await?;
            let calls = times.len() as f64 / began.elapsed().as_secs_f64();
            Ok(Window { calls, times: percentiles(&mut times), ..Window::default() })
        })
        .await?;
        self.redis.ask(&["flushall"])?;
        Ok(())
    }

    /// Answers are appended, and agents claim by the same way, as in the server.
    pub async fn answers(&self, line: usize) -> Result<()> {
        let opener = Way::shared(&self.config, 1).await?;
        let ways = self.small_ways()?;
        println!("\n{ANSWERERS} callers that append answers of {} KiB; claims meanwhile", line >> 10);
        rounds(&ways, async |way| {
            let (job, claim_job) = (self.open(&opener).await?, self.open(&opener).await?);
            let (began, end) = (Instant::now(), Instant::now() + WINDOW);
            let claiming = self.claims(way, claim_job, 1, BETWEEN_CLAIMS, end);
            let mut answering = JoinSet::new();
            for _ in 0..ANSWERERS {
                let (steps, way, next) = (Arc::clone(&self.steps), Arc::clone(way), Arc::clone(&self.next_host));
                answering.spawn(async move {
                    let (text, mut times) = (vec![b'x'; line - 1], Vec::new());
                    while Instant::now() < end {
                        let began = Instant::now();
                        answer(&steps, &way, job, next.fetch_add(1, Ordering::Relaxed), &text).await?;
                        times.push(began.elapsed().as_secs_f64() * 1e3);
                    }
                    Ok(times)
                });
            }
            let mut times = all(answering).await?;
            let calls = times.len() as f64 / began.elapsed().as_secs_f64();
            let mut claim_times = all(claiming).await?;
            self.redis.ask(&["flushall"])?;
            Ok(Window {
                calls,
                megabytes: calls * line as f64 / 1e6,
                times: percentiles(&mut times),
                claim_times: percentiles(&mut claim_times),
            })
        })
        .await
    }

    fn small_ways(&self) -> Result<[NamedWay; 4]> {
        Ok([
            ("server", Arc::new(Way::link(&self.config)?)),
            ("pool of 4 without PING", Arc::new(Way::own_pool(&self.config, 4)?)),
            ("pool of 16 without PING", Arc::new(Way::own_pool(&self.config, 16)?)),
            ("deadpool-redis of 16", Arc::new(Way::pool(&self.config, 16)?)),
        ])
    }

    async fn open(&self, way: &Way) -> Result<i64> {
        let job = self.next.fetch_add(1, Ordering::Relaxed);
        let keys = [key(job, "meta"), key(job, "events"), key(job, "lines")];
        let call = Call::Script {
            step: &self.steps.open,
            keys: &keys,
            arguments: &[b"".as_slice(), b"0", b"3600000", b"", b"", b"0"],
        };
        way.call(Purpose::Job, job, call).await?;
        Ok(job)
    }

    fn claims(
        &self,
        way: &Arc<Way>,
        job: i64,
        callers: usize,
        pause: Duration,
        end: Instant,
    ) -> JoinSet<Result<Vec<f64>>> {
        let mut claiming = JoinSet::new();
        for _ in 0..callers {
            let (steps, way, next) = (Arc::clone(&self.steps), Arc::clone(way), Arc::clone(&self.next_host));
            claiming.spawn(async move {
                let mut times = Vec::new();
                while Instant::now() < end {
                    let began = Instant::now();
                    claim(&steps, &way, job, next.fetch_add(1, Ordering::Relaxed)).await?;
                    times.push(began.elapsed().as_secs_f64() * 1e3);
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                }
                Ok(times)
            });
        }
        claiming
    }
}

/// Reads a job's answers again and again, and gives the bytes and how long each piece took.
async fn read_on(
    steps: Arc<Steps>,
    way: Arc<Way>,
    job: i64,
    start: i64,
    piece: i64,
    length: i64,
    end: Instant,
) -> Result<(usize, Vec<f64>)> {
    let (mut cursor, mut bytes, mut times) = (start, 0, Vec::new());
    let keys = [key(job, "meta"), key(job, "lines")];
    while Instant::now() < end {
        if cursor + piece > length {
            cursor = 0;
        }
        let (first, last) = ((cursor + 1).to_string(), (cursor + piece).to_string());
        let arguments = [b"".as_slice(), first.as_bytes(), last.as_bytes(), b"10000"];
        let began = Instant::now();
        let read = way.call(Purpose::Read, job, Call::Script { step: &steps.read, keys: &keys, arguments: &arguments });
        let (_, _, _, lines): (i64, Value, Value, Vec<(String, Vec<Vec<u8>>)>) = from_redis_value(read.await?)?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        let read_bytes: usize = lines.iter().map(|(_, fields)| fields[1].len() + 1).sum();
        if read_bytes == 0 {
            bail!("nothing was read behind {cursor}");
        }
        bytes += read_bytes;
        cursor += i64::try_from(read_bytes)?;
    }
    Ok((bytes, times))
}

async fn claim(steps: &Steps, way: &Way, job: i64, host: i64) -> Result<()> {
    let keys = [key(job, "meta"), key(job, "events"), key(job, &format!("hosts:{}", host / PAGE))];
    let bits = format!("#{}", host % PAGE);
    let arguments = [b"".as_slice(), bits.as_bytes(), b"0123456789abcdef", b"1"];
    is_taken(
        way.call(Purpose::Job, job, Call::Script { step: &steps.claim, keys: &keys, arguments: &arguments }).await?,
    )
}

async fn answer(steps: &Steps, way: &Way, job: i64, host: i64, line: &[u8]) -> Result<()> {
    let page = key(job, &format!("hosts:{}", host / PAGE));
    let keys = [key(job, "meta"), key(job, "events"), page, key(job, "lines")];
    let bits = format!("#{}", host % PAGE);
    let arguments = [b"".as_slice(), bits.as_bytes(), b"0123456789abcdef", b"1", line];
    let call = Call::Script { step: &steps.answer, keys: &keys, arguments: &arguments };
    let (taken, _, _): (Value, Value, Value) = from_redis_value(way.call(Purpose::Answer, job, call).await?)?;
    is_taken(taken)
}

fn is_taken(answer: Value) -> Result<()> {
    match answer {
        Value::Int(1) => Ok(()),
        other => bail!("Redis did not take it: {other:?}"),
    }
}

fn key(job: i64, name: &str) -> String {
    format!("{{muster:live:{job}}}:{name}")
}

async fn all(mut tasks: JoinSet<Result<Vec<f64>>>) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    while let Some(task) = tasks.join_next().await {
        times.extend(task??);
    }
    Ok(times)
}

/// The median and the 99th percentile.
fn percentiles(times: &mut [f64]) -> [f64; 2] {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
    [at(0.5), at(0.99)]
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    percentiles(&mut values)[0]
}

/// Measures every way once a round and prints medians; ratios are those of one round to the first way.
async fn rounds(ways: &[NamedWay], measure: impl AsyncFn(&Arc<Way>) -> Result<Window>) -> Result<()> {
    let mut windows: Vec<Vec<Window>> = ways.iter().map(|_| Vec::new()).collect();
    for (_, way) in ways {
        // Connections are made now.
        measure(way).await?;
    }
    for round in 0..ROUNDS {
        for offset in 0..ways.len() {
            // Odd rounds go backwards, so that no way always follows the same one.
            let index = (round + if round % 2 == 0 { offset } else { ways.len() - offset }) % ways.len();
            windows[index].push(measure(&ways[index].1).await?);
        }
    }
    println!("| Way | calls/s | MB/s | ratio | p50 ms | p99 ms | claim p50 ms | claim p99 ms | ratio |");
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for (index, (name, _)) in ways.iter().enumerate() {
        let of = |value: fn(&Window) -> f64| median(windows[index].iter().map(value));
        let to_first = |value: fn(&Window) -> f64| {
            median(windows[index].iter().zip(&windows[0]).map(|(one, first)| value(one) / value(first)))
        };
        print!("| {name} | {:.0} | {:.0} | {:.2} ", of(|w| w.calls), of(|w| w.megabytes), to_first(|w| w.calls));
        print!("| {:.2} | {:.2} ", of(|w| w.times[0]), of(|w| w.times[1]));
        print!("| {:.2} | {:.2} ", of(|w| w.claim_times[0]), of(|w| w.claim_times[1]));
        println!("| {:.2} |", to_first(|w| w.claim_times[1]));
    }
    Ok(())
}
