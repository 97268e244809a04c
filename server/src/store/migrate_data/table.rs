use sea_orm::Value;
use sha2::{Digest as _, Sha256};

/// A table as both databases have it.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub name: String,
    pub columns: Vec<Column>,
    /// Positions of the columns of the primary key, in its order.
    pub key: Vec<usize>,
}

#[derive(Debug, Clone)]
pub(super) struct Column {
    pub name: String,
    pub kind: ColumnKind,
}

/// What a column holds, as the target declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnKind {
    Number,
    Real,
    Text,
    Bytes,
}

impl Table {
    /// The columns, quoted for both databases' taste: MySQL's.
    pub fn column_list(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|column| format!("`{}`", column.name)).collect();
        names.join(", ")
    }
}

/// How many rows there are and what they hold, in whatever order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub rows: u64,
    /// Sum of the rows' hashes.
    pub checksum: u128,
}

impl Summary {
    pub fn add(&mut self, row: &[Value]) {
        let mut hash = Sha256::new();
        for value in row {
            match value {
                Value::BigInt(Some(number)) => field(&mut hash, b'i', &number.to_le_bytes()),
                Value::Double(Some(number)) => field(&mut hash, b'r', &number.to_bits().to_le_bytes()),
                Value::String(Some(text)) => field(&mut hash, b't', text.as_bytes()),
                Value::Bytes(Some(bytes)) => field(&mut hash, b'b', bytes),
                _ => field(&mut hash, b'n', &[]),
            }
        }
        let mut start = [0; 16];
        start.copy_from_slice(&hash.finalize()[..16]);
        self.checksum = self.checksum.wrapping_add(u128::from_le_bytes(start));
        self.rows += 1;
    }
}

/// ColumnKind and length first, so that no two rows are written alike.
fn field(hash: &mut Sha256, kind: u8, bytes: &[u8]) {
    hash.update([kind]);
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

/// What a value adds to a statement.
pub(super) fn size(value: &Value) -> usize {
    match value {
        Value::String(Some(text)) => text.len(),
        Value::Bytes(Some(bytes)) => bytes.len(),
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(rows: &[&[Value]]) -> Summary {
        let mut summary = Summary::default();
        rows.iter().for_each(|row| summary.add(row));
        summary
    }

    #[test]
    fn only_the_order_of_rows_is_left_out() {
        let (a, b): (Value, Value) = ("a".to_owned().into(), "b".to_owned().into());
        let both = summary(&[&[a.clone(), b.clone()], &[b.clone(), a.clone()]]);
        assert_eq!(both, summary(&[&[b.clone(), a.clone()], &[a.clone(), b.clone()]]));
        assert_ne!(both, summary(&[&[a.clone(), b.clone()], &[a.clone(), b.clone()]]));
        let joined: Value = "ab".to_owned().into();
        assert_ne!(summary(&[&[joined, String::new().into()]]), summary(&[&[a, b]]));
        assert_ne!(summary(&[&[Value::BigInt(None)]]), summary(&[&[Value::BigInt(Some(0))]]));
    }
}
