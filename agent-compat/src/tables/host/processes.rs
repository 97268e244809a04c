//! Tables about processes and their sockets.

use super::{Facts, On, Rows, TableDef, row};
use crate::agent::{Platform, chance};

pub(super) const TABLES: &[TableDef] = &[
    TableDef {
        name: "processes",
        on: On::All,
        columns: "pid BIGINT, name TEXT, path TEXT, cmdline TEXT, state TEXT, cwd TEXT, root TEXT, uid BIGINT, \
            gid BIGINT, euid BIGINT, egid BIGINT, suid BIGINT, sgid BIGINT, on_disk INTEGER, wired_size BIGINT, \
            resident_size BIGINT, total_size BIGINT, user_time BIGINT, system_time BIGINT, disk_bytes_read BIGINT, \
            disk_bytes_written BIGINT, start_time BIGINT, parent BIGINT, pgroup BIGINT, threads INTEGER, nice INTEGER",
        moves: true,
        weight: 25,
        rows: |facts| running(facts).iter().map(|process| process_row(facts, process)).collect(),
    },
    TableDef {
        name: "listening_ports",
        on: On::All,
        columns: "pid INTEGER, port INTEGER, protocol INTEGER, family INTEGER, address TEXT, fd BIGINT, socket BIGINT, \
            path TEXT, net_namespace TEXT",
        moves: true,
        weight: 30,
        rows: |facts| {
            let listening = running(facts).into_iter().filter(|process| process.port > 0);
            listening
                .map(|process| row![process.pid, process.port, 6, 2, "0.0.0.0", 3, 20_000 + process.pid, "", ""])
                .collect()
        },
    },
    TableDef {
        name: "process_open_sockets",
        on: On::All,
        columns: "pid INTEGER, fd BIGINT, socket BIGINT, family INTEGER, protocol INTEGER, local_address TEXT, \
            remote_address TEXT, local_port INTEGER, remote_port INTEGER, path TEXT, state TEXT, net_namespace TEXT",
        moves: true,
        weight: 45,
        rows: open_sockets,
    },
];

struct ListedProcess {
    pid: u64,
    name: &'static str,
    path: &'static str,
    args: &'static str,
    uid: u64,
    port: u64,
    start_s: u64,
}

