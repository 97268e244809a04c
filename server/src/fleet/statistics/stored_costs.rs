//! Costs as bytes in the database: a format, and the deflated costs of one query or of several.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use super::bytes::{put, put_signed, take, take_signed};
use super::query_costs::QueryCosts;

/// The first byte.
const FORMAT: u8 = 1;

/// Most bytes that are inflated from a row.
const MAX_INFLATED: u64 = 64 << 20;

/// Most bytes of a part before they are deflated. It goes into one statement.
const MAX_PART: usize = 8 << 20;

/// Parts into which the queries of an hour are divided, so that whoever wants one query does not read all of them.
pub(super) const PARTS: i64 = 16;

/// Costs by version of the query.
pub(super) type CostsByVersion = BTreeMap<i64, QueryCosts>;

/// The part that a version of a query is in.
pub(super) fn part_of(version_id: i64) -> i64 {
    version_id.rem_euclid(PARTS)
}

pub(super) fn encode(costs: &QueryCosts) -> Vec<u8> {
    let mut bytes = Vec::new();
    costs.put_into(&mut bytes);
    // Kept for long.
    deflated(&bytes, Compression::default())
}

/// `None` for bytes of another format and broken ones.
pub(super) fn decode(bytes: &[u8]) -> Option<QueryCosts> {
    QueryCosts::take_from(&mut &inflated(bytes)?[..])
}

/// `None` if that is more than a part may hold.
pub(super) fn encode_several(all: &CostsByVersion) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    put(&mut bytes, all.len() as u64);
    for (version_id, costs) in all {
        put_signed(&mut bytes, *version_id);
        costs.put_into(&mut bytes);
    }
    // Replaced every minute.
    (bytes.len() <= MAX_PART).then(|| deflated(&bytes, Compression::fast()))
}

/// As [`decode`].
pub(super) fn decode_several(bytes: &[u8]) -> Option<CostsByVersion> {
    let bytes = inflated(bytes)?;
    let rest = &mut &bytes[..];
    let mut all = CostsByVersion::new();
    for _ in 0..take(rest)? {
        let version_id = take_signed(rest)?;
        all.insert(version_id, QueryCosts::take_from(rest)?);
    }
    Some(all)
}

fn deflated(bytes: &[u8], compression: Compression) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(vec![FORMAT], compression);
    // Writing to memory has no way to fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

fn inflated(bytes: &[u8]) -> Option<Vec<u8>> {
    let (&FORMAT, deflated) = bytes.split_first()? else { return None };
    let mut inflated = Vec::new();
    let read = DeflateDecoder::new(deflated).take(MAX_INFLATED + 1).read_to_end(&mut inflated).ok()?;
    (read as u64 <= MAX_INFLATED).then_some(inflated)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fleet::statistics::agent_version::AgentVersion;
    use crate::fleet::statistics::difference::Runs;
    use crate::fleet::statistics::query_costs::Group;

    /// A number that looks random.
    fn mixed(seed: u64) -> u64 {
        let mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 17
    }

    /// An hour of a query on so many hosts of several kinds.
    fn hour_of(hosts: u64) -> QueryCosts {
        let mut costs = QueryCosts::default();
        for host in 0..hosts {
            let platform = ["ubuntu", "darwin", "windows"][(host % 3) as usize];
            let version = AgentVersion::of(["5.12.2", "5.22.1", "5.23.1"][(mixed(host) % 3) as usize]);
            // Hosts differ by a factor of about thirty.
            let spread = |seed: u64, least: f64| least * (f64::from((mixed(seed) % 3_400) as u32) / 1_000.0).exp();
            let runs = Runs {
                runs: 60,
                user_ms: spread(host, 600.0) as u64 / 10 * 10,
                system_ms: spread(host + 1_000_000, 120.0) as u64 / 10 * 10,
                wall_ms: spread(host + 2_000_000, 1_500.0) as u64,
                output_bytes: spread(host + 3_000_000, 9_000.0) as u64,
                memory_bytes: (mixed(host) % 300) * 4096,
            };
            costs.add(host.cast_signed(), &Group::of(platform, version), &runs, true);
        }
        costs
    }

    #[test]
    fn costs_read_back() {
        let all: CostsByVersion = [(7, hour_of(40)), (-1, hour_of(3)), (1 << 40, QueryCosts::default())].into();
        assert_eq!(decode_several(&encode_several(&all).unwrap()), Some(all));
        let one = hour_of(9);
        let mut bytes = encode(&one);
        assert_eq!(decode(&bytes), Some(one));
        bytes[0] = 2;
        assert_eq!(decode(&bytes), None, "another format");
        assert_eq!(decode(&[]), None);
    }

    #[test]
    fn a_part_that_is_too_large_is_refused() {
        let one = hour_of(2_000);
        let all: CostsByVersion = (0..3_000).map(|id| (id, one.clone())).collect();
        assert_eq!(encode_several(&all), None);
    }

    /// With the last samples this keeps 24 hours of a hundred queries on ten thousand hosts within 60 MB: two rows at least
    /// share a page of 16 KiB.
    #[test]
    fn an_hour_of_ten_thousand_hosts_takes_few_bytes() {
        let bytes = encode(&hour_of(10_000)).len();
        assert!(bytes < 7_500, "{bytes}");
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_broken(mut bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = (decode(&bytes), decode_several(&bytes));
            bytes.insert(0, FORMAT);
            let _ = (decode(&bytes), decode_several(&bytes));
        }
    }
}
