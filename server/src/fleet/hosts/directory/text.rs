//! A column of text. Texts stand behind each other in pages, so that a search reads memory in order and a text takes few
//! bytes beside its own.

use memchr::{memchr_iter, memchr2_iter};

/// Texts in a page. A change moves the rest of its page.
const PAGE: usize = 256;

/// The part of its length by which a page grows beyond what it needs: little, as the texts of a fleet soon have the length that
/// they will keep, and hosts enroll without most of their names.
const SPARE_PART: usize = 16;

/// Texts by slot.
#[derive(Debug, Default)]
pub(super) struct TextColumn(Vec<TextPage>);

#[derive(Debug, Default)]
struct TextPage {
    text: String,
    /// Where the text of each slot ends.
    ends: Vec<u32>,
}

impl TextPage {
    fn range(&self, slot: usize) -> std::ops::Range<usize> {
        let start = if slot == 0 { 0 } else { self.ends[slot - 1] as usize };
        start..self.ends[slot] as usize
    }
}

impl TextColumn {
    /// The text of a slot; empty for one that was never set.
    pub fn get(&self, slot: u32) -> &str {
        let (page, slot) = (slot as usize / PAGE, slot as usize % PAGE);
        match self.0.get(page) {
            Some(page) if slot < page.ends.len() => &page.text[page.range(slot)],
            _ => "",
        }
    }

    pub fn set(&mut self, slot: u32, text: &str) {
        let (page, slot) = (slot as usize / PAGE, slot as usize % PAGE);
        if self.0.len() <= page {
            self.0.resize_with(page + 1, TextPage::default);
        }
        let page = &mut self.0[page];
        if page.ends.len() <= slot {
            let end = u32::try_from(page.text.len()).unwrap_or(u32::MAX);
            page.ends.resize(slot + 1, end);
        }
        let range = page.range(slot);
        if page.text[range.clone()] == *text {
            return;
        }
        let (was, is) = (range.len(), text.len());
        let length = page.text.len() + is - was;
        if length > page.text.capacity() {
            page.text.reserve_exact(length + length / SPARE_PART - page.text.len());
        }
        page.text.replace_range(range, text);
        for end in &mut page.ends[slot..] {
            let moved = *end as usize + is - was;
            *end = u32::try_from(moved).unwrap_or(u32::MAX);
        }
    }

    /// Calls `found` with each slot whose text contains `needle`, in ascending order. Capitals from A to Z do not matter.
    /// `needle` is not empty.
    pub fn search(&self, needle: &str, mut found: impl FnMut(u32)) {
        let needle = needle.as_bytes();
        let Some(first) = needle.first().copied() else { return };
        for (number, page) in self.0.iter().enumerate() {
            let bytes = page.text.as_bytes();
            let mut slot = 0;
            let mut visit = |at: usize| {
                let end = at + needle.len();
                if end > bytes.len() || !bytes[at..end].eq_ignore_ascii_case(needle) {
                    return;
                }
                while page.ends[slot] as usize <= at {
                    slot += 1;
                }
                if end <= page.ends[slot] as usize {
                    found(u32::try_from(number * PAGE + slot).unwrap_or(u32::MAX));
                }
            };
            if first.is_ascii_alphabetic() {
                memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), bytes).for_each(&mut visit);
            } else {
                memchr_iter(first, bytes).for_each(&mut visit);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(column: &TextColumn, needle: &str) -> Vec<u32> {
        let mut slots = Vec::new();
        column.search(needle, |slot| slots.push(slot));
        slots.dedup();
        slots
    }

    #[test]
    fn texts_are_kept_changed_and_found_by_a_part_in_any_case() {
        let mut column = TextColumn::default();
        for slot in [3_u32, 0, 700, 255, 256] {
            column.set(slot, &format!("Host-{slot}"));
        }
        assert_eq!((column.get(3), column.get(1), column.get(9_999)), ("Host-3", "", ""));
        assert_eq!(found(&column, "hOST-"), [0, 3, 255, 256, 700]);
        assert_eq!(found(&column, "25"), [255, 256]);
        column.set(3, "a much longer name");
        column.set(0, "");
        assert_eq!((column.get(3), column.get(0), column.get(255)), ("a much longer name", "", "Host-255"));
        assert_eq!(found(&column, "LONGER"), [3]);
        assert_eq!(found(&column, "namehost"), [0_u32; 0], "no match reaches over two texts");
    }
}
