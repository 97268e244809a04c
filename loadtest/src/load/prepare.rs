//! From options to what a run needs: the server, an operator, the enroll secret, the profile.

use std::time::Duration;

use anyhow::bail;
use rustls_pki_types::ServerName;
use serde_json::json;

use super::{
    BadOptions, Say,
    engine::micros,
    options::{Mode, Options},
    process::{self, Usage},
    profile::Profile,
    rest::Rest,
    server_url::ServerUrl,
    setup::{self, Intervals},
    wire::Target,
};
use agent_compat::transport::{Trust, client_config};

/// Files a process needs besides its connections.
const OTHER_FILES: u64 = 64;

/// Judges the options and finds the server.
pub(super) fn target(options: &Options) -> anyhow::Result<(ServerUrl, Target)> {
    let mut problems = options.problems();
    let found: Result<Vec<_>, _> = options.server.iter().map(|url| ServerUrl::find(url)).collect();
    let (server, addresses) = match found.as_deref() {
        Ok([server, ..]) => (server.clone(), found.iter().flatten().map(|server| server.address).collect::<Vec<_>>()),
        Ok([]) => bail!(BadOptions(vec!["--server is missing".to_owned()])),
        Err(problem) => {
            problems.push(problem.clone());
            bail!(BadOptions(problems));
        }
    };
    problems.extend(server_problems(options, found.as_deref().unwrap_or_default()));
    if let Some(max) = process::max_open_files()
        && u64::from(options.connections()) + OTHER_FILES > max
    {
        problems.push(format!(
            "--connections {} are more than the {max} files this process may have open: raise `ulimit -n`",
            options.connections()
        ));
    }
    if options.server_pid.is_some_and(|pid| Usage::of(pid).is_none()) {
        problems.push("--server-pid: there is no such process, or this is not Linux".to_owned());
    }
    let mut tls = None;
    if server.is_https {
        let trust = options.ca.clone().map_or(Trust::Unverified, Trust::CaFile);
        let config = client_config(&trust).map_err(|error| error.to_string());
        match (config, ServerName::try_from(server.name.clone())) {
            (Ok(config), Ok(name)) => tls = Some((config, name)),
            (Err(problem), _) => problems.push(problem),
            (_, Err(_)) => problems.push(format!("--server: {:?} is no name for a certificate", server.name)),
        }
    }
    if !problems.is_empty() {
        bail!(BadOptions(problems));
    }
    let target = Target { addresses, tls, sources: options.source_addresses };
    Ok((server, target))
}

/// Describes what is wrong with the servers.
fn server_problems(options: &Options, servers: &[ServerUrl]) -> Vec<String> {
    let mut problems = Vec::new();
    let is_local = |server: &ServerUrl| server.address.ip().is_loopback();
    for server in servers.iter().filter(|server| !is_local(server) && !options.allow_remote) {
        problems.push(format!(
            "{} is not a loopback address. A load test of a server that is not yours is an attack; say --allow-remote if it is",
            server.address.ip()
        ));
    }
    if options.source_addresses > 1 && !servers.iter().all(|server| server.address.is_ipv4() && is_local(server)) {
        problems.push("--source-addresses needs a server on 127.0.0.0/8".to_owned());
    }
    let kind = |server: &ServerUrl| (server.is_https, server.prefix.clone());
    if servers.iter().any(|server| kind(server) != kind(&servers[0])) {
        problems.push("--server: nodes of one cluster must have the same scheme and path".to_owned());
    }
    problems
}

