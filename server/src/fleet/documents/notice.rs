//! What operators are told while documents come from a folder.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use muster_api::rest::DocumentsStatus;

use crate::config;

/// The folder that documents come from, and how that goes, as this node knows it.
#[derive(Debug)]
pub struct DocumentsNotice {
    folder: String,
    seconds: u64,
    /// Whether its files name the enroll secrets.
    names_secrets: AtomicBool,
    status: ArcSwap<DocumentsStatus>,
}

impl DocumentsNotice {
    /// `None` if documents do not come from a folder.
    pub fn of(config: &config::Documents) -> Option<Arc<Self>> {
        let folder = config.folder.as_deref().map(Path::display)?.to_string();
        let status = DocumentsStatus { folder: Some(folder.clone()), ..DocumentsStatus::default() };
        let (seconds, status) = (config.interval.as_secs(), ArcSwap::from_pointee(status));
        Some(Arc::new(Self { folder, seconds, names_secrets: AtomicBool::new(false), status }))
    }

    pub fn status(&self) -> Arc<DocumentsStatus> {
        self.status.load_full()
    }

    pub fn folder(&self) -> &str {
        &self.folder
    }

    pub fn names_secrets(&self) -> bool {
        self.names_secrets.load(Ordering::Relaxed)
    }

    /// Why changes of documents are refused, and what to do.
    pub fn why_refused(&self) -> String {
        format!(
            "documents come from the folder {} of the server alone (documents.folder): change its files, in their repository if it is a \
             checkout; the server applies them within {} s of their arrival",
            self.folder,
            self.seconds.saturating_mul(2)
        )
    }

    pub(super) fn publish(&self, status: DocumentsStatus, names_secrets: bool) {
        self.names_secrets.store(names_secrets, Ordering::Relaxed);
        self.status.store(Arc::new(DocumentsStatus { folder: Some(self.folder.clone()), ..status }));
    }
}
