use super::{DetailQuery, Platforms};
use crate::fleet::schema::{SQL, TableReport};

/// The question which tables and columns the agent has. The answer is long, so it is asked alone.
pub(in crate::fleet::checkin) const SCHEMA: DetailQuery = DetailQuery {
    name: "table_schema",
    sql: SQL,
    platforms: Platforms::Apart,
    fill: |said, rows| said.tables = TableReport::of(rows),
};