type Program = (&'static str, &'static str, &'static str, u64, u64);

const LINUX: &[Program] = &[
    ("systemd", "/usr/lib/systemd/systemd", "--system", 0, 0),
    ("sshd", "/usr/sbin/sshd", "-D", 0, 22),
    ("cron", "/usr/sbin/cron", "-f", 0, 0),
    ("osqueryd", "/opt/osquery/bin/osqueryd", "--flagfile /etc/osquery/osquery.flags", 0, 0),
    ("systemd-journald", "/usr/lib/systemd/systemd-journald", "", 0, 0),
];
const LINUX_ROLES: &[Program] = &[
    ("nginx", "/usr/sbin/nginx", "-g daemon off;", 33, 443),
    ("postgres", "/usr/lib/postgresql/16/bin/postgres", "-D /var/lib/postgresql/16/main", 110, 5432),
    ("redis-server", "/usr/bin/redis-server", "127.0.0.1:6379", 111, 6379),
    ("java", "/usr/lib/jvm/java-21/bin/java", "-jar /srv/app/app.jar", 1001, 8080),
];
const DARWIN: &[Program] = &[
    ("launchd", "/sbin/launchd", "", 0, 0),
    ("WindowServer", "/System/Library/PrivateFrameworks/SkyLight.framework/WindowServer", "-daemon", 88, 0),
    ("osqueryd", "/opt/osquery/lib/osquery.app/Contents/MacOS/osqueryd", "--flagfile /var/osquery/osquery.flags", 0, 0),
    ("rapportd", "/usr/libexec/rapportd", "", 501, 49_152),
    ("Finder", "/System/Library/CoreServices/Finder.app/Contents/MacOS/Finder", "", 501, 0),
];
const WINDOWS: &[Program] = &[
    ("System", "", "", 18, 445),
    ("svchost.exe", "C:\\Windows\\System32\\svchost.exe", "-k netsvcs -p", 18, 135),
    ("lsass.exe", "C:\\Windows\\System32\\lsass.exe", "", 18, 49_664),
    ("explorer.exe", "C:\\Windows\\explorer.exe", "", 1001, 0),
    (
        "osqueryd.exe",
        "C:\\Program Files\\osquery\\osqueryd\\osqueryd.exe",
        "--flagfile=\"C:\\Program Files\\osquery\\osquery.flags\"",
        18,
        0,
    ),
];
/// Programs that run for a few minutes.
const BRIEF_POSIX: &[Program] = &[
    ("git", "/usr/bin/git", "fetch --prune", 1000, 0),
    ("python3", "/usr/bin/python3", "-m http.server 8000", 1000, 8000),
    ("apt-get", "/usr/bin/apt-get", "update", 0, 0),
    ("ssh", "/usr/bin/ssh", "bastion.corp.example", 1000, 0),
];
const BRIEF_WINDOWS: &[Program] = &[
    ("powershell.exe", "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe", "-NoProfile", 1001, 0),
    ("msiexec.exe", "C:\\Windows\\System32\\msiexec.exe", "/i update.msi /qn", 18, 0),
    ("OUTLOOK.EXE", "C:\\Program Files\\Microsoft Office\\root\\Office16\\OUTLOOK.EXE", "", 1001, 0),
];

fn running(facts: &Facts<'_>) -> Vec<ListedProcess> {
    let (lasting, brief) = match facts.platform() {
        Platform::Linux => (LINUX, BRIEF_POSIX),
        Platform::Darwin => (DARWIN, BRIEF_POSIX),
        Platform::Windows => (WINDOWS, BRIEF_WINDOWS),
    };
    let role = match facts.platform() {
        Platform::Linux => LINUX_ROLES.get(chance::below(facts.seed, 300, LINUX_ROLES.len() as u64) as usize),
        Platform::Darwin | Platform::Windows => None,
    };
    let mut processes: Vec<ListedProcess> = lasting
        .iter()
        .chain(role)
        .enumerate()
        .map(|(at, program)| {
            let pid = if at == 0 { 1 } else { 400 + at as u64 * 137 + chance::below(facts.seed, 301 + at as u64, 100) };
            process(program, pid, facts.boot_s + at as u64)
        })
        .collect();
    if let Some(agent) = processes.iter_mut().find(|process| process.name.starts_with("osqueryd")) {
        (agent.pid, agent.start_s) = facts.agent;
    }
    let slot = facts.now_s / 300;
    for at in 0..chance::below(facts.seed, slot, 3) {
        let salt = slot * 8 + at;
        if let Some(program) = brief.get(chance::below(facts.seed, salt, brief.len() as u64) as usize) {
            processes.push(process(program, 30_000 + chance::below(facts.seed ^ 1, salt, 30_000), slot * 300 + at));
        }
    }
    processes
}

fn process(program: &Program, pid: u64, start_s: u64) -> ListedProcess {
    let (name, path, args, uid, port) = *program;
    ListedProcess { pid, name, path, args, uid, port, start_s }
}

fn process_row(facts: &Facts<'_>, process: &ListedProcess) -> Vec<String> {
    let ListedProcess { pid, name, path, args, uid, start_s, .. } = process;
    let age_s = facts.now_s.saturating_sub(*start_s);
    let share = chance::below(facts.seed, *pid, 50) + 1;
    let resident = 4_194_304 * share + chance::below(facts.seed ^ pid, facts.now_s / 60, 1_048_576);
    let cmdline = format!("{path} {args}").trim().to_owned();
    let parent = u64::from(*pid != 1);
    let cpu_ms = age_s * share / 10;
    row![
        pid,
        name,
        path,
        cmdline,
        "S",
        "/",
        "/",
        uid,
        uid,
        uid,
        uid,
        uid,
        uid,
        1,
        0,
        resident,
        resident * 4,
        cpu_ms,
        cpu_ms / 3,
        age_s * 512,
        age_s * 128,
        start_s,
        parent,
        pid,
        share % 12 + 1,
        0
    ]
}

fn open_sockets(facts: &Facts<'_>) -> Rows {
    let mut rows = Rows::new();
    for process in running(facts) {
        if process.port > 0 {
            rows.push(row![
                process.pid,
                3,
                20_000 + process.pid,
                2,
                6,
                "0.0.0.0",
                "0.0.0.0",
                process.port,
                0,
                "",
                "LISTEN",
                ""
            ]);
        }
        if process.name.starts_with("osqueryd") {
            rows.push(row![process.pid, 9, 20_001, 2, 6, facts.ip, "10.0.0.2", 50_122, 443, "", "ESTABLISHED", ""]);
        }
    }
    for at in 0..chance::below(facts.seed, facts.now_s / 120, 4) {
        let remote = format!("192.0.2.{}", chance::below(facts.seed, facts.now_s / 120 + at, 250) + 1);
        rows.push(row![4000 + at, 20, 30_000 + at, 2, 6, facts.ip, remote, 51_000 + at, 443, "", "ESTABLISHED", ""]);
    }
    rows
}
