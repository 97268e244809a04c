//! The command line of `loadtest run`, and what it refuses.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::{measure::Endpoint, slices::MAX_SLICES, template::platform_words};

/// How agents reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Pooled keep-alive connections, as behind a load balancer.
    Balanced,
    /// A new connection for every request, as stock agents make them.
    Direct,
}

/// `loadtest run`.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Server: http:// or https://, host, port, and a path if it has a prefix. Repeat it for nodes of one cluster: each
    /// request goes to any of them, as through a load balancer; operators use the first.
    #[arg(long, value_name = "URL", default_value = "https://127.0.0.1:8080", help_heading = "Server")]
    pub server: Vec<String>,
    /// Trust the certificates in this PEM file.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure", help_heading = "Server")]
    pub ca: Option<PathBuf>,
    /// Trust any certificate, and verify no signature.
    #[arg(long, help_heading = "Server")]
    pub insecure: bool,
    /// Take a target that is not a loopback address. Load hurts: make sure that it is yours.
    #[arg(long, help_heading = "Server")]
    pub allow_remote: bool,
    /// Measure CPU and memory of this process over the steady phase (Linux).
    #[arg(long, value_name = "PID", help_heading = "Server")]
    pub server_pid: Option<u32>,
    /// Make the first user if there is none, or log in, and apply the standard profile; agents then check their configs.
    #[arg(long, help_heading = "Server")]
    pub setup: bool,
    /// Operator's e-mail address, for --setup and --live.
    #[arg(long, default_value = "load@example.com", help_heading = "Server")]
    pub email: String,
    /// Operator's password; --setup makes one up on a fresh server and prints it.
    #[arg(long, env = "LOADTEST_PASSWORD", hide_env_values = true, help_heading = "Server")]
    pub password: Option<String>,
    /// Operator's token, instead of logging in.
    #[arg(long, env = "LOADTEST_TOKEN", hide_env_values = true, help_heading = "Server")]
    pub token: Option<String>,
    /// Enroll secret; --setup reads it from the server.
    #[arg(
        long,
        value_name = "SECRET",
        env = "LOADTEST_ENROLL_SECRET",
        hide_env_values = true,
        help_heading = "Server"
    )]
    pub enroll_secret: Option<String>,

    /// Number of agents.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=4_000_000), help_heading = "Fleet")]
    pub agents: u32,
    /// Kinds of hosts and their weights: ubuntu, debian, rhel, centos, darwin, windows.
    #[arg(long, value_name = "LIST", default_value = "ubuntu=50,rhel=20,debian=10,darwin=10,windows=10", value_parser = platforms, help_heading = "Fleet")]
    pub platforms: Platforms,
    /// The same seed gives the same fleet with the same behaviour.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Fleet")]
    pub seed: u64,
    /// Number of the first agent, so that several processes are one fleet.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=16_000_000), help_heading = "Fleet")]
    pub first_agent: u32,
    /// Of the agents, so many are clones of the first one: same UUID, an instance id of their own.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Fleet")]
    pub clones: u32,
    /// Part of the hosts that are slow with distributed queries.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share, help_heading = "Fleet")]
    pub slow_hosts: f64,
    /// Time that a slow host takes for each distributed query.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration, help_heading = "Fleet")]
    pub slow_by: Duration,

    /// Spread the first enrollments over this time.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, help_heading = "Time")]
    pub ramp: Duration,
    /// No spread: all agents start at one moment and keep step; --ramp is how long the start may take.
    #[arg(long, help_heading = "Time")]
    pub storm: bool,
    /// Length of the steady phase, which begins when the ramp ends.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration, help_heading = "Time")]
    pub duration: Duration,

    /// How agents reach the server.
    #[arg(long, value_enum, default_value = "balanced", help_heading = "Transport")]
    pub mode: Mode,
    /// Connections at one time, over all threads [default: 256 balanced, 1024 direct].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Transport")]
    pub connections: Option<u32>,
    /// Rotate over so many addresses of 127.0.0.0/8, each with ports of its own (direct mode).
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16_000_000), help_heading = "Transport")]
    pub source_addresses: u32,
    /// Threads, each with its share of agents and connections.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256), help_heading = "Transport")]
    pub threads: u32,

    /// Between two reads of an agent; 0 switches them off.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, help_heading = "Profile")]
    pub distributed_interval: Duration,
    /// Between two configs of an agent; 0 fetches only one.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration, help_heading = "Profile")]
    pub config_interval: Duration,
    /// Between two deliveries of logs; 0 switches them off.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, help_heading = "Profile")]
    pub log_interval: Duration,
    /// Part of the hosts that have results to deliver.
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = share, help_heading = "Profile")]
    pub log_share: f64,
    /// Exactly so many lines per delivery, instead of what the schedule of the config gives.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024), help_heading = "Profile")]
    pub lines: Option<u32>,
    /// Lines are padded to about so many bytes.
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(0..=1_000_000), help_heading = "Profile")]
    pub line_bytes: u32,
    /// Part of the deliveries that have a status line too.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = share, help_heading = "Profile")]
    pub status_share: f64,
    /// Part of the label answers that are the other way round this time.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, value_parser = share, help_heading = "Profile")]
    pub label_flips: f64,
    /// Part of the live queries that fail.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, value_parser = share, help_heading = "Profile")]
    pub query_fails: f64,
    /// Part of the live queries that find nothing.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = share, help_heading = "Profile")]
    pub query_empty: f64,
    /// Live queries to all hosts, spread over the steady phase.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Profile")]
    pub live: u32,
    /// Bytes of rows in one answer to a live query.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(0..=50_000_000), help_heading = "Profile")]
    pub live_bytes: u32,
    /// Send etags with requests for configs, as osquery after 5.23 does, and keep configs that are said to be unchanged.
    #[arg(long, help_heading = "Profile")]
    pub etags: bool,
    /// Let agents check that their config is for their platform; --setup includes this check.
    #[arg(long, help_heading = "Profile")]
    pub check_config: bool,

    /// Requests that took longer than so many milliseconds are slow.
    #[arg(long, value_name = "MS", default_value_t = 500, help_heading = "Results")]
    pub slow_ms: u64,
    /// Write the results as JSON; - is stdout.
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub json: Option<PathBuf>,
    /// Give latencies by slices of so long in the JSON results too, to tell phases apart; 0 gives none.
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration, help_heading = "Results")]
    pub slices: Duration,
    /// Write the log lines that were acknowledged to this file.
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub ledger: Option<PathBuf>,
    /// Log files of the server, to be verified when the run is over.
    #[arg(long, value_name = "FILE", num_args = 1.., help_heading = "Results")]
    pub destination: Vec<PathBuf>,
    /// No progress and no table.
    #[arg(long, help_heading = "Results")]
    pub quiet: bool,

    /// Fail on more errors than this.
    #[arg(long, value_name = "N", help_heading = "Thresholds")]
    pub max_errors: Option<u64>,
    /// Fail when an endpoint takes longer: enroll, config, read, write or log, and milliseconds.
    #[arg(long, value_name = "ENDPOINT=MS", value_parser = p99, help_heading = "Thresholds")]
    pub max_p99: Vec<(Endpoint, f64)>,
    /// Fail when more of an endpoint's requests are slow.
    #[arg(long, value_name = "SHARE", value_parser = share, help_heading = "Thresholds")]
    pub max_slow: Option<f64>,
    /// Fail when more of all requests began late.
    #[arg(long, value_name = "SHARE", value_parser = share, help_heading = "Thresholds")]
    pub max_late: Option<f64>,
    /// Fail on more configs or questions meant for another host.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Thresholds")]
    pub max_wrong: u64,
    /// Fail on more lines lost, with --destination.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Thresholds")]
    pub max_lost: u64,
    /// Fail on more lines doubled, with --destination.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Thresholds")]
    pub max_doubled: u64,
}

