//! The contents of carves, for those who may take them.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::keep::size_of;
use super::received::Received;
use super::{Carves, unavailable};
use crate::fleet::access::{Permission, Principal};
use crate::fleet::{Error, Result};
use crate::sinks::CarveStorage;
use crate::store::entity::carves::{CarveStatusWord, Model};
use crate::under_way::{WaitsFor, waiting_for};

/// What a zstd stream begins with. Agents compress with `--carver_compression`, and do not say so.
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The contents of a complete carve, which never change.
#[derive(Debug, Clone)]
pub struct CarveContents {
    storage: Arc<dyn CarveStorage>,
    carve: Model,
    is_zstd: bool,
}

impl CarveContents {
    /// Bytes of the contents.
    pub fn size(&self) -> u64 {
        self.carve.carve_size.max(0).unsigned_abs()
    }

    /// Whether they are compressed; an archive in the format of tar otherwise.
    pub fn is_zstd(&self) -> bool {
        self.is_zstd
    }

    /// A name for a file, made of the number of the carve.
    pub fn file_name(&self) -> String {
        format!("carve-{}.{}", self.carve.id, if self.is_zstd { "tar.zst" } else { "tar" })
    }

    /// What tells these contents from all others.
    pub fn tag(&self) -> &str {
        &self.carve.content_key
    }

    pub fn block_count(&self) -> u64 {
        self.carve.block_count.max(0).unsigned_abs()
    }

    /// The size of a block and the SHA-256 of its bytes, in hexadecimal digits. At most `at_once` bytes are in memory at a time.
    ///
    /// # Errors
    /// As for [`CarveContents::read`].
    pub async fn digest(&self, block: u64, at_once: usize) -> Result<(u64, String)> {
        let size = size_of(&self.carve, block).unwrap_or(0);
        let start = block.saturating_mul(self.carve.block_size.max(1).unsigned_abs());
        let (mut sha256, mut read) = (Sha256::new(), 0);
        while read < size {
            let most = usize::try_from(size - read).unwrap_or(at_once).min(at_once);
            let part = self.read(start + read, most).await?;
            sha256.update(&part);
            read += part.len() as u64;
        }
        Ok((size, sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// Bytes from `offset` on: `most` of them, or fewer that end with a block. None behind the end.
    ///
    /// # Errors
    /// [`Error::NotFound`] when they have been removed meanwhile, or [`Error::Unavailable`].
    pub async fn read(&self, offset: u64, most: usize) -> Result<Bytes> {
        let size = self.carve.block_size.max(1).unsigned_abs();
        let most = most.min(usize::try_from(self.size().saturating_sub(offset)).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(Bytes::new());
        }
        let read = self.storage.read(&self.carve.content_key, offset / size, offset % size, most);
        let read = waiting_for(WaitsFor::CarveStorage, read).await.map_err(unavailable)?;
        if read.is_empty() { Err(Error::Unavailable("a block of the carve is cut off".to_owned())) } else { Ok(read) }
    }
}

impl Carves {
    /// The contents of a complete carve.
    ///
    /// # Errors
    /// [`Error::NotFound`] also of one that has expired; [`Error::Invalid`] of one that is not complete;
    /// [`Error::Forbidden`] without the permission to take carves.
    pub async fn contents(&self, principal: &Principal, id: i64) -> Result<CarveContents> {
        principal.may(Permission::TakeCarves)?;
        let carve = self.existing(id).await?;
        match &carve.status {
            CarveStatusWord::Complete => {}
            CarveStatusWord::Expired => return Err(Error::invalid("id", "the contents of this carve have expired")),
            other => return Err(Error::invalid("id", format!("the carve is not complete: it is {other}"))),
        }
        self.note_reading(principal, &carve).await?;
        let storage = Arc::clone(self.storage()?);
        let first = storage.read(&carve.content_key, 0, 0, ZSTD.len());
        let first = waiting_for(WaitsFor::CarveStorage, first).await.map_err(unavailable)?;
        Ok(CarveContents { storage, carve, is_zstd: first == ZSTD })
    }

    /// A block of a carve, complete or not.
    ///
    /// # Errors
    /// As for [`Carves::contents`], and [`Error::Invalid`] for a block that has not come.
    pub async fn block(&self, principal: &Principal, id: i64, block: u64) -> Result<Bytes> {
        principal.may(Permission::TakeCarves)?;
        let carve = self.existing(id).await?;
        if carve.status == CarveStatusWord::Expired {
            return Err(Error::invalid("block_id", "cannot get block for expired carve"));
        }
        let size = size_of(&carve, block).filter(|_| Received::of(&carve.received).has(block));
        let Some(size) = size else {
            return Err(Error::invalid("block_id", format!("block {block} not yet available")));
        };
        self.note_reading(principal, &carve).await?;
        let length = usize::try_from(size).unwrap_or(usize::MAX);
        let read = self.storage()?.read(&carve.content_key, block, 0, length);
        waiting_for(WaitsFor::CarveStorage, read).await.map_err(unavailable)
    }
}
