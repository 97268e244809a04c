//! Impact words with their number.

use maud::{Markup, html};
use muster_api::rest::{CostPercentiles, Impact};

use super::badge::{Tone, badge};
use super::number::milliseconds;

/// How much a query burdens its hosts, in a word.
pub(in crate::admin::pages) fn impact_badge(impact: Impact) -> Markup {
    match impact {
        Impact::Undetermined => badge(Tone::Unknown, "Undetermined"),
        Impact::Minimal => badge(Tone::Good, "Minimal"),
        Impact::Considerable => badge(Tone::Attention, "Considerable"),
        Impact::Excessive => badge(Tone::Bad, "Excessive"),
        Impact::Denylisted => badge(Tone::Bad, "Denylisted"),
    }
}

/// A percentile of the time of a run; a dash if nobody knows.
pub(in crate::admin::pages) fn of_run(
    percentiles: Option<CostPercentiles>,
    percentile: fn(CostPercentiles) -> f64,
) -> Markup {
    match percentiles {
        Some(percentiles) => html! { (milliseconds(percentile(percentiles))) },
        None => html! { span.muted { "–" } },
    }
}