/// Logs in and sets up as far as the options ask for it; gives the operator, if there is one, and the enroll secret.
pub(super) async fn operator(options: &Options, rest: Rest, say: Say<'_>) -> anyhow::Result<(Option<Rest>, String)> {
    let mut operator = None;
    if let Some(token) = &options.token {
        operator = Some(rest.with_token(token));
    } else if options.setup {
        let made_up = format!("Load-{}!1", uuid::Uuid::new_v4().simple());
        let password = options.password.as_ref().unwrap_or(&made_up);
        operator = match rest.set_up(&options.email, password).await? {
            Some(operator) => {
                if options.password.is_none() {
                    say(&format!("made the first user {} with the password {password}", options.email));
                }
                Some(operator)
            }
            None if options.password.is_none() => {
                bail!(BadOptions(vec!["the server is set up already: --setup needs --password or --token".to_owned()]))
            }
            None => Some(rest.log_in(&options.email, password).await?),
        };
    } else if let Some(password) = &options.password {
        operator = Some(rest.log_in(&options.email, password).await?);
    }
    let wished = options.enroll_secret.as_deref();
    let secret = match (&operator, wished) {
        (Some(operator), _) if options.setup => {
            let intervals = Intervals {
                distributed_s: options.distributed_interval.as_secs(),
                config_s: options.config_interval.as_secs(),
                log_s: options.log_interval.as_secs(),
            };
            setup::apply(operator, wished, &intervals).await?
        }
        (Some(operator), None) => setup::enroll_secret(operator, None).await?,
        (_, Some(wished)) => wished.to_owned(),
        (None, None) => String::new(),
    };
    Ok((operator, secret))
}

pub(super) fn profile(options: &Options, server: &ServerUrl, run: u32, start_unix_ms: u64) -> Profile {
    Profile {
        seed: options.seed,
        run,
        start_unix_ms,
        agents: options.agents,
        first_agent: options.first_agent,
        clones: options.clones,
        slow_hosts: options.slow_hosts,
        slow_by: micros(options.slow_by),
        storm: options.storm,
        ramp: micros(options.ramp),
        distributed_interval: micros(options.distributed_interval),
        config_interval: micros(options.config_interval),
        log_interval: micros(options.log_interval),
        log_share: options.log_share,
        lines: options.lines,
        line_bytes: options.line_bytes as usize,
        status_share: options.status_share,
        label_flips: options.label_flips,
        query_fails: options.query_fails,
        query_empty: options.query_empty,
        live_bytes: options.live_bytes as usize,
        slow: Duration::from_millis(options.slow_ms),
        check_config: options.check_config || options.setup,
        etags: options.etags,
        slice: micros(options.slices),
        is_balanced: options.mode == Mode::Balanced,
        host: server.host.clone(),
    }
}

/// The options that shape the load, as results show them.
pub(super) fn settings(options: &Options) -> serde_json::Value {
    let ms = |time: Duration| micros(time) as f64 / 1000.0;
    let platforms: serde_json::Map<_, _> =
        options.platforms.iter().map(|(word, weight)| (word.clone(), (*weight).into())).collect();
    json!({
        "server": options.server,
        "mode": if options.mode == Mode::Balanced { "balanced" } else { "direct" },
        "agents": options.agents,
        "platforms": platforms,
        "connections": options.connections(),
        "source_addresses": options.source_addresses,
        "threads": options.threads,
        "seed": options.seed,
        "first_agent": options.first_agent,
        "clones": options.clones,
        "slow_hosts": options.slow_hosts,
        "slow_by_ms": ms(options.slow_by),
        "ramp_ms": ms(options.ramp),
        "storm": options.storm,
        "duration_ms": ms(options.duration),
        "distributed_interval_ms": ms(options.distributed_interval),
        "config_interval_ms": ms(options.config_interval),
        "log_interval_ms": ms(options.log_interval),
        "log_share": options.log_share,
        "lines": options.lines,
        "line_bytes": options.line_bytes,
        "status_share": options.status_share,
        "label_flips": options.label_flips,
        "query_fails": options.query_fails,
        "query_empty": options.query_empty,
        "live": options.live,
        "live_bytes": options.live_bytes,
        "etags": options.etags,
        "slow_ms": options.slow_ms,
        "setup": options.setup,
        "check_config": options.check_config || options.setup,
    })
}
