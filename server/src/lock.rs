use std::fs::{File, TryLockError};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock whose value is consistent between any two statements, so that it stays usable after a panic of another
/// holder.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the lock of a file, which ends with the file or the process.
///
/// # Errors
/// With the text of `taken` when another process holds the lock.
pub fn lock_file(file: &File, taken: impl FnOnce() -> String) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(io::Error::other(taken())),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
