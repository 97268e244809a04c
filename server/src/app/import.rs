//! The parts of a server that an import from another one works with: a node without listeners and tasks.

use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::open_store;
use crate::bus::{LocalNotifier, Notifier, RedisShare};
use crate::clock::Clock;
use crate::config::Config;
use crate::fleet::Node;
use crate::fleet::access::Access;
use crate::fleet::apply::Applier;
use crate::fleet::changes::Changes;
use crate::fleet::guard::TableGuard;
use crate::fleet::hosts::{Hosts, ensure_builtin_labels};
use crate::fleet::import::Importer;
use crate::fleet::schedule::{BuiltInOptions, Schedule};
use crate::fleet::schema::AgentSchemas;
use crate::fleet::statistics::Statistics;
use crate::telemetry::Metrics;

/// Opens the database that the settings name.
///
/// # Errors
/// Whatever cannot be opened, with the remedy.
pub async fn importer(config: &Config, clock: Clock) -> Result<Importer> {
    let metrics = Arc::new(Metrics::new()?);
    let store = open_store(config, &metrics).await?;
    ensure_builtin_labels(&store, clock.now()).await.context("cannot make the built-in labels")?;
    let built_in = BuiltInOptions::new(&config.server.url_prefix);
    let cache_bytes = config.osquery.max_config_cache.0;
    let schedule = Schedule::load(store.clone(), clock.clone(), built_in, cache_bytes, Arc::clone(&metrics)).await;
    let schedule = Arc::new(schedule.context("cannot read packs, labels and options")?);
    let notifier: Arc<dyn Notifier> = if config.redis.is_used() {
        RedisShare::new(&config.redis, config.live.retention, metrics.redis()?).context("cannot use Redis")?.notifier
    } else {
        Arc::new(LocalNotifier::default())
    };
    let node = Arc::new(Node::new(store.clone(), clock.clone(), config.redis.is_used()));
    let hosts = Arc::new(Hosts::new(
        store.clone(),
        clock.clone(),
        config.osquery.clone(),
        Arc::clone(&schedule),
        Arc::clone(&metrics),
        Arc::clone(&node),
        Arc::clone(&notifier),
    ));
    let statistics = Arc::new(Statistics::new(
        store.clone(),
        clock.clone(),
        Arc::clone(&schedule),
        node,
        config.statistics.clone(),
        Arc::clone(&metrics),
    ));
    let schemas =
        AgentSchemas::new(store.clone(), clock.clone(), Arc::clone(&hosts), &config.osquery, Arc::clone(&metrics));
    let guard = TableGuard::load(
        config.server.guard.as_deref(),
        store.clone(),
        clock.clone(),
        Arc::new(schemas),
        Arc::clone(&metrics),
    );
    let guard = Arc::new(guard.context("server.guard")?);
    let access = Access::new(store.clone(), clock.clone(), config, Arc::clone(&schedule), metrics);
    let changes = Changes::new(
        store.clone(),
        clock.clone(),
        Arc::clone(&schedule),
        hosts,
        Arc::clone(&notifier),
        statistics,
        guard,
    );
    Ok(Importer { store, clock, schedule, applier: Applier::new(changes), access, notifier })
}
