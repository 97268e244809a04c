use std::borrow::Cow;

use super::distributed::{DistributedWrite, QueryResult, Stats};
use super::error::ReadError;
use super::rows::RowsIndex;

/// Content of a write, apart from its body: rows are known by their position in the body. A large body can then be read on
/// one thread, and its rows be taken on another.
#[derive(Clone)]
pub struct WriteIndex {
    node_key: Option<String>,
    results: Vec<(String, ResultIndex)>,
    truncated: bool,
}

#[derive(Clone)]
struct ResultIndex {
    rows: RowsIndex,
    status: i64,
    message: Option<String>,
    stats: Option<Stats>,
}

impl WriteIndex {
    /// # Errors
    /// As for [`DistributedWrite::read`].
    pub fn read(body: &[u8]) -> Result<Self, ReadError> {
        let DistributedWrite { node_key, results, truncated } = DistributedWrite::read(body)?;
        let results = results.into_iter().map(|(id, result)| {
            let QueryResult { rows, status, message, stats } = result;
            let message = message.map(Cow::into_owned);
            (id.into_owned(), ResultIndex { rows: rows.index(), status, message, stats })
        });
        Ok(Self { node_key: node_key.map(Cow::into_owned), results: results.collect(), truncated })
    }

    /// The write itself; `body` is the one that was read.
    pub fn of<'a>(&'a self, body: &'a [u8]) -> DistributedWrite<'a> {
        let results = self.results.iter().map(|(id, result)| {
            let ResultIndex { rows, status, message, stats } = result;
            let message = message.as_deref().map(Cow::Borrowed);
            (Cow::Borrowed(id.as_str()), QueryResult { rows: rows.of(body), status: *status, message, stats: *stats })
        });
        let node_key = self.node_key.as_deref().map(Cow::Borrowed);
        DistributedWrite { node_key, results: results.collect(), truncated: self.truncated }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_says_what_the_body_says() {
        let body = br#"{"queries":{"a":[{"x":"\u00e9"},{"y":"2"}],"b":"","c":[]},"statuses":{"a":0,"c":1},
            "messages":{"c":"no \"such\" table"},"stats":{"a":{"wall_time_ms":3}},"node_key":"k\u0031"}"#;
        let (direct, index) = (DistributedWrite::read(body).unwrap(), WriteIndex::read(body).unwrap());
        let indexed = index.of(body);
        assert_eq!((&indexed.node_key, indexed.truncated), (&direct.node_key, direct.truncated));
        assert_eq!(indexed.node_key.as_deref(), Some("k1"));
        let shown = |write: &DistributedWrite<'_>| -> Vec<_> {
            let of = |(id, result): &(Cow<'_, str>, QueryResult<'_>)| {
                let QueryResult { rows, status, message, stats } = result;
                (id.to_string(), rows.decode(), *status, message.as_deref().map(str::to_owned), *stats)
            };
            write.results.iter().map(of).collect()
        };
        assert_eq!(shown(&indexed), shown(&direct));
        assert_eq!(shown(&indexed).len(), 3);
    }
}
