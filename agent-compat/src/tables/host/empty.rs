//! Tables that exist but have no rows here, so that common packs run without errors.

use super::{On, TableDef};

const fn empty(name: &'static str, on: On, columns: &'static str) -> TableDef {
    TableDef { name, on, columns, moves: false, weight: 8, rows: |_| Vec::new() }
}

pub(super) const TABLES: &[TableDef] = &[
    empty(
        "osquery_extensions",
        On::All,
        "uuid BIGINT, name TEXT, version TEXT, sdk_version TEXT, path TEXT, type TEXT",
    ),
    empty(
        "osquery_events",
        On::All,
        "name TEXT, publisher TEXT, type TEXT, subscriptions INTEGER, events INTEGER, refreshes INTEGER, active INTEGER",
    ),
    empty(
        "es_process_events",
        On::Darwin,
        "version INTEGER, seq_num BIGINT, global_seq_num BIGINT, pid BIGINT, path TEXT, parent BIGINT, original_parent BIGINT, cmdline TEXT, cmdline_count BIGINT, env TEXT, env_count BIGINT, cwd TEXT, uid BIGINT, euid BIGINT, gid BIGINT, egid BIGINT, username TEXT, signing_id TEXT, team_id TEXT, cdhash TEXT, platform_binary INTEGER, exit_code INTEGER, child_pid BIGINT, time BIGINT, event_type TEXT, codesigning_flags TEXT, eid TEXT",
    ),
    empty(
        "system_extensions",
        On::Darwin,
        "path TEXT, UUID TEXT, state TEXT, identifier TEXT, version TEXT, category TEXT, bundle_path TEXT, team TEXT, mdm_managed INTEGER",
    ),
    empty(
        "wmi_cli_event_consumers",
        On::Windows,
        "name TEXT, command_line_template TEXT, executable_path TEXT, class TEXT, relative_path TEXT",
    ),
    empty(
        "wmi_script_event_consumers",
        On::Windows,
        "name TEXT, scripting_engine TEXT, script_file_name TEXT, script_text TEXT, class TEXT, relative_path TEXT",
    ),
    empty(
        super::ATC_TABLE,
        On::All,
        "url TEXT, title TEXT, visit_count TEXT, typed_count TEXT, last_visit_time TEXT, hidden TEXT, path TEXT",
    ),
    empty("hash", On::All, "path TEXT, directory TEXT, md5 TEXT, sha1 TEXT, sha256 TEXT"),
    empty(
        "python_packages",
        On::All,
        "name TEXT, version TEXT, summary TEXT, author TEXT, license TEXT, path TEXT, directory TEXT",
    ),
    empty(
        "npm_packages",
        On::All,
        "name TEXT, version TEXT, description TEXT, author TEXT, license TEXT, path TEXT, directory TEXT",
    ),
    empty(
        "firefox_addons",
        On::All,
        "uid BIGINT, name TEXT, identifier TEXT, creator TEXT, type TEXT, version TEXT, description TEXT, source_url TEXT, visible INTEGER, active INTEGER, disabled INTEGER, autoupdate INTEGER, location TEXT, path TEXT",
    ),
    empty("user_ssh_keys", On::All, "uid BIGINT, path TEXT, encrypted INTEGER, key_type TEXT"),
    empty("ssh_configs", On::All, "uid BIGINT, block TEXT, option TEXT, ssh_config_file TEXT"),
    empty("shell_history", On::Posix, "uid BIGINT, time INTEGER, command TEXT, history_file TEXT"),
    empty("process_envs", On::Posix, "pid INTEGER, key TEXT, value TEXT"),
    empty("process_open_files", On::Posix, "pid BIGINT, fd BIGINT, path TEXT"),
    empty(
        "process_memory_map",
        On::All,
        "pid INTEGER, start TEXT, end TEXT, permissions TEXT, offset BIGINT, device TEXT, inode INTEGER, path TEXT, pseudo INTEGER",
    ),
    empty(
        "process_events",
        On::Posix,
        "pid BIGINT, path TEXT, mode TEXT, cmdline TEXT, cmdline_size BIGINT, env TEXT, cwd TEXT, auid BIGINT, uid BIGINT, euid BIGINT, gid BIGINT, egid BIGINT, parent BIGINT, time BIGINT, uptime BIGINT, eid TEXT",
    ),
    empty(
        "socket_events",
        On::Posix,
        "action TEXT, pid BIGINT, path TEXT, fd TEXT, auid BIGINT, status TEXT, family INTEGER, protocol INTEGER, local_address TEXT, remote_address TEXT, local_port INTEGER, remote_port INTEGER, socket TEXT, time BIGINT, uptime BIGINT, eid TEXT",
    ),
    empty(
        "file_events",
        On::Posix,
        "target_path TEXT, category TEXT, action TEXT, transaction_id BIGINT, inode BIGINT, uid BIGINT, gid BIGINT, mode TEXT, size BIGINT, atime BIGINT, mtime BIGINT, ctime BIGINT, md5 TEXT, sha1 TEXT, sha256 TEXT, hashed INTEGER, time BIGINT, eid TEXT",
    ),
    empty(
        "user_events",
        On::Posix,
        "uid BIGINT, auid BIGINT, pid BIGINT, message TEXT, type INTEGER, path TEXT, address TEXT, terminal TEXT, time BIGINT, uptime BIGINT, eid TEXT",
    ),
    empty(
        "hardware_events",
        On::Posix,
        "action TEXT, path TEXT, type TEXT, driver TEXT, vendor TEXT, vendor_id TEXT, model TEXT, model_id TEXT, serial TEXT, revision TEXT, time BIGINT, eid TEXT",
    ),
    empty("known_hosts", On::Posix, "uid BIGINT, key TEXT, key_file TEXT"),
    empty("suid_bin", On::Posix, "path TEXT, username TEXT, groupname TEXT, permissions TEXT"),
    empty(
        "docker_containers",
        On::Posix,
        "id TEXT, name TEXT, image TEXT, image_id TEXT, command TEXT, created BIGINT, state TEXT, status TEXT, pid BIGINT",
    ),
    empty(
        "rpm_packages",
        On::Linux,
        "name TEXT, version TEXT, release TEXT, source TEXT, size BIGINT, sha1 TEXT, arch TEXT, epoch INTEGER, install_time INTEGER, vendor TEXT, package_group TEXT",
    ),
    empty(
        "apt_sources",
        On::Linux,
        "name TEXT, source TEXT, base_uri TEXT, release TEXT, version TEXT, maintainer TEXT, components TEXT, architectures TEXT",
    ),
    empty(
        "iptables",
        On::Linux,
        "filter_name TEXT, chain TEXT, policy TEXT, target TEXT, protocol INTEGER, src_port TEXT, dst_port TEXT, src_ip TEXT, src_mask TEXT, iniface TEXT, dst_ip TEXT, dst_mask TEXT, outiface TEXT, match TEXT, packets INTEGER, bytes INTEGER",
    ),
    empty(
        "shadow",
        On::Linux,
        "password_status TEXT, hash_alg TEXT, last_change BIGINT, min BIGINT, max BIGINT, warning BIGINT, inactive BIGINT, expire BIGINT, flag BIGINT, username TEXT",
    ),
    empty("selinux_settings", On::Linux, "scope TEXT, key TEXT, value TEXT"),
    empty(
        "shared_memory",
        On::Linux,
        "shmid INTEGER, owner_uid BIGINT, creator_uid BIGINT, pid BIGINT, creator_pid BIGINT, atime BIGINT, dtime BIGINT, ctime BIGINT, permissions TEXT, size BIGINT, attached INTEGER, status TEXT, locked INTEGER",
    ),
    empty(
        "syslog_events",
        On::Linux,
        "time BIGINT, datetime TEXT, host TEXT, severity INTEGER, facility TEXT, tag TEXT, message TEXT, eid TEXT",
    ),
    empty("homebrew_packages", On::Darwin, "name TEXT, path TEXT, version TEXT, type TEXT, prefix TEXT"),
    empty(
        "safari_extensions",
        On::Darwin,
        "uid BIGINT, name TEXT, identifier TEXT, version TEXT, sdk TEXT, description TEXT, path TEXT",
    ),
    empty(
        "kernel_extensions",
        On::Darwin,
        "idx INTEGER, refs INTEGER, size BIGINT, name TEXT, version TEXT, linked_against TEXT, path TEXT",
    ),
    empty(
        "preferences",
        On::Darwin,
        "domain TEXT, key TEXT, subkey TEXT, value TEXT, forced INTEGER, username TEXT, host TEXT",
    ),
    empty(
        "package_receipts",
        On::Darwin,
        "package_id TEXT, package_filename TEXT, version TEXT, location TEXT, install_time DOUBLE, installer_name TEXT, path TEXT",
    ),
    empty("nvram", On::Darwin, "name TEXT, type TEXT, value TEXT"),
    empty("plist", On::Darwin, "key TEXT, subkey TEXT, value TEXT, path TEXT"),
    empty("registry", On::Windows, "key TEXT, path TEXT, name TEXT, type TEXT, data TEXT, mtime BIGINT"),
    empty(
        "drivers",
        On::Windows,
        "device_id TEXT, device_name TEXT, image TEXT, description TEXT, service TEXT, service_key TEXT, version TEXT, inf TEXT, class TEXT, provider TEXT, manufacturer TEXT, driver_key TEXT, date BIGINT, signed INTEGER",
    ),
    empty(
        "scheduled_tasks",
        On::Windows,
        "name TEXT, action TEXT, path TEXT, enabled INTEGER, state TEXT, hidden INTEGER, last_run_time BIGINT, next_run_time BIGINT, last_run_message TEXT, last_run_code TEXT",
    ),
    empty(
        "shared_resources",
        On::Windows,
        "description TEXT, install_date TEXT, status TEXT, allow_maximum INTEGER, maximum_allowed BIGINT, name TEXT, path TEXT, type BIGINT, type_name TEXT",
    ),
    empty(
        "windows_events",
        On::Windows,
        "time BIGINT, datetime TEXT, source TEXT, provider_name TEXT, provider_guid TEXT, computer_name TEXT, eventid INTEGER, task INTEGER, level INTEGER, keywords TEXT, data TEXT, eid TEXT",
    ),
];
