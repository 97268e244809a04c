//! Accounts and who uses them.

use super::{Facts, On, TableDef, row};
use crate::agent::{Platform, chance};

pub(super) const TABLES: &[TableDef] = &[
    TableDef {
        name: "users",
        on: On::All,
        columns: "uid BIGINT, gid BIGINT, uid_signed BIGINT, gid_signed BIGINT, username TEXT, description TEXT, \
            directory TEXT, shell TEXT, uuid TEXT, type TEXT, is_hidden INTEGER",
        moves: false,
        weight: 6,
        rows: |facts| {
            let accounts = accounts(facts).into_iter();
            accounts
                .map(|account| {
                    let Account { uid, name, about, home, shell } = account;
                    let uuid = match facts.platform() {
                        Platform::Linux => String::new(),
                        Platform::Darwin => chance::uuid(facts.seed, 200 + uid),
                        Platform::Windows => {
                            format!("S-1-5-21-1004336348-1177238915-682003330-{uid}")
                        }
                    };
                    let kind = if facts.platform() == Platform::Windows { "local" } else { "" };
                    row![uid, uid, uid, uid, name, about, home, shell, uuid, kind, 0]
                })
                .collect()
        },
    },
    TableDef {
        name: "groups",
        on: On::All,
        columns: "gid BIGINT, gid_signed BIGINT, groupname TEXT, group_sid TEXT, comment TEXT, is_hidden INTEGER, \
            pid_with_namespace INTEGER",
        moves: false,
        weight: 5,
        rows: |facts| {
            let groups: &[(u64, &str)] = match facts.platform() {
                Platform::Linux => &[(0, "root"), (4, "adm"), (27, "sudo"), (100, "users"), (1000, "staff")],
                Platform::Darwin => &[(0, "wheel"), (20, "staff"), (80, "admin")],
                Platform::Windows => &[(544, "Administrators"), (545, "Users"), (555, "Remote Desktop Users")],
            };
            groups.iter().map(|(gid, name)| row![gid, gid, name, "", "", 0, 0]).collect()
        },
    },
    TableDef {
        name: "user_groups",
        on: On::All,
        columns: "uid BIGINT, gid BIGINT",
        moves: false,
        weight: 5,
        rows: |facts| match facts.platform() {
            Platform::Linux => vec![row![0, 0], row![1000, 1000], row![1000, 27]],
            Platform::Darwin => vec![row![0, 0], row![501, 20], row![501, 80]],
            Platform::Windows => vec![row![500, 544], row![1001, 545], row![1001, 544]],
        },
    },
    TableDef {
        name: "logged_in_users",
        on: On::All,
        columns: "type TEXT, user TEXT, tty TEXT, host TEXT, time BIGINT, pid INTEGER, sid TEXT, registry_hive TEXT",
        moves: true,
        weight: 3,
        rows: |facts| {
            sessions(facts).into_iter().take(1).map(|s| row!["user", s.0, s.1, s.2, s.3, s.4, "", ""]).collect()
        },
    },
    TableDef {
        name: "last",
        on: On::Posix,
        columns: "username TEXT, tty TEXT, pid INTEGER, type INTEGER, type_name TEXT, time INTEGER, host TEXT",
        moves: true,
        weight: 6,
        rows: |facts| sessions(facts).into_iter().map(|s| row![s.0, s.1, s.4, 7, "user-process", s.3, s.2]).collect(),
    },
    TableDef {
        name: "sudoers",
        on: On::Posix,
        columns: "source TEXT, header TEXT, rule_details TEXT",
        moves: false,
        weight: 3,
        rows: |facts| {
            let mut rows = vec![
                row!["/etc/sudoers", "Defaults", "env_reset"],
                row!["/etc/sudoers", "root", "ALL=(ALL:ALL) ALL"],
                row!["/etc/sudoers", "%sudo", "ALL=(ALL:ALL) ALL"],
            ];
            if facts.has(210, 15) {
                rows.push(row!["/etc/sudoers.d/90-deploy", "deploy", "ALL=(ALL) NOPASSWD: ALL"]);
            }
            rows
        },
    },
    TableDef {
        name: "authorized_keys",
        on: On::Posix,
        columns: "uid BIGINT, algorithm TEXT, key TEXT, options TEXT, comment TEXT, key_file TEXT, pid_with_namespace INTEGER",
        moves: false,
        weight: 4,
        rows: |facts| {
            let uid = if facts.platform() == Platform::Linux { 1000 } else { 501 };
            let home = accounts(facts).into_iter().find(|account| account.uid == uid).map(|account| account.home);
            let key = format!("AAAAC3NzaC1lZDI1NTE5AAAAI{:032x}", chance::mix(facts.seed, 211));
            let comment = format!("{}@workstation", facts.login);
            vec![row![
                uid,
                "ssh-ed25519",
                key,
                "",
                comment,
                format!("{}/.ssh/authorized_keys", home.unwrap_or_default()),
                0
            ]]
        },
    },
    TableDef {
        name: "crontab",
        on: On::Posix,
        columns: "event TEXT, minute TEXT, hour TEXT, day_of_month TEXT, month TEXT, day_of_week TEXT, command TEXT, \
            path TEXT, pid_with_namespace INTEGER",
        moves: false,
        weight: 3,
        rows: |facts| {
            let minute = chance::below(facts.seed, 212, 60);
            let daily = "test -x /usr/sbin/anacron || run-parts --report /etc/cron.daily";
            let mut rows = vec![row!["", "25", "6", "*", "*", "*", daily, "/etc/crontab", 0]];
            if facts.has(213, 50) {
                rows.push(row!["", minute, "2", "*", "*", "*", "/usr/local/bin/backup --all", "/etc/cron.d/backup", 0]);
            }
            rows
        },
    },
];

