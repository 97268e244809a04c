//! Parts fail under a fleet at work: two real servers over MariaDB and Redis, agents that come to any of them with any
//! request, and an operator who watches. Whatever fails, nobody is told anything wrong, nothing acknowledged is lost,
//! and everything works again without help.

mod cluster;
mod database;
mod fleet;
mod flipping;
mod invariants;
mod live;
mod redis;
mod servers;

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

/// How many agents there are. Each makes about three requests a second.
const AGENTS: u32 = 40;

/// What needs a part that is away is refused after `osquery.store_timeout` (1.5 s), so that nobody waits longer than two
/// seconds; machines may be slow.
const REFUSED_WITHIN: Duration = Duration::from_secs(4);

/// How soon everything must work again after a part has come back.
const RECOVERED_WITHIN: Duration = Duration::from_secs(30);

/// One fault at a time: they are expensive, and each test measures its own.
async fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}
