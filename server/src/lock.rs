use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock whose value is whole between any two statements, so that a panic of another holder leaves it usable.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
