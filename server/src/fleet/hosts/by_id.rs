//! Hosts in memory by id. The database gives ids out one after the other, so arrays take far fewer bytes than a hash map.

use std::iter::repeat_with;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;

use super::Host;

const PAGE_BITS: u32 = 9;

/// Ids in a page.
const PAGE: usize = 1 << PAGE_BITS;

/// Hosts by id. All of it works without locks. A page stays until the process ends, though all its hosts are gone.
#[derive(Debug, Default)]
pub(super) struct HostsById {
    pages: papaya::HashMap<i64, Arc<HostPage>>,
    count: AtomicUsize,
}

#[derive(Debug)]
struct HostPage(Box<[ArcSwapOption<Host>]>);

impl Default for HostPage {
    fn default() -> Self {
        Self(repeat_with(ArcSwapOption::empty).take(PAGE).collect())
    }
}

impl HostsById {
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub fn get(&self, id: i64) -> Option<Arc<Host>> {
        let (page, at) = position(id);
        self.pages.pin().get(&page)?.0[at].load_full()
    }

    /// The host with this id, made if there is none.
    pub fn get_or_insert_with(&self, id: i64, make: impl FnOnce() -> Host) -> Arc<Host> {
        let (page, at) = position(id);
        let pages = self.pages.pin();
        let slot = &pages.get_or_insert_with(page, Arc::default).0[at];
        if let Some(host) = slot.load_full() {
            return host;
        }
        let made = Arc::new(make());
        // Before it is there to be removed, so that the count never falls below zero.
        self.count.fetch_add(1, Ordering::Relaxed);
        // Who comes second finds the host of the first.
        match &*slot.compare_and_swap(&None::<Arc<Host>>, Some(Arc::clone(&made))) {
            Some(host) => {
                self.count.fetch_sub(1, Ordering::Relaxed);
                Arc::clone(host)
            }
            None => made,
        }
    }

    pub fn remove(&self, id: i64) {
        let (page, at) = position(id);
        if self.pages.pin().get(&page).is_some_and(|page| page.0[at].swap(None).is_some()) {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// All hosts, in no order.
    pub fn all(&self) -> Vec<Arc<Host>> {
        let pages = self.pages.pin();
        pages.values().flat_map(|page| page.0.iter()).filter_map(ArcSwapOption::load_full).collect()
    }

    /// What `of` makes of the hosts, without those of which it makes nothing. Unlike [`HostsById::all`], it writes to no host:
    /// the threads that answer agents keep what they have of them in their caches.
    pub fn each<T>(&self, of: impl Fn(&Host) -> Option<T>) -> Vec<T> {
        let pages = self.pages.pin();
        let slots = pages.values().flat_map(|page| page.0.iter());
        slots.filter_map(|slot| slot.load().as_deref().and_then(&of)).collect()
    }
}

/// Page of an id, and its place there.
fn position(id: i64) -> (i64, usize) {
    (id >> PAGE_BITS, usize::try_from(id & (PAGE as i64 - 1)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(id: i64) -> Host {
        Host::unasked(id, "")
    }

    #[test]
    fn a_host_is_made_once_and_found_until_it_is_removed() {
        let hosts = HostsById::default();
        for id in [1, 511, 512, i64::MAX, -1, 512] {
            let made = hosts.get_or_insert_with(id, || host(id));
            let found = hosts.get_or_insert_with(id, || host(0));
            assert!(Arc::ptr_eq(&made, &found) && found.id == id, "{id}");
        }
        assert_eq!((hosts.len(), hosts.all().len()), (5, 5));
        assert_eq!(hosts.each(|host| (host.id > 511).then_some(())).len(), 2);
        assert!(hosts.get(2).is_none() && hosts.get(100_000).is_none());
        for id in [512, 512, 2] {
            hosts.remove(id);
        }
        assert!(hosts.get(512).is_none());
        assert_eq!(hosts.len(), 4);
    }

    #[test]
    fn threads_that_make_a_host_at_one_time_get_the_same() {
        let hosts = HostsById::default();
        for id in 0..100 {
            let made: Vec<Arc<Host>> = std::thread::scope(|scope| {
                let threads = [(); 4].map(|()| scope.spawn(|| hosts.get_or_insert_with(id, || host(id))));
                threads.map(|thread| thread.join().unwrap()).into()
            });
            assert!(made.iter().all(|host| Arc::ptr_eq(host, &made[0])));
        }
        assert_eq!(hosts.len(), 100);
    }
}
