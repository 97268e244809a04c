use std::fs::{File, TryLockError};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock whose value is consistent between any two statements, so that it stays usable after a panic of another
/// holder.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the lock of a file, which ends when the file is closed or the process ends.
///
/// # Errors
/// With the text of `taken` when the file is locked where it was opened before, by this process or another; or when the
/// file system cannot lock it.
pub fn lock_file(file: &File, taken: impl FnOnce() -> String) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(io::Error::other(taken())),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
