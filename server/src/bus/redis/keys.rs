//! The keys of jobs, and pages with two bits for each host.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;

use crate::bus::JobKey;

/// Hosts of one page, which has at most 8 KiB then.
const PAGE: u64 = 32 * 1024;

/// The two bits of a settled host; 0 is pending, 1 claimed.
const SETTLED: u8 = 2;

/// A key of a job.
pub(super) fn key(job: JobKey, name: &str) -> String {
    format!("{{muster:live:{}}}:{name}", job.id)
}

/// The key of a page of a job's hosts.
pub(super) fn page_key(job: JobKey, page: u64) -> String {
    key(job, &format!("hosts:{page}"))
}

/// The key of a host's page, and the host's bits in it.
pub(super) fn page_and_bits(job: JobKey, host: i64) -> (String, String) {
    let host = host.cast_unsigned();
    (page_key(job, host / PAGE), format!("#{}", host % PAGE))
}

/// Pages in which these hosts are settled.
pub(super) fn pages(settled: &RoaringTreemap) -> BTreeMap<u64, Vec<u8>> {
    let mut pages: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for host in settled {
        let page = pages.entry(host / PAGE).or_default();
        let bit = usize::try_from(host % PAGE).unwrap_or(0) * 2;
        if page.len() <= bit / 8 {
            page.resize(bit / 8 + 1, 0);
        }
        // why: the order of `BITFIELD`, which counts bits from the highest of each byte.
        page[bit / 8] |= SETTLED << (6 - bit % 8);
    }
    pages
}