/// Words of platforms and their weights.
pub type Platforms = Vec<(String, u64)>;

impl Options {
    /// Connections at one time.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.connections.unwrap_or(match self.mode {
            Mode::Balanced => 256,
            Mode::Direct => 1024,
        })
    }

    /// Describes each contradiction between options.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.server.iter().any(|server| server.starts_with("https")) && self.ca.is_none() && !self.insecure {
            problems.push("https needs --ca FILE, or --insecure to trust any certificate".to_owned());
        }
        if self.enroll_secret.is_none() && !self.setup && self.token.is_none() && self.password.is_none() {
            problems.push(
                "agents need --enroll-secret; or let --setup, --token or --password read it from the server".to_owned(),
            );
        }
        if self.live > 0 && !self.setup && self.token.is_none() && self.password.is_none() {
            problems.push("--live needs an operator: --setup, --token, or --email and --password".to_owned());
        }
        if self.clones >= self.agents {
            problems.push("--clones must be less than --agents".to_owned());
        }
        if self.connections() < self.threads {
            problems.push("--connections must be at least --threads".to_owned());
        }
        if self.threads > self.agents {
            problems.push("--threads must not be more than --agents".to_owned());
        }
        if self.source_addresses > 1 && self.mode == Mode::Balanced {
            problems.push("--source-addresses is for --mode direct".to_owned());
        }
        if self.duration.is_zero() {
            problems.push("--duration must not be 0".to_owned());
        }
        if !self.slices.is_zero() && (self.ramp + self.duration).div_duration_f64(self.slices) > MAX_SLICES as f64 {
            problems.push(format!("--slices must be longer: {MAX_SLICES} of them must last for --ramp and --duration"));
        }
        let most = Duration::from_secs(30 * 24 * 3600);
        if self.ramp + self.duration > most {
            problems.push("--ramp and --duration together must be at most 30 days".to_owned());
        }
        problems
    }
}

