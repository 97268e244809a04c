use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock whose value is consistent between any two statements, so that it stays usable after a panic of another
/// holder.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
