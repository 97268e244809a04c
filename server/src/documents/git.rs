//! Reads from the files of git which commit is checked out, and whether git is at work. No program of git is run.

use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

/// Most bytes of a file that names a commit or a folder.
const MAX_NAME_FILE: u64 = 4 << 10;

/// Most bytes of `packed-refs`.
const MAX_PACKED_REFS: u64 = 16 << 20;

/// Most references that name each other.
const MAX_HOPS: usize = 5;

/// Files that stand in the folder of git while it changes the checked-out files, and what it does then.
const AT_WORK: [(&str, &str); 8] = [
    ("index.lock", "git changes the files"),
    ("HEAD.lock", "git changes the files"),
    ("MERGE_HEAD", "a merge is not finished"),
    ("CHERRY_PICK_HEAD", "a cherry-pick is not finished"),
    ("REVERT_HEAD", "a revert is not finished"),
    ("rebase-merge", "a rebase is not finished"),
    ("rebase-apply", "a rebase is not finished"),
    ("sequencer", "a sequence of commits is not finished"),
];

/// The files of git that belong to a checkout.
#[derive(Debug)]
pub struct Checkout {
    /// Those of this checkout alone.
    own: PathBuf,
    /// Those that the worktrees of a repository share.
    shared: PathBuf,
}

impl Checkout {
    /// The checkout that a folder belongs to; `folder` is without links.
    pub fn of(folder: &Path) -> Option<Self> {
        let own = folder.ancestors().find_map(|above| {
            let there = above.join(".git");
            if there.is_dir() {
                return Some(there);
            }
            // Worktrees and submodules have a file that names the folder.
            let named = text(&there, MAX_NAME_FILE)?;
            Some(above.join(named.strip_prefix("gitdir:")?.trim()))
        })?;
        let shared = text(&own.join("commondir"), MAX_NAME_FILE).map(|named| own.join(named.trim()));
        Some(Self { shared: shared.unwrap_or_else(|| own.clone()), own })
    }

    /// What git is doing with the files, and the file that says so.
    pub fn at_work(&self) -> Option<String> {
        let found = AT_WORK.iter().map(|(name, what)| (self.own.join(name), what)).find(|(path, _)| path.exists());
        found.map(|(path, what)| format!("{what} ({})", path.display()))
    }

    /// The commit that is checked out; `None` if there is none yet, or where git keeps references in another way.
    pub fn commit(&self) -> Option<String> {
        let mut named = text(&self.own.join("HEAD"), MAX_NAME_FILE)?;
        for _ in 0..MAX_HOPS {
            let Some(reference) = named.trim().strip_prefix("ref:").map(str::trim) else { break };
            let path = Path::new(reference);
            if !reference.starts_with("refs/") || !path.components().all(|part| matches!(part, Component::Normal(_))) {
                return None;
            }
            let loose = [&self.own, &self.shared].into_iter().find_map(|dir| text(&dir.join(path), MAX_NAME_FILE));
            named = match loose {
                Some(text) => text,
                None => self.packed(reference)?,
            };
        }
        let commit = named.trim();
        let is_commit = matches!(commit.len(), 40 | 64) && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_commit.then(|| commit.to_owned())
    }

    fn packed(&self, reference: &str) -> Option<String> {
        let packed = text(&self.shared.join("packed-refs"), MAX_PACKED_REFS)?;
        let of_line =
            |line: &str| line.split_once(' ').filter(|(_, name)| *name == reference).map(|(id, _)| id.to_owned());
        packed.lines().find_map(of_line)
    }
}

/// The text of a file that is there and not too long.
fn text(path: &Path, most: u64) -> Option<String> {
    // Opening anything but a file may wait for ever.
    path.is_file().then_some(())?;
    let mut text = String::new();
    File::open(path).ok()?.take(most).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";

    fn put(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_commit_is_found_wherever_git_writes_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        put(&root, "repo/fleet/a.yml", "");
        assert!(Checkout::of(&root.join("repo/fleet")).is_none());
        put(&root, "repo/.git/HEAD", "ref: refs/heads/main\n");
        let checkout = Checkout::of(&root.join("repo/fleet")).unwrap();
        assert_eq!(checkout.commit(), None, "no commit yet");
        put(&root, "repo/.git/packed-refs", &format!("# pack-refs\n{TWO} refs/heads/main\n^{ONE}\n"));
        assert_eq!(checkout.commit().as_deref(), Some(TWO));
        put(&root, "repo/.git/refs/heads/main", &format!("{ONE}\n"));
        assert_eq!(checkout.commit().as_deref(), Some(ONE), "a loose reference is newer");
        put(&root, "repo/.git/HEAD", &format!("{TWO}\n"));
        assert_eq!(checkout.commit().as_deref(), Some(TWO), "detached");
        for bad in ["ref: refs/../../x\n", "ref: /etc/passwd\n", "ref: refs/heads/none\n", "rubbish\n"] {
            put(&root, "repo/.git/HEAD", bad);
            assert_eq!(checkout.commit(), None, "{bad}");
        }
        put(&root, "repo/.git/HEAD", "ref: refs/heads/a\n");
        put(&root, "repo/.git/refs/heads/a", "ref: refs/heads/a\n");
        assert_eq!(checkout.commit(), None, "a circle");
    }

    #[test]
    fn worktrees_share_references() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        put(&root, "repo/.git/worktrees/w/HEAD", "ref: refs/heads/side\n");
        put(&root, "repo/.git/worktrees/w/commondir", "../..\n");
        put(&root, "repo/.git/refs/heads/side", ONE);
        put(&root, "w/.git", "gitdir: ../repo/.git/worktrees/w\n");
        let checkout = Checkout::of(&root.join("w")).unwrap();
        assert_eq!(checkout.commit().as_deref(), Some(ONE));
        assert_eq!(checkout.at_work(), None);
        put(&root, "repo/.git/worktrees/w/index.lock", "");
        assert!(checkout.at_work().unwrap().starts_with("git changes the files ("));
    }
}
