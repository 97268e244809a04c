use super::{DetailQuery, Platforms};
use crate::fleet::statistics::{SQL, Sample};

/// The question what scheduled queries have cost. Agents answer it when no scheduled query runs, so it is asked alone.
pub(in crate::fleet::checkin) const STATISTICS: DetailQuery = DetailQuery {
    name: "scheduled_query_stats",
    sql: SQL,
    platforms: Platforms::Apart,
    fill: |said, rows| said.sample = Sample::of(rows, &said.platform),
};
