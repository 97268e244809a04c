//! Blocks as files: `DIR/KEY/NUMBER`.
//!
//! A block is written under a name of its own, flushed, and then linked to its number, which fails if that is taken. So a
//! number stands for a whole block that never changes, whoever writes at the same time and whenever the power fails. The
//! folder must be on a file system that knows hard links.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::{CarveStorage, Put, StorageError, Storing, is_key};

/// Most files that are written, read or removed at one time.
const AT_ONCE: usize = 8;

/// Bytes that are compared at one time.
const COMPARED: usize = 64 * 1024;

/// Carves in a folder that nobody else can read.
#[derive(Debug)]
pub struct CarveFiles {
    dir: PathBuf,
    threads: Arc<Semaphore>,
}

impl CarveFiles {
    /// The folder is made when it is first used.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, threads: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Does what waits for the disk, on a thread that may.
    fn run<T: Send + 'static>(&self, work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static) -> Storing<'_, T> {
        let (dir, threads) = (self.dir.clone(), Arc::clone(&self.threads));
        Box::pin(async move {
            let failed = |why: String| StorageError(format!("{}: {why}", self.dir.display()));
            let thread = threads.acquire_owned().await.map_err(|error| failed(error.to_string()))?;
            let working = tokio::task::spawn_blocking(move || {
                let done = work(&dir);
                drop(thread);
                done
            });
            working.await.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))
        })
    }
}

impl CarveStorage for CarveFiles {
    fn check(&self) -> Storing<'_, ()> {
        self.run(|dir| {
            make_folder(dir)?;
            let probe = tempfile::Builder::new().prefix(".probe-").tempfile_in(dir)?;
            probe.close()
        })
    }

    fn begin(&self, key: &str) -> Storing<'_, ()> {
        let key = key.to_owned();
        self.run(move |dir| make_folder(&folder(dir, &key)?))
    }

    fn put(&self, key: &str, block: u64, data: Bytes) -> Storing<'_, Put> {
        let key = key.to_owned();
        self.run(move |dir| put(&folder(dir, &key)?, block, &data))
    }

    fn read(&self, key: &str, block: u64, offset: u64, length: usize) -> Storing<'_, Bytes> {
        let key = key.to_owned();
        self.run(move |dir| {
            let path = folder(dir, &key)?.join(block.to_string());
            let mut file = File::open(&path).map_err(|error| match error.kind() {
                ErrorKind::NotFound => io::Error::new(
                    ErrorKind::NotFound,
                    format!("block {block} of {key} is not here; all nodes must share carves.dir"),
                ),
                _ => error,
            })?;
            file.seek(SeekFrom::Start(offset))?;
            let mut data = Vec::with_capacity(length.min(1 << 20));
            file.take(length as u64).read_to_end(&mut data)?;
            Ok(data.into())
        })
    }

    fn remove(&self, key: &str) -> Storing<'_, ()> {
        let key = key.to_owned();
        self.run(move |dir| match fs::remove_dir_all(folder(dir, &key)?) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
    }

    fn keys(&self, after: &str, limit: usize) -> Storing<'_, Vec<String>> {
        let after = after.to_owned();
        self.run(move |dir| {
            let entries = match fs::read_dir(dir) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
                entries => entries?,
            };
            let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            let mut keys = BTreeSet::new();
            // Nothing else in the folder is ours.
            for name in names.filter(|name| is_key(name) && *name > after) {
                keys.insert(name);
                if keys.len() > limit {
                    keys.pop_last();
                }
            }
            Ok(keys.into_iter().collect())
        })
    }
}

/// The folder of these contents.
fn folder(dir: &Path, key: &str) -> io::Result<PathBuf> {
    if is_key(key) { Ok(dir.join(key)) } else { Err(io::Error::other("not a key of contents")) }
}

/// Makes a folder that is there after a crash, too.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    folder.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), flush)
}

