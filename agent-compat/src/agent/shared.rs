//! Agents of one process that get the same configuration share one reading of it.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
};

use super::{document::Document, version::Version};

/// Number of entries at which dead ones are first removed.
const FIRST_SWEEP: usize = 64;

#[derive(Default)]
struct Shelf {
    documents: HashMap<(String, Version), Weak<Document>>,
    sweep_at: usize,
}

static SHELF: LazyLock<Mutex<Shelf>> = LazyLock::new(Mutex::default);

/// The document with this hash as this release reads it; `read` is called if no agent has it.
pub(super) fn document(hash: &str, version: Version, read: impl FnOnce() -> Document) -> Arc<Document> {
    let key = (hash.to_owned(), version);
    if let Some(known) = shelf().documents.get(&key).and_then(Weak::upgrade) {
        return known;
    }
    let document = Arc::new(read());
    let mut shelf = shelf();
    shelf.documents.insert(key, Arc::downgrade(&document));
    if shelf.documents.len() > shelf.sweep_at.max(FIRST_SWEEP) {
        shelf.documents.retain(|_, document| document.strong_count() > 0);
        shelf.sweep_at = shelf.documents.len() * 2;
    }
    document
}

fn shelf() -> std::sync::MutexGuard<'static, Shelf> {
    SHELF.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_configurations_are_read_once() {
        let version = Version::parse("5.12.0");
        let first = document("shared-test", version, Document::default);
        let second = document("shared-test", version, || panic!("already read"));
        assert!(Arc::ptr_eq(&first, &second));
        let other = document("shared-test", Version::parse("5.1.0"), Document::default);
        assert!(!Arc::ptr_eq(&first, &other));
    }
}
