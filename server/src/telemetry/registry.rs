//! How metrics are declared: one line each, from which the metric, its documentation in the code, and `docs/metrics.md` come.

use prometheus::core::Collector;
use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};

use crate::histogram::{HistogramValue, Histograms};

/// What operators read about a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricDescription {
    /// The heading under which it stands.
    pub group: &'static str,
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

/// A metric that can be made from its name, help and labels.
pub(super) trait Metric: Collector + Clone + Sized + 'static {
    const KIND: &'static str;

    /// # Errors
    /// When the name or a label is none: a fault of the program.
    fn make(name: &str, help: &str, labels: &[&str]) -> Result<Self, prometheus::Error>;
}

macro_rules! kinds {
    ($($metric:ty = $kind:literal $make:expr;)*) => {
        $(
            impl Metric for $metric {
                const KIND: &'static str = $kind;

                fn make(name: &str, help: &str, labels: &[&str]) -> Result<Self, prometheus::Error> {
                    $make(Opts::new(name, help), labels)
                }
            }
        )*
    };
}

kinds! {
    IntCounter = "counter" |options, _: &[&str]| Self::with_opts(options);
    IntGauge = "gauge" |options, _: &[&str]| Self::with_opts(options);
    IntCounterVec = "counter" Self::new;
    IntGaugeVec = "gauge" Self::new;
    GaugeVec = "gauge" Self::new;
}

impl<V: HistogramValue> Metric for Histograms<V> {
    const KIND: &'static str = "histogram";

    fn make(name: &str, help: &str, labels: &[&str]) -> Result<Self, prometheus::Error> {
        Self::new(name, help, labels)
    }
}

/// Declares a struct of metrics by groups, one line each: field, kind, name, labels, help. The help is the field's doc
/// comment, too.
macro_rules! metrics {
    (
        $(#[$meta:meta])*
        $struct:ident {
            $( $group:literal {
                $( $vis:vis $field:ident: $kind:ty = $name:literal [$($label:literal),*] $help:literal; )*
            } )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub struct $struct {
            $($( #[doc = $help] $vis $field: $kind, )*)*
        }

        impl $struct {
            pub(super) const DESCRIPTIONS: &[$crate::telemetry::registry::MetricDescription] = &[
                $($( $crate::telemetry::registry::MetricDescription {
                    group: $group,
                    name: $name,
                    kind: <$kind as $crate::telemetry::registry::Metric>::KIND,
                    labels: &[$($label),*],
                    help: $help,
                }, )*)*
            ];

            /// Makes the metrics and adds them to the registry.
            ///
            /// # Errors
            /// When two metrics have one name: a fault of the program.
            pub(super) fn register(registry: &prometheus::Registry) -> Result<Self, prometheus::Error> {
                use $crate::telemetry::registry::Metric as _;
                let made = Self {
                    $($( $field: <$kind>::make($name, $help, &[$($label),*])?, )*)*
                };
                $($( registry.register(Box::new(made.$field.clone()))?; )*)*
                Ok(made)
            }
        }
    };
}
pub(super) use metrics;