struct Account {
    uid: u64,
    name: String,
    about: String,
    home: String,
    shell: String,
}

fn accounts(facts: &Facts<'_>) -> Vec<Account> {
    let account = |uid, name: &str, about: &str, home: &str, shell: &str| Account {
        uid,
        name: name.to_owned(),
        about: about.to_owned(),
        home: home.to_owned(),
        shell: shell.to_owned(),
    };
    let login = facts.login;
    match facts.platform() {
        Platform::Linux => {
            let nologin = "/usr/sbin/nologin";
            let mut accounts = vec![
                account(0, "root", "root", "/root", "/bin/bash"),
                account(1, "daemon", "daemon", "/usr/sbin", nologin),
                account(33, "www-data", "www-data", "/var/www", nologin),
                account(104, "sshd", "", "/run/sshd", nologin),
                account(1000, login, login, &format!("/home/{login}"), "/bin/bash"),
            ];
            if facts.has(201, 40) {
                accounts.push(account(1001, "deploy", "Deployment", "/home/deploy", "/bin/sh"));
            }
            accounts
        }
        Platform::Darwin => vec![
            account(0, "root", "System Administrator", "/var/root", "/bin/sh"),
            account(1, "daemon", "System Services", "/var/root", "/usr/bin/false"),
            account(501, login, login, &format!("/Users/{login}"), "/bin/zsh"),
        ],
        Platform::Windows => {
            let shell = "C:\\Windows\\system32\\cmd.exe";
            vec![
                account(500, "Administrator", "Built-in account for administering the computer/domain", "", shell),
                account(501, "Guest", "Built-in account for guest access to the computer/domain", "", shell),
                account(1001, login, "", &format!("C:\\Users\\{login}"), shell),
            ]
        }
    }
}

/// User, terminal, origin, time and process of recent sessions, the newest first. A new one begins every few hours.
fn sessions(facts: &Facts<'_>) -> Vec<(String, String, String, u64, u64)> {
    let period_s = 4 * 3600;
    let newest = facts.now_s / period_s;
    let (tty, origin) = match facts.platform() {
        Platform::Linux => ("pts/0", "10.0.0.9"),
        Platform::Darwin => ("console", ""),
        Platform::Windows => ("console", "console"),
    };
    (0..5)
        .map(|age| {
            let began_s = (newest - age) * period_s + chance::below(facts.seed, newest - age, 600);
            let pid = 2000 + chance::below(facts.seed, began_s, 20_000);
            (facts.login.to_owned(), tty.to_owned(), origin.to_owned(), began_s, pid)
        })
        .collect()
}
