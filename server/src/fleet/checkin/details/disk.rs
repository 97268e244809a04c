use sea_orm::Set;

use super::tables::first_row;
use super::{DetailQuery, HostAnswers, Platforms};
use muster_api::osquery::Rows;

pub(super) const DISK_SPACE_UNIX: DetailQuery = DetailQuery {
    name: "disk_space_unix",
    sql: "SELECT blocks_available * 100.0 / blocks AS percent, blocks_available * blocks_size / 1e9 AS gigs \
          FROM mounts WHERE path = '/' AND blocks > 0 LIMIT 1",
    platforms: Platforms::NotWindows,
    fill,
};

pub(super) const DISK_SPACE_WINDOWS: DetailQuery = DetailQuery {
    name: "disk_space_windows",
    sql: "SELECT SUM(free_space) * 100.0 / SUM(size) AS percent, SUM(free_space) / 1e9 AS gigs \
          FROM logical_drives WHERE file_system = 'NTFS'",
    platforms: Platforms::Windows,
    fill,
};

fn fill(said: &mut HostAnswers, rows: Rows<'_>) {
    let row = first_row(rows);
    let number = |column: &str| row.get(column)?.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    if let (Some(percent), Some(gigs)) = (number("percent"), number("gigs")) {
        said.host.percent_disk_space_available = Set((percent * 10.0).round() / 10.0);
        said.host.gigs_disk_space_available = Set((gigs * 100.0).round() / 100.0);
    }
}
