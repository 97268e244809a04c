//! The folders that the server writes to: whether it may, how much room they have, and where they are.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, statvfs};

use super::Diagnosis;
use crate::config::{Config, LogPlugin};

const SUBJECT: &str = "disk";

/// Bytes below which the server is about to stop taking lines.
const FAIL_BELOW: u64 = 64 << 20;

/// Bytes below which somebody should look.
const WARN_BELOW: u64 = 1 << 30;

/// File systems of other machines, on which locks may not hold.
const NETWORK: [&str; 9] = ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "glusterfs", "ceph", "lustre"];

pub(super) fn check(config: &Config) -> Vec<Diagnosis> {
    let mut folders: Vec<(&str, PathBuf)> = Vec::new();
    let (osquery, files) = (&config.osquery, &config.filesystem);
    if osquery.result_log_plugin == LogPlugin::Filesystem {
        folders.push(("filesystem.result_log_file", folder_of(&files.result_log_file)));
    }
    if osquery.status_log_plugin == LogPlugin::Filesystem {
        folders.push(("filesystem.status_log_file", folder_of(&files.status_log_file)));
    }
    if !config.mysql.is_on() {
        folders.push(("sqlite.path", folder_of(&config.sqlite.path.with_file_name("file"))));
    }
    if !config.redis.is_used() {
        let beside = || config.sqlite.path.with_file_name("live");
        folders.push(("live.dir", config.live.dir.clone().unwrap_or_else(beside)));
    }
    if config.server.tls && config.server.cert.is_none() {
        folders.push(("server.tls_dir", config.server.tls_dir.clone()));
    }
    folders.iter().flat_map(|(key, folder)| of_folder(key, folder)).collect()
}

fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn of_folder(key: &str, folder: &Path) -> Vec<Diagnosis> {
    let shown = folder.display();
    // The server makes what is missing.
    let Some(there) = folder
        .ancestors()
        .map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path })
        .find(|path| path.exists())
    else {
        return vec![Diagnosis::fail(SUBJECT, format!("{key}: {shown} cannot be reached"), "make the folder")];
    };
    if !there.is_dir() {
        let found = format!("{key}: {} is no folder", there.display());
        return vec![Diagnosis::fail(SUBJECT, found, format!("set {key} to another path, or move that file away"))];
    }
    if let Err(error) = access(there, Access::WRITE_OK | Access::EXEC_OK) {
        let found = format!("{key}: this user may not write to {}: {error}", there.display());
        let remedy = "give the folder to the user that runs the server, and run the doctor as that user";
        return vec![Diagnosis::fail(SUBJECT, found, remedy)];
    }
    let mut diagnoses = vec![room(key, folder, there)];
    if key.starts_with("sqlite")
        && let Some(network) = network_of(there)
    {
        diagnoses.push(Diagnosis::fail(
            SUBJECT,
            format!("{key}: {shown} is on another machine ({network}), where SQLite's locks may not hold"),
            "put the file on a local disk, or use MySQL or MariaDB",
        ));
    }
    diagnoses
}

fn room(key: &str, folder: &Path, there: &Path) -> Diagnosis {
    let shown = folder.display();
    let remedy = "make room, or move what grows to a larger disk";
    match statvfs(there) {
        Ok(system) => {
            let free = system.f_bavail.saturating_mul(system.f_frsize);
            let said = format!("{key}: {} MiB free for {shown}", free >> 20);
            if system.f_files > 0 && system.f_favail == 0 {
                Diagnosis::fail(
                    SUBJECT,
                    format!("{key}: no file can be made in {shown}, as there are no inodes left"),
                    remedy,
                )
            } else if free < FAIL_BELOW {
                Diagnosis::fail(SUBJECT, said, remedy)
            } else if free < WARN_BELOW {
                Diagnosis::warn(SUBJECT, said, remedy)
            } else {
                Diagnosis::ok(SUBJECT, said)
            }
        }
        Err(error) => {
            Diagnosis::warn(SUBJECT, format!("{key}: the free room of {shown} cannot be read: {error}"), remedy)
        }
    }
}

/// The kind of the file system, if it is one of another machine.
fn network_of(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let kind = kind_of(&folder, &mounts)?;
    NETWORK.contains(&kind.as_str()).then_some(kind)
}

/// The kind of the file system of a folder, from the lines of `mountinfo`: the mount with the longest path counts, and of several
/// at one path the last.
fn kind_of(folder: &Path, mounts: &str) -> Option<String> {
    let mounts = mounts.lines().filter_map(|line| {
        let (head, tail) = line.split_once(" - ")?;
        // Spaces are written as octal numbers.
        let path = head.split(' ').nth(4)?.replace("\\040", " ");
        Some((PathBuf::from(path), tail.split(' ').next()?.to_owned()))
    });
    let mounts = mounts.filter(|(path, _)| folder.starts_with(path));
    mounts.max_by_key(|(path, _)| path.components().count()).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::super::{Severity, worst};
    use super::*;

    #[test]
    fn the_mount_with_the_longest_path_counts() {
        let mounts = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
                      30 22 0:40 / /data rw - nfs4 server:/data rw\n\
                      31 30 8:2 / /data/my\\040own rw - xfs /dev/sdb rw\n";
        for (folder, kind) in [("/var", "ext4"), ("/data/x", "nfs4"), ("/data/my own/x", "xfs"), ("/database", "ext4")]
        {
            assert_eq!(kind_of(Path::new(folder), mounts).as_deref(), Some(kind), "{folder}");
        }
    }

    #[test]
    fn a_file_in_the_way_is_found_and_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert_eq!(worst(&of_folder("key", &folder.path().join("file/logs"))), Severity::Fail);
        let missing = folder.path().join("a/b/c");
        assert!(of_folder("key", &missing)[0].found.contains("MiB free"));
        assert!(!folder.path().join("a").exists());
    }
}
