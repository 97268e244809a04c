//! Where the contents of carves are kept, block by block.

mod files;

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

pub use files::CarveFiles;

/// Why contents cannot be kept or read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct StorageError(pub String);

/// What came of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is durable now, or was before, with the same bytes.
    Kept,
    /// It is there with other bytes, which stay.
    Differs,
}

pub type Stored<'a, T> = Pin<Box<dyn Future<Output = Result<T, StorageError>> + Send + 'a>>;

/// A place for blocks. A key names the contents of one carve: 32 digits and letters from `a` to `f`. A block never changes
/// once it is there, and is there as a whole or not at all, also after a crash. All nodes of a server use the same place.
pub trait CarveStorage: std::fmt::Debug + Send + Sync {
    /// Whether blocks can be kept at all.
    fn check(&self) -> Stored<'_, ()>;

    /// Keeps a block. On `Ok` it is durable. Dropping the future does not take it back.
    fn put(&self, key: &str, block: u64, data: Bytes) -> Stored<'_, Put>;

    /// Reads at most `length` bytes of a block, from `offset` on. An error if there is no such block.
    fn read(&self, key: &str, block: u64, offset: u64, length: usize) -> Stored<'_, Bytes>;

    /// Removes the blocks of these contents, if there are any.
    fn remove(&self, key: &str) -> Stored<'_, ()>;

    /// Keys of contents, at most `limit` of them.
    fn keys(&self, limit: usize) -> Stored<'_, Vec<String>>;
}
