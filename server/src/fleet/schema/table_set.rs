//! The tables of an agent, as they are stored: compressed text with a line for each table, such as
//! `uptime days:I hours:I`. A capital letter stands for the type of a column, a small one for that of a hidden column.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use sha2::{Digest as _, Sha256};

/// Most bytes of a set before it is compressed. That of a stock agent has some forty thousand.
pub(super) const MAX_BYTES: usize = 256 << 10;

/// The type of a column, of those that osquery knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum ColumnType {
    Text,
    Integer,
    BigInt,
    UnsignedBigInt,
    Double,
    Blob,
    #[default]
    Unknown,
}

impl ColumnType {
    const ALL: [(Self, char, &'static str); 7] = [
        (Self::Text, 'T', "TEXT"),
        (Self::Integer, 'I', "INTEGER"),
        (Self::BigInt, 'L', "BIGINT"),
        (Self::UnsignedBigInt, 'U', "UNSIGNED BIGINT"),
        (Self::Double, 'D', "DOUBLE"),
        (Self::Blob, 'B', "BLOB"),
        (Self::Unknown, 'X', ""),
    ];

    /// The type of a word that an agent has written.
    pub fn of_word(word: &str) -> Self {
        let word = word.trim();
        Self::ALL.iter().find(|(.., known)| known.eq_ignore_ascii_case(word)).map_or(Self::Unknown, |(kind, ..)| *kind)
    }

    /// The word as osquery writes it; empty if it is none that osquery knows.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(kind, ..)| *kind == self).map_or("", |(.., word)| word)
    }

    fn letter(self) -> char {
        Self::ALL.iter().find(|(kind, ..)| *kind == self).map_or('X', |(_, letter, _)| *letter)
    }

    fn of_letter(letter: char) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == letter).map(|(kind, ..)| *kind)
    }
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TableColumn {
    pub name: String,
    pub kind: ColumnType,
    /// Whether `SELECT *` leaves it out.
    pub is_hidden: bool,
}

/// Tables by name, each with its columns in the order of the agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TableSet(pub BTreeMap<String, Vec<TableColumn>>);

impl TableSet {
    /// How many columns all tables have together.
    pub fn columns(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// The hash and the bytes that are stored.
    pub fn encode(&self) -> ([u8; 32], Vec<u8>) {
        let text = self.to_text();
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        // Writing to memory has no way to fail.
        let _ = encoder.write_all(text.as_bytes());
        (Sha256::digest(text.as_bytes()).into(), encoder.finish().unwrap_or_default())
    }

    /// Reads what [`TableSet::encode`] has made. `None` if it is something else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut text = String::new();
        ZlibDecoder::new(bytes).take(MAX_BYTES as u64 + 1).read_to_string(&mut text).ok()?;
        if text.len() > MAX_BYTES {
            return None;
        }
        text.lines().map(table_of).collect::<Option<_>>().map(Self)
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        for (name, columns) in &self.0 {
            text.push_str(name);
            for column in columns {
                let letter = column.kind.letter();
                text.push(' ');
                text.push_str(&column.name);
                text.push(':');
                text.push(if column.is_hidden { letter.to_ascii_lowercase() } else { letter });
            }
            text.push('\n');
        }
        text
    }
}

fn table_of(line: &str) -> Option<(String, Vec<TableColumn>)> {
    let mut words = line.split(' ');
    let name = words.next().filter(|name| !name.is_empty())?;
    let column = |word: &str| {
        let (name, letter) = word.split_once(':')?;
        let letter = letter.chars().next()?;
        let kind = ColumnType::of_letter(letter.to_ascii_uppercase())?;
        Some(TableColumn { name: name.to_owned(), kind, is_hidden: letter.is_ascii_lowercase() })
    };
    Some((name.to_owned(), words.map(column).collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column() -> impl Strategy<Value = TableColumn> {
        ("[a-zA-Z_][a-zA-Z0-9_]{0,20}", 0..ColumnType::ALL.len(), any::<bool>())
            .prop_map(|(name, kind, is_hidden)| TableColumn { name, kind: ColumnType::ALL[kind].0, is_hidden })
    }

    proptest! {
        #[test]
        fn sets_read_back_and_same_sets_have_the_same_hash(
            tables in prop::collection::btree_map("[a-z_][a-z0-9_]{0,20}", prop::collection::vec(column(), 1..12), 0..20),
        ) {
            let set = TableSet(tables);
            let (hash, bytes) = set.encode();
            let read = TableSet::decode(&bytes);
            prop_assert_eq!(read.as_ref(), Some(&set));
            prop_assert_eq!(read.unwrap().encode().0, hash);
        }

        #[test]
        fn bytes_that_are_none_of_these_are_refused(bytes in prop::collection::vec(any::<u8>(), 1..40)) {
            // Whatever it is, reading it ends.
            let _ = TableSet::decode(&bytes);
        }
    }

    #[test]
    fn a_set_that_grows_beyond_the_bound_is_refused() {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all("a b:T\n".repeat(MAX_BYTES).as_bytes()).unwrap();
        let bytes = encoder.finish().unwrap();
        assert!(bytes.len() < MAX_BYTES / 10);
        assert_eq!(TableSet::decode(&bytes), None);
        assert_eq!(ColumnType::of_word(" unsigned bigint"), ColumnType::UnsignedBigInt);
        assert_eq!(ColumnType::of_word("VARCHAR(255)"), ColumnType::Unknown);
    }
}
