//! Batch locks and leases, on every kind of Redis.

use std::sync::Arc;
use std::time::Duration;

use super::{eventually, share, share_counted};
use crate::bus::redis::batches::HashedBatch;
use crate::bus::redis::{AfterBatch, BatchLease, BatchLockReply, LeaseReply, SharedBatches};
use crate::clock::Moment;
use crate::redis_processes::{RedisProcess, Settings};

const LIFETIME: Duration = Duration::from_secs(60);

const AT: Moment = Moment(1_768_478_400_000_000);

fn held(last: &[u64]) -> BatchLockReply {
    BatchLockReply::Held { last: (!last.is_empty()).then(|| (last.to_vec(), AT)) }
}

async fn begin(node: &SharedBatches, host: i64) -> BatchLockReply {
    node.begin(host, "r", None, LIFETIME).await
}

async fn end(node: &SharedBatches, host: i64, kept: Option<HashedBatch<'_>>) -> bool {
    node.end(host, "r", kept, LIFETIME, AfterBatch::Free).await
}

/// Takes a lease behind a batch.
async fn take(node: &SharedBatches, host: i64, hash: u64, term: i64) {
    assert!(matches!(begin(node, host).await, BatchLockReply::Held { .. }));
    assert!(node.end(host, "r", Some((&[hash], AT)), LIFETIME, AfterBatch::Leased { term }).await);
}

async fn lease_of_another(node: &SharedBatches, host: i64) -> BatchLease {
    match begin(node, host).await {
        BatchLockReply::Leased(lease) => lease,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn batches(settings: &Settings) {
    let (one, two) = (share(settings).batches, share(settings).batches);
    let host = rand::random_range(1..i64::MAX);
    assert_eq!(begin(&one, host).await, held(&[]));
    assert_eq!(begin(&two, host).await, BatchLockReply::Busy);
    assert_eq!(two.begin(host, "s", None, LIFETIME).await, held(&[]), "logs are apart");
    assert!(!end(&two, host, Some((&[9], AT))).await, "only the holder can unlock");
    assert!(end(&one, host, Some((&[1, u64::MAX], AT))).await);
    assert_eq!(begin(&two, host).await, held(&[1, u64::MAX]));
    assert!(end(&two, host, None).await);
    assert_eq!(begin(&one, host).await, held(&[1, u64::MAX]), "a refused batch changes nothing");
    assert!(end(&one, host, Some((&[], AT))).await);
    assert_eq!(begin(&two, host).await, held(&[]));
    assert!(two.end(host, "r", Some((&[1], AT)), Duration::from_millis(1), AfterBatch::Free).await);
    eventually("the hashes are forgotten", async || (begin(&one, host).await == held(&[])).then_some(())).await;
    assert!(end(&one, host, None).await);
}

pub(super) async fn leases(settings: &Settings) {
    let (one, two) = (share(settings).batches, share(settings).batches);
    let host = rand::random_range(1..i64::MAX);
    let term = one.leases.renew(0).await.unwrap().term;
    assert_eq!(one.leases.renew(term).await.unwrap().term, term, "it goes on");
    given_up_when_wanted(&one, &two, host, term).await;
    stores_the_last_batch(&one, &two, host, term).await;
    taken_over_when_ended(&one, &two, host, term).await;
    one.leases.end().await;
}

async fn given_up_when_wanted(one: &Arc<SharedBatches>, two: &Arc<SharedBatches>, host: i64, term: i64) {
    take(one, host, 7, term).await;
    let lease = lease_of_another(two, host).await;
    assert!(!end(two, host, None).await, "only the holder can give it up");
    assert_eq!(two.leases.want(&lease, host, "r").await, LeaseReply::Told);
    assert_eq!(two.leases.want(&lease, host, "r").await, LeaseReply::Told);
    assert_eq!(one.leases.renew(term).await.unwrap().wanted, [(host, "r".to_owned())], "each once");
    assert_eq!(one.leases.renew(term).await.unwrap().wanted, []);
    assert!(end(one, host, Some((&[8], AT))).await);
    assert_eq!(begin(two, host).await, held(&[8]));
    assert!(end(two, host, None).await);
}

/// Whatever happens after a lease has become the lock, other nodes know its last batch.
async fn stores_the_last_batch(one: &Arc<SharedBatches>, two: &Arc<SharedBatches>, host: i64, term: i64) {
    take(one, host, 7, term).await;
    assert_eq!(one.begin(host, "r", Some((&[9], AT)), LIFETIME).await, held(&[9]));
    assert_eq!(one.begin(host, "r", Some((&[1], AT)), LIFETIME).await, held(&[9]), "it is no lease any more");
    assert!(end(one, host, None).await);
    assert_eq!(begin(two, host).await, held(&[9]));
    assert!(end(two, host, None).await);
    assert_eq!(one.begin(host, "r", Some((&[1], AT)), LIFETIME).await, held(&[9]), "there was no lease");
    assert!(end(one, host, None).await);
}

async fn taken_over_when_ended(one: &Arc<SharedBatches>, two: &Arc<SharedBatches>, host: i64, term: i64) {
    take(one, host, 7, term).await;
    let lease = lease_of_another(two, host).await;
    one.leases.end().await;
    let later = one.leases.renew(term).await.unwrap().term;
    assert!(later > term, "a term that has ended never comes again");
    one.leases.end().await;
    assert_eq!(two.leases.want(&lease, host, "r").await, LeaseReply::Ended);
    take(one, host, 8, later).await;
    let lease = lease_of_another(two, host).await;
    assert_eq!(two.leases.want(&lease, host, "r").await, LeaseReply::Ended, "another one than before");
    assert_eq!(begin(two, host).await, held(&[8]));
    assert_eq!(begin(one, host).await, BatchLockReply::Busy, "it was taken over");
    assert!(!end(one, host, None).await);
    assert!(end(two, host, None).await);
    take(one, host, 9, later).await;
    assert_eq!(begin(one, host).await, held(&[9]), "a node's own lease is no obstacle");
    assert_eq!(begin(two, host).await, BatchLockReply::Busy);
    assert!(end(one, host, None).await);
}

#[tokio::test]
async fn the_leases_of_a_node_that_has_died_cost_one_command_each() {
    const HOSTS: std::ops::Range<i64> = 1..20;
    let redis = RedisProcess::start().await;
    let (died, (other, commands)) = (share(&redis.settings()).batches, share_counted(&redis.settings()));
    let other = other.batches;
    let term = died.leases.renew(0).await.unwrap().term;
    for host in HOSTS {
        take(&died, host, 7, term).await;
    }
    let lease = lease_of_another(&other, 1).await;
    assert_eq!(other.leases.want(&lease, 1, "r").await, LeaseReply::Told);
    let ends_in = eventually("that it is silent shows before its term is over", async || {
        match other.leases.want(&lease, 1, "r").await {
            LeaseReply::Silent { ends_in } => Some(ends_in),
            _ => None,
        }
    })
    .await;
    assert!(ends_in < Duration::from_secs(3));
    died.leases.end().await;
    assert_eq!(other.leases.want(&lease, 1, "r").await, LeaseReply::Ended);
    let count = |name: &str| commands.with_label_values(&[name]).get();
    let before = (count("logs_begin"), count("leases_want"));
    for host in HOSTS {
        assert_eq!(begin(&other, host).await, held(&[7]));
    }
    assert_eq!((count("logs_begin"), count("leases_want")), (before.0 + 19, before.1));
}
