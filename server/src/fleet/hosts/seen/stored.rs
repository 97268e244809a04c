//! A page of last-seen times as bytes in the database: a format, the newest time, and for each host how long before
//! that it was seen. The numbers are written seven bits to a byte, so a host that is online takes one byte, one that
//! fell silent within three weeks three, and hosts that were never seen take two or three bytes for all that follow one
//! another.

use super::times::PAGE_IDS;

/// The first byte.
const FORMAT: u8 = 1;

/// Why a page cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// A newer version may have written it. It is left alone.
    OtherFormat,
    /// It is damaged, and is stored anew.
    Broken,
}

/// Says that a number of hosts follow that were never seen.
const NEVER: u32 = 0;

pub(super) fn encode(times: &[u32]) -> Vec<u8> {
    let newest = times.iter().copied().max().unwrap_or_default();
    let mut bytes = vec![FORMAT];
    bytes.extend_from_slice(&newest.to_le_bytes());
    let mut never = 0;
    for seconds in times {
        if *seconds == 0 {
            never += 1;
            continue;
        }
        if never > 0 {
            put(&mut bytes, NEVER);
            put(&mut bytes, std::mem::take(&mut never));
        }
        put(&mut bytes, newest - seconds + 1);
    }
    bytes
}

/// The times of a page.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<u32>, Unreadable> {
    match bytes.split_first() {
        Some((&FORMAT, rest)) => decode_times(rest).ok_or(Unreadable::Broken),
        Some(_) => Err(Unreadable::OtherFormat),
        None => Err(Unreadable::Broken),
    }
}

fn decode_times(bytes: &[u8]) -> Option<Vec<u32>> {
    let (newest, mut rest) = bytes.split_first_chunk::<4>()?;
    let newest = u32::from_le_bytes(*newest);
    let mut times = Vec::with_capacity(PAGE_IDS);
    while !rest.is_empty() {
        match take(&mut rest)? {
            NEVER => {
                let end = times.len().checked_add(take(&mut rest)? as usize).filter(|end| *end <= PAGE_IDS)?;
                times.resize(end, 0);
            }
            before => times.push(newest.checked_sub(before - 1)?),
        }
        if times.len() > PAGE_IDS {
            return None;
        }
    }
    times.resize(PAGE_IDS, 0);
    Some(times)
}

fn put(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0;
    for shift in (0..u32::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u32::from(byte & 0x7f);
        number |= bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page_takes_as_few_bytes_as_it_has_news() {
        let mut times = vec![0; PAGE_IDS];
        assert_eq!(encode(&times).len(), 5);
        times[30_000] = 1_768_478_400;
        assert_eq!(encode(&times).len(), 10);
        times.fill(1_768_478_400);
        times[0] -= 60;
        assert_eq!(encode(&times).len(), PAGE_IDS + 5);
        times[1..].fill(1_768_478_400 - 20 * 24 * 3600);
        assert_eq!(encode(&times).len(), 5 + 1 + 3 * (PAGE_IDS - 1));
    }

    #[test]
    fn pages_of_other_formats_and_broken_ones_are_told_apart() {
        let good = encode(&[5, 0, 0, 7]);
        assert_eq!(decode(&good).unwrap()[..5], [5, 0, 0, 7, 0]);
        let of_newer_version = [&[2], &good[1..]].concat();
        let too_long = [&good[..], &[0, 0x80, 0x80, 0x02]].concat();
        let before_1970 = [1, 1, 0, 0, 0, 3];
        assert_eq!(decode(&of_newer_version), Err(Unreadable::OtherFormat));
        for broken in [&[][..], &good[..4], &[&good[..], &[0]].concat(), &too_long, &before_1970] {
            assert_eq!(decode(broken), Err(Unreadable::Broken), "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn pages_read_back(
            seen in prop::collection::btree_map(0..PAGE_IDS, prop_oneof![1..=u32::MAX, 1_768_000_000..1_768_000_200_u32], 0..300)
        ) {
            let mut times = vec![0; PAGE_IDS];
            seen.iter().for_each(|(slot, seconds)| times[*slot] = *seconds);
            prop_assert_eq!(decode(&encode(&times)), Ok(times));
        }

        #[test]
        fn no_bytes_are_too_broken(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }
    }
}