/// Reads `500ms`, `10s`, `2m`, `1h` or `0`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let at = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let bad = || format!("{text:?} is not a time such as 500ms, 10s, 2m or 1h");
    let number: f64 = text[..at].parse().map_err(|_| bad())?;
    let unit = match &text[at..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "" if number == 0.0 => 1.0,
        _ => return Err(bad()),
    };
    Duration::try_from_secs_f64(number * unit).map_err(|_| bad()).and_then(|time| {
        if time > Duration::from_secs(30 * 24 * 3600) {
            Err(format!("{text:?} is more than 30 days"))
        } else {
            Ok(time)
        }
    })
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| format!("{text:?} is not a share from 0 to 1, such as 0.1"))
}

fn platforms(text: &str) -> Result<Platforms, String> {
    let known: Vec<_> = platform_words().collect();
    let mut all: Platforms = Vec::new();
    for part in text.split(',') {
        let (word, weight) = part.split_once('=').unwrap_or((part, "1"));
        if !known.contains(&word) {
            return Err(format!("{word:?} is no platform; known are {}", known.join(", ")));
        }
        let weight = weight.parse().ok().filter(|weight| (1..=1_000_000).contains(weight));
        all.push((
            word.to_owned(),
            weight.ok_or_else(|| format!("{part:?} needs a weight from 1, such as {word}=10"))?,
        ));
    }
    Ok(all)
}

fn p99(text: &str) -> Result<(Endpoint, f64), String> {
    let bad = || format!("{text:?} is not an endpoint and milliseconds, such as read=250");
    let (name, ms) = text.split_once('=').ok_or_else(bad)?;
    let endpoint = Endpoint::ALL.into_iter().find(|endpoint| endpoint.name() == name).ok_or_else(bad)?;
    let ms = ms.parse().ok().filter(|ms: &f64| ms.is_finite() && *ms >= 0.0).ok_or_else(bad)?;
    Ok((endpoint, ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        for bad in ["", "10", "s", "10 s", "-1s", "1d", "1e400h", "9999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_are_read_and_mistakes_are_named() {
        assert_eq!(platforms("darwin,rhel=3"), Ok(vec![("darwin".to_owned(), 1), ("rhel".to_owned(), 3)]));
        assert!(platforms("solaris").unwrap_err().contains("ubuntu"));
        assert!(platforms("darwin=0").is_err());
        assert_eq!(p99("read=2.5"), Ok((Endpoint::Read, 2.5)));
        assert!(p99("reed=1").is_err() && p99("read").is_err() && p99("read=x").is_err());
    }
}
