//! Giving up leases: when other nodes want them, before a stop, and while a node lives that does not know them. Redis gets
//! the last batch first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;

use super::host_log::Lease;
use super::leases::RELEASED_AT_ONCE;
use super::{LogStream, Logs};
use crate::bus::AfterBatch;
use crate::fleet::hosts::{Host, Hosts};

/// How often deleted hosts that have a lease are looked for.
const GONE_LOOKED_FOR_EVERY: Duration = Duration::from_secs(2);

impl Logs {
    /// Renews the leases of this node, and gives up those that others want, or all when there may be none.
    pub async fn keep_leases(self: &Arc<Self>, hosts: &Hosts) {
        let Some(sharing) = &self.sharing else { return };
        let mut looked_at = self.leases.renewing.lock().await;
        self.leases.allow(hosts.all_know_leases());
        let asked_at = Instant::now();
        if let Some(renewed) = sharing.0.leases.renew(self.leases.term()).await {
            self.leases.was_renewed(renewed.term, asked_at, &self.metrics);
            for (host, log) in renewed.wanted {
                if let Some(stream) = LogStream::of(&log) {
                    self.release_soon(host, stream, hosts, ReleaseCause::Revoked);
                }
            }
        }
        if !self.leases.may_take() {
            for (host, stream) in self.leases.held() {
                self.release_soon(host, stream, hosts, ReleaseCause::NoneAllowed);
            }
        } else if looked_at.elapsed() >= GONE_LOOKED_FOR_EVERY {
            *looked_at = Instant::now();
            for (host, stream) in self.leases.held_of(hosts.index.gone()) {
                self.release_soon(host, stream, hosts, ReleaseCause::NoneAllowed);
            }
        }
    }

    /// Gives up a lease beside other work, as far as there is room.
    fn release_soon(self: &Arc<Self>, host: i64, stream: LogStream, hosts: &Hosts, cause: ReleaseCause) {
        if !self.leases.begin_release((host, stream)) {
            return;
        }
        let (logs, found) = (Arc::clone(self), hosts.index.get(host));
        tokio::spawn(async move {
            if let Ok(_permit) = logs.leases.releases.acquire().await {
                logs.release(host, found.as_deref(), stream, cause).await;
            }
            logs.leases.end_release((host, stream));
        });
    }

    /// Gives up a lease, or a lock that was left behind, once no batch is under way. A host that is gone has no last batch.
    async fn release(&self, id: i64, host: Option<&Host>, stream: LogStream, cause: ReleaseCause) {
        let Some(sharing) = &self.sharing else { return };
        let Some(host) = host else {
            self.leases.forget((id, stream), &self.metrics);
            sharing.end(id, stream, None, AfterBatch::Free).await;
            return;
        };
        let mut log = host.log(stream).lock().await;
        let had_lease = log.lease().is_there();
        log.set_lease(Lease::default());
        log.is_contested();
        if self.leases.forget((id, stream), &self.metrics) && cause == ReleaseCause::Revoked {
            self.metrics.batch_leases_ended.with_label_values(&["revoked"]).inc();
        }
        // why: without a lease, and when Redis was told of it, the last batch here may be older than that of another node.
        let kept = (log.is_unshared || had_lease).then_some(&log.last);
        if sharing.end(id, stream, kept, AfterBatch::Free).await && kept.is_some() {
            log.last_was_shared();
        }
    }

    /// Gives up the leases of these hosts, as many as the time suffices for. What other nodes could not be told of stays
    /// unshared. For a node that keeps no lines any more.
    pub async fn release_all(&self, hosts: &[Arc<Host>], within: Duration) {
        let Some(sharing) = &self.sharing else { return };
        let logs: Vec<_> =
            hosts.iter().flat_map(|host| LogStream::ALL.map(|stream| (Arc::clone(host), stream))).collect();
        let released = futures_util::stream::iter(logs)
            .for_each_concurrent(RELEASED_AT_ONCE, |(host, stream)| self.release_if_needed(host, stream));
        if tokio::time::timeout(within, released).await.is_err() {
            tracing::warn!(
                "not all leases on log batches were given up; lines that agents send again may appear twice"
            );
        }
        // The others need not wait until the term is over.
        sharing.0.leases.end().await;
    }

    async fn release_if_needed(&self, host: Arc<Host>, stream: LogStream) {
        let is_needed = {
            let log = host.log(stream).lock().await;
            log.lease().is_there() || log.is_unshared
        };
        if is_needed {
            self.release(host.id, Some(&host), stream, ReleaseCause::NoneAllowed).await;
        }
    }
}

/// Why a lease is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReleaseCause {
    /// Another node has a batch of the host.
    Revoked,
    /// This node is to have no leases, or none on this host.
    NoneAllowed,
}
