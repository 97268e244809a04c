use std::fmt;

/// Most ranges of one carve. Agents send blocks in order, so each gap is a block that was lost.
const MAX_RANGES: usize = 64;

/// Which blocks of a carve are kept, as ranges that neither meet nor overlap, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Received(Vec<(u64, u64)>);

/// What a block adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    New,
    Repeated,
    /// There are too many gaps to remember another one.
    TooScattered,
}

impl Received {
    /// Reads what `Display` writes; what is no range is left out.
    pub fn of(text: &str) -> Self {
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some((first.parse().ok()?, last.parse().ok()?))
        };
        Self(text.split(',').filter_map(range).collect())
    }

    pub fn add(&mut self, block: u64) -> Added {
        let at = self.0.partition_point(|(_, last)| *last < block);
        if self.0.get(at).is_some_and(|(first, _)| *first <= block) {
            return Added::Repeated;
        }
        let follows = at > 0 && self.0[at - 1].1 + 1 == block;
        let precedes = self.0.get(at).is_some_and(|(first, _)| *first == block + 1);
        match (follows, precedes) {
            (true, true) => {
                self.0[at - 1].1 = self.0[at].1;
                self.0.remove(at);
            }
            (true, false) => self.0[at - 1].1 = block,
            (false, true) => self.0[at].0 = block,
            (false, false) if self.0.len() == MAX_RANGES => return Added::TooScattered,
            (false, false) => self.0.insert(at, (block, block)),
        }
        Added::New
    }

    pub fn has(&self, block: u64) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&block))
    }

    pub fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// How many blocks from 0 on are there without a gap.
    pub fn in_front(&self) -> u64 {
        self.0.first().filter(|(first, _)| *first == 0).map_or(0, |(_, last)| last + 1)
    }
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (first, last)) in self.0.iter().enumerate() {
            f.write_str(if n > 0 { "," } else { "" })?;
            match first == last {
                true => write!(f, "{first}")?,
                false => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_are_the_set_of_blocks_that_were_added(blocks in prop::collection::vec(0_u64..60, 0..120)) {
            let (mut received, mut set) = (Received::default(), BTreeSet::new());
            for block in blocks {
                let added = received.add(block);
                prop_assert_eq!(added, if set.insert(block) { Added::New } else { Added::Repeated });
                received = Received::of(&received.to_string());
            }
            prop_assert_eq!(received.count(), set.len() as u64);
            let in_front = (0..).take_while(|block| set.contains(block)).count();
            prop_assert_eq!(received.in_front(), in_front as u64);
            prop_assert!((0..61).all(|block| received.has(block) == set.contains(&block)));
            prop_assert!(received.0.windows(2).all(|two| two[0].1 + 1 < two[1].0));
        }
    }

    #[test]
    fn gaps_are_bounded() {
        let mut received = Received::default();
        for block in 0..MAX_RANGES as u64 {
            assert_eq!(received.add(block * 2), Added::New);
        }
        assert_eq!(received.add(1_000), Added::TooScattered);
        assert_eq!(received.add(1), Added::New, "a gap that closes makes room");
        assert_eq!(received.add(1_000), Added::New);
        assert_eq!(Received::of(""), Received::default());
    }
}
