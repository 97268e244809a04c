//! Histograms for the metrics. Many threads add to one at the same time, on the way of every request of an agent, so a value
//! costs a search among ten bounds at most and two additions to memory that other threads seldom touch: each thread has one
//! of some shards, and only reading puts them together.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto;

use crate::lock::lock;

/// Most bounds of a histogram.
const MAX_BOUNDS: usize = 10;

/// Most shards of a histogram, of 128 bytes each.
const MAX_SHARDS: usize = 16;

/// Shards of each histogram: one for each processor, a power of two.
static SHARDS: LazyLock<usize> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    processors.next_power_of_two().min(MAX_SHARDS)
});

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The number of this thread, which chooses its shards.
    static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed);
}

/// A value that a histogram takes. All histograms of a type have the same buckets, so that they can be added up.
pub trait HistogramValue: Copy + Debug + Send + Sync + 'static {
    /// Upper bounds of the buckets in whole units, each included.
    const BOUNDS: &'static [u64];
    /// Units in one second or one byte.
    const PER_BASE: f64;

    fn units(self) -> u64;
}

/// Shown in seconds, counted in nanoseconds.
impl HistogramValue for Duration {
    const BOUNDS: &'static [u64] = &[
        500_000,
        2_000_000,
        10_000_000,
        50_000_000,
        100_000_000,
        250_000_000,
        1_000_000_000,
        2_500_000_000,
        10_000_000_000,
    ];
    const PER_BASE: f64 = 1e9;

    fn units(self) -> u64 {
        u64::try_from(self.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteCount(pub u64);

impl HistogramValue for ByteCount {
    const BOUNDS: &'static [u64] = &[128, 1 << 10, 8 << 10, 64 << 10, 512 << 10, 4 << 20];
    const PER_BASE: f64 = 1.0;

    fn units(self) -> u64 {
        self.0
    }
}

/// The part of a histogram that some threads add to; it shares no line of the processors' caches with another.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    counts: [AtomicU64; MAX_BOUNDS + 1],
    sum: AtomicU64,
}

/// How often values came, by bucket, and their sum.
#[derive(Debug)]
pub struct Histogram<V> {
    shards: Box<[Shard]>,
    values: PhantomData<V>,
}

impl<V: HistogramValue> Histogram<V> {
    fn new() -> Self {
        const { assert!(V::BOUNDS.len() <= MAX_BOUNDS) };
        Self { shards: std::iter::repeat_with(Shard::default).take(*SHARDS).collect(), values: PhantomData }
    }

    pub fn observe(&self, value: V) {
        let units = value.units();
        let bucket = V::BOUNDS.partition_point(|bound| *bound < units);
        let shard = &self.shards[THREAD.with(|thread| thread & (self.shards.len() - 1))];
        shard.counts[bucket].fetch_add(1, Ordering::Relaxed);
        shard.sum.fetch_add(units, Ordering::Relaxed);
    }

    #[expect(clippy::cast_precision_loss, reason = "the format knows no other numbers")]
    fn read(&self) -> proto::Histogram {
        let counted = |bucket: usize| -> u64 {
            self.shards.iter().map(|shard| shard.counts[bucket].load(Ordering::Relaxed)).sum()
        };
        let sum = self.shards.iter().fold(0_u64, |sum, shard| sum.wrapping_add(shard.sum.load(Ordering::Relaxed)));
        let mut histogram = proto::Histogram::default();
        let mut count = 0;
        let bucket = |(position, bound): (usize, &u64)| {
            count += counted(position);
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*bound as f64 / V::PER_BASE);
            bucket.set_cumulative_count(count);
            bucket
        };
        histogram.set_bucket(V::BOUNDS.iter().enumerate().map(bucket).collect());
        histogram.set_sample_count(count + counted(V::BOUNDS.len()));
        histogram.set_sample_sum(sum as f64 / V::PER_BASE);
        histogram
    }
}

/// The histograms of one name, by the values of their labels. Clones are one.
#[derive(Debug, Clone)]
pub struct Histograms<V> {
    desc: Arc<Desc>,
    members: Arc<Mutex<Members<V>>>,
}

/// Histograms by the values of their labels.
type Members<V> = BTreeMap<Vec<String>, Arc<Histogram<V>>>;

impl<V: HistogramValue> Histograms<V> {
    /// # Errors
    /// When the name or a label is none: a fault of the program.
    pub fn new(name: &str, help: &str, labels: &[&str]) -> Result<Self, prometheus::Error> {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let desc = Desc::new(name.to_owned(), help.to_owned(), labels, std::collections::HashMap::new())?;
        Ok(Self { desc: Arc::new(desc), members: Arc::default() })
    }

    /// The histogram with these values of the labels, in their order. Keep it where values come often.
    pub fn with(&self, values: &[&str]) -> Arc<Histogram<V>> {
        let key = values.iter().map(|value| (*value).to_owned()).collect();
        Arc::clone(lock(&self.members).entry(key).or_insert_with(|| Arc::new(Histogram::new())))
    }
}

impl<V: HistogramValue> Collector for Histograms<V> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let labelled = |(values, histogram): (&Vec<String>, &Arc<Histogram<V>>)| {
            let pair = |(name, value): (&String, &String)| {
                let mut pair = proto::LabelPair::default();
                pair.set_name(name.clone());
                pair.set_value(value.clone());
                pair
            };
            let mut metric = proto::Metric::default();
            metric.set_label(self.desc.variable_labels.iter().zip(values).map(pair).collect());
            metric.set_histogram(histogram.read());
            metric
        };
        let mut family = proto::MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(proto::MetricType::HISTOGRAM);
        family.set_metric(lock(&self.members).iter().map(labelled).collect());
        vec![family]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_one_bucket_whichever_thread_it_comes_from() {
        const THREADS: u64 = 8;
        const EACH: u64 = 10_000;
        let sizes = Histograms::<ByteCount>::new("sizes_bytes", "Sizes.", &["of"]).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let size = sizes.with(&["bodies"]);
                scope.spawn(move || (0..EACH).for_each(|_| size.observe(ByteCount(thread * 1_000))));
            }
        });
        let families = sizes.collect();
        let histogram = families[0].get_metric()[0].get_histogram();
        assert_eq!(histogram.get_sample_count(), THREADS * EACH);
        assert_eq!(histogram.get_sample_sum(), (0..THREADS).map(|thread| (thread * 1_000 * EACH) as f64).sum::<f64>());
        let counts: Vec<u64> = histogram.get_bucket().iter().map(proto::Bucket::cumulative_count).collect();
        // 0 | 1,000 | 2,000 to 7,000.
        assert_eq!(counts, [EACH, 2 * EACH, THREADS * EACH, THREADS * EACH, THREADS * EACH, THREADS * EACH]);
    }

    #[test]
    fn a_bound_belongs_to_its_bucket_and_what_is_longer_than_all_to_none() {
        let times = Histograms::<Duration>::new("times_seconds", "Times.", &[]).unwrap();
        let time = times.with(&[]);
        for value in [Duration::from_micros(500), Duration::from_secs(1), Duration::from_secs(11), Duration::MAX] {
            time.observe(value);
        }
        let families = times.collect();
        let histogram = families[0].get_metric()[0].get_histogram();
        let up_to = |seconds: f64| {
            let bucket = histogram.get_bucket().iter().find(|bucket| bucket.upper_bound() == seconds);
            bucket.unwrap().cumulative_count()
        };
        assert_eq!((up_to(0.0005), up_to(0.25), up_to(1.0), up_to(10.0)), (1, 1, 2, 2));
        assert_eq!(histogram.get_sample_count(), 4);
    }
}
