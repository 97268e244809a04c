//! Measures the server's connections to Redis beside pools of connections (decision 4), on Redis processes of its own.
//! The server's part is the server's own code, compiled from its files.

mod bus;
mod config;
mod failover;
mod load;
#[path = "../../server/src/lock.rs"]
mod lock;
mod processes;
mod ways;

// The server's own files, which see each other at the root.
#[path = "../../server/src/bus/redis/breaker.rs"]
mod breaker;
#[path = "../../server/src/bus/redis/connect.rs"]
mod connect;
#[path = "../../server/src/bus/redis/link.rs"]
#[expect(dead_code, reason = "the server uses more of it")]
mod link;
#[path = "../../server/src/bus/redis/script.rs"]
mod script;
#[path = "../../server/src/bus/redis/server_connection.rs"]
#[expect(dead_code, reason = "the server uses more of it")]
mod server_connection;
#[path = "../../server/src/bus/redis/settings.rs"]
#[expect(dead_code, reason = "the server uses more of it")]
mod settings;
#[path = "../../server/src/bus/redis/tls.rs"]
mod tls;

use anyhow::Result;

use crate::load::Bench;

/// Rounds of each comparison; in each round every way has its turn, in another order each time.
const ROUNDS: usize = 7;

#[tokio::main]
async fn main() -> Result<()> {
    let which = std::env::args().nth(1).unwrap_or_default();
    if which.is_empty() || which == "load" {
        let bench = Bench::start().await?;
        for (readers, piece, line) in [
            (1, 1 << 20, 1 << 10),
            (4, 1 << 20, 1 << 10),
            (16, 1 << 20, 1 << 10),
            (16, 256 << 10, 1 << 10),
            (16, 1 << 20, 64 << 10),
            (4, 8 << 20, 64 << 10),
        ] {
            bench.reads(readers, piece, line).await?;
        }
        for callers in [1, 16, 128] {
            bench.steps(callers).await?;
        }
        for line in [1 << 10, 64 << 10, 1 << 20] {
            bench.answers(line).await?;
        }
    }
    if which.is_empty() || which == "failover" {
        failover::sentinel().await?;
        failover::cluster().await?;
    }
    Ok(())
}
