use std::fs;

use super::*;

const QUERY: &str = "kind: query\nspec: {name: a, query: SELECT 1}\n";

fn put(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn unusable(folder: &Path) -> String {
    match read(folder) {
        Err(Unread::Unusable(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_folder_holds_has_a_digest_of_all_that_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    put(root, "packs/a.yml", QUERY);
    put(root, "README.md", "not read");
    let first = read(root).unwrap();
    assert_eq!((first.documents.to_json().len(), first.problems.len()), (1, 0));
    assert!(first.seen.commit.is_none() && first.seen.changed_at > Moment::NEVER);
    put(root, "README.md", "changed");
    assert_eq!(read(root).unwrap().seen.digest, first.seen.digest);
    let mut digests = vec![first.seen.digest];
    let mut differs = |what: &str| {
        let digest = read(root).unwrap().seen.digest;
        assert!(!digests.contains(&digest), "{what}");
        digests.push(digest);
    };
    fs::rename(root.join("packs/a.yml"), root.join("packs/b.yml")).unwrap();
    differs("another name");
    put(root, "packs/b.yml", &QUERY.replace('1', "2"));
    differs("another text");
    put(root, "default.yml", "queries:\n- path: lib/q.txt\n");
    put(root, "lib/q.txt", "- {name: b, query: SELECT 1}\n");
    differs("files of GitOps");
    put(root, "lib/q.txt", "- {name: b, query: SELECT 2}\n");
    differs("a file that another refers to");
    put(root, DELETIONS, "0123456789ab # of the old packs\n");
    differs("allowed deletions");
    assert_eq!(read(root).unwrap().allowed_deletions, ["0123456789ab"]);
}

#[test]
fn a_folder_that_is_away_or_empty_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    assert!(unusable(&dir.path().join("none")).contains("is it mounted?"));
    assert!(unusable(dir.path()).contains("holds no document"));
    put(dir.path(), "a.yml", "# nothing yet\n");
    assert!(unusable(dir.path()).contains("holds no document"));
    assert!(unusable(&dir.path().join("a.yml")).contains("it is no folder"));
}

#[test]
fn links_do_not_lead_out_of_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("folder");
    put(dir.path(), "outside.yml", QUERY);
    put(&root, "..data/a.yml", QUERY);
    std::os::unix::fs::symlink("..data/a.yml", root.join("a.yml")).unwrap();
    assert_eq!(read(&root).unwrap().documents.to_json().len(), 1, "as Kubernetes mounts files");
    let link = root.join("b.yml");
    std::os::unix::fs::symlink("../outside.yml", &link).unwrap();
    assert!(unusable(&root).contains("b.yml: it is a link to a file outside of the folder"));
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("nowhere.yml", &link).unwrap();
    assert!(unusable(&root).contains("b.yml"), "what it names would count as deleted");
    fs::remove_file(&link).unwrap();
    put(&root, "default.yml", "queries:\n- path: lib/q.yml\n");
    fs::create_dir(root.join("lib")).unwrap();
    std::os::unix::fs::symlink("../../outside.yml", root.join("lib/q.yml")).unwrap();
    assert!(unusable(&root).contains("outside of the folder"));
    // The folder itself may be a link, which tools turn to the next checkout.
    let linked = dir.path().join("current");
    std::os::unix::fs::symlink(root.join("..data"), &linked).unwrap();
    assert_eq!(read(&linked).unwrap().documents.to_json().len(), 1);
}

#[test]
fn variables_of_the_server_are_not_for_files() {
    let dir = tempfile::tempdir().unwrap();
    // Cargo sets this one.
    put(dir.path(), "default.yml", "queries:\n- {name: a, query: \"SELECT '$CARGO_MANIFEST_DIR'\"}\n");
    let problems: Vec<_> = read(dir.path()).unwrap().problems.iter().map(DocumentProblem::in_one_line).collect();
    assert!(problems.len() == 1 && problems[0].starts_with("default.yml:2:"), "{problems:?}");
}

#[test]
fn mistakes_are_told_without_the_text_of_their_line() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "s.yml", "kind: enroll_secret\nspec: {secrets: [{secret: not-so-secret, secret: x}]}\n");
    let fault = fault(dir.path()).unwrap();
    assert!(fault.starts_with("s.yml:2:") && !fault.contains("not-so-secret"), "{fault}");
}

#[test]
fn git_at_work_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "a.yml", QUERY);
    put(dir.path(), ".git/HEAD", "3333333333333333333333333333333333333333\n");
    assert_eq!(read(dir.path()).unwrap().seen.commit.unwrap(), "3".repeat(40));
    put(dir.path(), ".git/index.lock", "");
    assert!(matches!(read(dir.path()), Err(Unread::Busy(why)) if why.contains("index.lock")));
}
