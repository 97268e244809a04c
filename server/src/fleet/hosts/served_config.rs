use std::sync::Arc;

use arc_swap::{ArcSwapOption, ArcSwapWeak};

use crate::fleet::schedule::Assembled;

/// The config that a host was served last.
#[derive(Debug, Default)]
pub struct ServedConfig {
    /// In the cache, unless it had to go.
    last: ArcSwapWeak<Assembled>,
    /// The last one that agents can load, of a host whose present one is too large for any.
    kept: ArcSwapOption<Assembled>,
}

impl ServedConfig {
    pub fn get(&self) -> Option<Arc<Assembled>> {
        self.kept().or_else(|| self.last.load().upgrade())
    }

    /// The config that is kept for the host.
    pub fn kept(&self) -> Option<Arc<Assembled>> {
        self.kept.load_full()
    }

    /// Notes a config that agents can load. True when it is another one than before.
    pub fn is_served(&self, config: &Arc<Assembled>) -> bool {
        let is_new = self.last.load().as_ptr() != Arc::as_ptr(config);
        if is_new {
            self.last.store(Arc::downgrade(config));
        }
        if self.kept.load().is_some() {
            self.kept.store(None);
        }
        is_new
    }

    /// Keeps a config, however long the present one is too large.
    pub fn keep(&self, config: Arc<Assembled>) {
        self.kept.store(Some(config));
    }
}
