//! Parts fail under a fleet at work: two real servers over MariaDB and Redis, agents that come to any of them with any
//! request, and an operator who watches. Whatever fails, nobody is told anything wrong, nothing acknowledged is lost,
//! and everything works again without help.

mod certificates;
mod cluster;
mod database;
mod faults;
mod fleet;
mod invariants;
mod leases;
mod live;
mod random;
mod redis;
mod rollouts;
mod servers;
mod upgrade;

pub use cluster::Cluster;

use std::sync::LazyLock;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::support::count;

/// How many agents there are. Each makes about three requests a second.
static AGENTS: LazyLock<u32> = LazyLock::new(|| count(20, 40));

/// What needs a part that is away is refused after `osquery.store_timeout` (1.5 s), before which a host that is to be asked
/// about itself waits for others for two seconds at most; machines may be slow.
const REFUSED_WITHIN: Duration = Duration::from_secs(4);

/// How soon everything must work again after a part has come back.
const RECOVERED_WITHIN: Duration = Duration::from_secs(30);

/// How many clusters run at one time: they are expensive, and mostly wait.
async fn cluster_permit() -> SemaphorePermit<'static> {
    static CLUSTERS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(count(3, 1)));
    CLUSTERS.acquire().await.unwrap()
}
