//! Where the contents of carves are kept, block by block.

mod bucket;
mod files;

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

pub use bucket::CarveBucket;
pub use files::CarveFiles;

/// Why contents cannot be kept or read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct StorageError(pub String);

impl StorageError {
    fn new(why: &str) -> Self {
        Self(why.to_owned())
    }
}

/// What came of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is durable now, or was before, with the same bytes.
    Kept,
    /// It is there with other bytes, which stay.
    Differs,
}

pub type Storing<'a, T> = Pin<Box<dyn Future<Output = Result<T, StorageError>> + Send + 'a>>;

/// A place for blocks. A key names the contents of one carve: 32 digits and letters from `a` to `f`. A block never changes
/// once it is there, and is there as a whole or not at all, also after a crash. All nodes of a server use the same place.
pub trait CarveStorage: std::fmt::Debug + Send + Sync {
    /// Whether blocks can be kept at all.
    fn check(&self) -> Storing<'_, ()>;

    /// Makes a place for contents whose key is new. Blocks are kept in this place alone: a node that sees another storage than
    /// the one on which a carve has begun refuses its blocks, and so does every node once the contents are removed.
    fn begin(&self, key: &str) -> Storing<'_, ()>;

    /// Keeps a block. On `Ok` it is durable. Dropping the future does not take it back.
    fn put(&self, key: &str, block: u64, data: Bytes) -> Storing<'_, Put>;

    /// Reads at most `length` bytes of a block, from `offset` on. An error if there is no such block.
    fn read(&self, key: &str, block: u64, offset: u64, length: usize) -> Storing<'_, Bytes>;

    /// Removes the blocks of these contents, if there are any.
    fn remove(&self, key: &str) -> Storing<'_, ()>;

    /// The first `limit` keys of contents behind `after`, in order.
    fn keys(&self, after: &str, limit: usize) -> Storing<'_, Vec<String>>;
}

fn is_key(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