/// Makes names in a folder durable.
fn flush(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn put(folder: &Path, block: u64, data: &[u8]) -> io::Result<Put> {
    if !folder.is_dir() {
        let why = "the folder of this carve is not here; all nodes must share carves.dir, or use a bucket";
        return Err(io::Error::new(ErrorKind::NotFound, why));
    }
    let path = folder.join(block.to_string());
    if path.exists() {
        return compared(&path, data);
    }
    let written = folder.join(format!(".{block}-{:016x}", rand::random::<u64>()));
    let kept = write(&written, data).and_then(|()| fs::hard_link(&written, &path));
    // Linked or not, this name has done its work; what a crash leaves of it goes with the folder.
    let removed = fs::remove_file(&written);
    match kept {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => compared(&path, data),
        Err(error) => Err(error),
        Ok(()) => {
            removed?;
            flush(folder)?;
            Ok(Put::Kept)
        }
    }
}

fn write(path: &Path, data: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(data)?;
    file.sync_all()
}

/// What a block that is there is compared with the bytes that came. It is flushed again: whoever has written it may not have
/// come so far.
fn compared(path: &Path, data: &[u8]) -> io::Result<Put> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() != data.len() as u64 {
        return Ok(Put::Differs);
    }
    let mut there = vec![0; COMPARED.min(data.len())];
    for expected in data.chunks(COMPARED) {
        let there = &mut there[..expected.len()];
        file.read_exact(there)?;
        if there != expected {
            return Ok(Put::Differs);
        }
    }
    path.parent().map_or(Ok(()), flush)?;
    Ok(Put::Kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    async fn whole(storage: &CarveFiles, block: u64) -> Vec<u8> {
        storage.read(KEY, block, 0, usize::MAX).await.unwrap().to_vec()
    }

    #[tokio::test]
    async fn a_block_is_kept_once_and_never_changes() {
        let folder = tempfile::tempdir().unwrap();
        let storage = CarveFiles::new(folder.path().join("deep/carves"));
        storage.check().await.unwrap();
        assert!(storage.put(KEY, 3, Bytes::new()).await.unwrap_err().to_string().contains("must share carves.dir"));
        storage.begin(KEY).await.unwrap();
        assert_eq!(storage.put(KEY, 3, Bytes::from_static(b"three")).await.unwrap(), Put::Kept);
        assert_eq!(storage.put(KEY, 3, Bytes::from_static(b"three")).await.unwrap(), Put::Kept);
        for other in ["threx", "thre", "threee", ""] {
            assert_eq!(storage.put(KEY, 3, Bytes::from(other)).await.unwrap(), Put::Differs, "{other}");
        }
        assert_eq!(whole(&storage, 3).await, b"three");
        assert_eq!(storage.read(KEY, 3, 1, 3).await.unwrap(), "hre");
        let error = storage.read(KEY, 4, 0, 1).await.unwrap_err();
        assert!(error.to_string().contains("block 4 of"), "{error}");
        let large: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
        storage.put(KEY, 0, large.clone().into()).await.unwrap();
        assert_eq!(storage.put(KEY, 0, large.clone().into()).await.unwrap(), Put::Kept);
        assert!(whole(&storage, 0).await == large);
        let names: Vec<_> = fs::read_dir(folder.path().join("deep/carves").join(KEY)).unwrap().collect();
        assert_eq!(names.len(), 2, "no file is left over");
    }

    #[tokio::test]
    async fn writers_of_one_block_at_one_time_leave_one_whole_block() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Arc::new(CarveFiles::new(folder.path().to_owned()));
        storage.begin(KEY).await.unwrap();
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..16_u8 {
            let storage = Arc::clone(&storage);
            writers.spawn(async move { storage.put(KEY, 0, vec![writer % 4; 100_000].into()).await.unwrap() });
        }
        let kept = writers.join_all().await.into_iter().filter(|put| *put == Put::Kept).count();
        let block = whole(&storage, 0).await;
        assert_eq!((kept, block.len()), (4, 100_000));
        assert!(block.iter().all(|byte| *byte == block[0]));
    }

    #[tokio::test]
    async fn only_folders_with_the_name_of_a_key_are_listed_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let storage = CarveFiles::new(folder.path().join("carves"));
        assert!(storage.keys("", 10).await.unwrap().is_empty());
        storage.remove(KEY).await.unwrap();
        storage.begin(KEY).await.unwrap();
        storage.put(KEY, 0, Bytes::from_static(b"x")).await.unwrap();
        assert!(storage.begin("../carves").await.is_err());
        fs::create_dir(folder.path().join("carves/lost+found")).unwrap();
        assert_eq!(storage.keys("", 10).await.unwrap(), [KEY]);
        assert!(storage.remove("../carves").await.is_err());
        assert!(storage.put("..", 0, Bytes::new()).await.is_err());
        storage.remove(KEY).await.unwrap();
        assert!(storage.keys("", 10).await.unwrap().is_empty());
        assert!(folder.path().join("carves/lost+found").exists());
    }

    #[tokio::test]
    async fn keys_are_listed_in_order_and_from_one_on() {
        let folder = tempfile::tempdir().unwrap();
        let storage = CarveFiles::new(folder.path().to_owned());
        let keys: Vec<String> = (0..10).map(|n| format!("{:032x}", n * 7919 % 10)).collect();
        for key in &keys {
            storage.begin(key).await.unwrap();
        }
        let (mut listed, mut after) = (Vec::new(), String::new());
        loop {
            let page = storage.keys(&after, 3).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= 3);
            after = last.clone();
            listed.extend(page);
        }
        assert!(listed.is_sorted() && listed.len() == 10);
    }
}
