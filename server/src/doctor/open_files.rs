//! The limit of open files against the connections that the settings allow.

use super::Diagnosis;
use crate::config::Config;

const SUBJECT: &str = "open files";

/// What the server has open besides connections: log files, the database's own files, results of live queries.
const OTHERS: usize = 256;

pub(super) fn check(config: &Config) -> Vec<Diagnosis> {
    let Some(limit) = std::fs::read_to_string("/proc/self/limits").ok().and_then(|text| soft_limit(&text)) else {
        return vec![Diagnosis::warn(
            SUBJECT,
            "the limit cannot be read from /proc/self/limits",
            "look at it with `ulimit -n`; each connection takes one",
        )];
    };
    let needed = needed(config);
    let whose = "for programs started as this one was";
    vec![if limit < needed {
        Diagnosis::warn(
            SUBJECT,
            format!("{limit} {whose}, fewer than the {needed} that server.max_connections × workers may take"),
            "raise the limit (LimitNOFILE= in a unit of systemd, ulimit -n), or lower server.max_connections",
        )
    } else {
        Diagnosis::ok(SUBJECT, format!("{limit} {whose}; the settings may take {needed}"))
    }]
}

/// The soft limit of open files; no limit is the greatest number.
fn soft_limit(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(usize::MAX),
        number => number.parse().ok(),
    }
}

fn needed(config: &Config) -> usize {
    let server = &config.server;
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let workers = if server.workers == 0 { cores() } else { server.workers };
    let operators = if server.operator_address.is_empty() { 0 } else { server.operator_workers.max(1) };
    let databases = if config.mysql.is_on() {
        // A connection with TLS goes through a socket, and takes three.
        let files = if config.mysql.tls() == crate::config::MysqlTls::Off { 1 } else { 3 };
        (config.mysql.max_open_conns as usize + 4) * files
    } else {
        // The file, its log and its index.
        (config.sqlite.readers as usize + 1) * 3
    };
    server.max_connections.saturating_mul(workers + operators).saturating_add(databases + OTHERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_read() {
        let head = "Limit                     Soft Limit           Hard Limit           Units     \n";
        let of = |soft: &str| {
            soft_limit(&format!(
                "{head}Max open files            {soft}                 524288               files     \n"
            ))
        };
        assert_eq!((of("1024"), of("unlimited"), soft_limit(head)), (Some(1024), Some(usize::MAX), None));
    }
}
