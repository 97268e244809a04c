use ::redis::{Value, from_redis_value};

use crate::bus::BusError;

/// An entry of a stream: its number, its value, and its tag if it has one.
pub(super) struct StreamEntry {
    pub number: u64,
    pub value: Vec<u8>,
    pub tag: u64,
}

impl StreamEntry {
    /// # Errors
    /// When it is none.
    pub fn read(entry: Value) -> Result<Self, BusError> {
        let read = || -> Option<Self> {
            let (id, fields): (String, Vec<Vec<u8>>) = from_redis_value(entry).ok()?;
            let number = id.split('-').next()?.parse().ok()?;
            // The names of the fields come between the values.
            let mut values = fields.into_iter().skip(1).step_by(2);
            let value = values.next()?;
            let tag = values.next().and_then(|tag| std::str::from_utf8(&tag).ok()?.parse().ok()).unwrap_or(0);
            Some(Self { number, value, tag })
        };
        read().ok_or_else(|| BusError::Unavailable("Redis holds something else than was put there".to_owned()))
    }
}
