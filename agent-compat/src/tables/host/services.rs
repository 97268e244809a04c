//! Tables about services and other programs that start by themselves.

use super::{On, TableDef, row};
use crate::agent::Platform;

pub(super) const TABLES: &[TableDef] = &[
    TableDef {
        name: "startup_items",
        on: On::All,
        columns: "name TEXT, path TEXT, args TEXT, type TEXT, source TEXT, status TEXT, username TEXT",
        moves: false,
        weight: 10,
        rows: |facts| match facts.platform() {
            Platform::Windows => vec![row![
                "SecurityHealth",
                "C:\\Windows\\system32\\SecurityHealthSystray.exe",
                "",
                "Startup Item",
                "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Run",
                "enabled",
                "SYSTEM"
            ]],
            Platform::Darwin => vec![row![
                "com.docker.helper",
                "/Library/LaunchAgents/com.docker.helper.plist",
                "",
                "Launch Agent",
                "",
                "enabled",
                facts.login
            ]],
            Platform::Linux => ["ssh.service", "cron.service", "osqueryd.service"]
                .iter()
                .map(|unit| {
                    row![unit, format!("/usr/lib/systemd/system/{unit}"), "", "systemd unit", "", "active", "root"]
                })
                .collect(),
        },
    },
    TableDef {
        name: "systemd_units",
        on: On::Linux,
        columns: "id TEXT, description TEXT, load_state TEXT, active_state TEXT, sub_state TEXT, \
            unit_file_state TEXT, following TEXT, object_path TEXT, job_id BIGINT, job_type TEXT, job_path TEXT, \
            fragment_path TEXT, user TEXT, source_path TEXT",
        moves: false,
        weight: 20,
        rows: |_| {
            let units =
                ["ssh.service", "cron.service", "osqueryd.service", "systemd-journald.service", "apt-daily.timer"];
            let rows = units.iter().map(|unit| {
                let about = unit.split('.').next().unwrap_or_default();
                let file = format!("/usr/lib/systemd/system/{unit}");
                row![unit, about, "loaded", "active", "running", "enabled", "", "", 0, "", "", file, "root", ""]
            });
            rows.collect()
        },
    },
    TableDef {
        name: "services",
        on: On::Windows,
        columns: "name TEXT, service_type TEXT, display_name TEXT, status TEXT, pid INTEGER, start_type TEXT, \
            win32_exit_code INTEGER, service_exit_code INTEGER, path TEXT, module_path TEXT, description TEXT, \
            user_account TEXT",
        moves: false,
        weight: 20,
        rows: |_| {
            [
                ("EventLog", "Windows Event Log", 1204),
                ("WinDefend", "Microsoft Defender Antivirus Service", 3180),
                ("osqueryd", "osqueryd", 4412),
                ("Spooler", "Print Spooler", 2604),
                ("W32Time", "Windows Time", 0),
            ]
            .iter()
            .map(|(name, shown, pid)| {
                let status = if *pid > 0 { "RUNNING" } else { "STOPPED" };
                row![
                    name,
                    "OWN_PROCESS",
                    shown,
                    status,
                    pid,
                    "AUTO_START",
                    0,
                    0,
                    "C:\\Windows\\System32\\svchost.exe",
                    "",
                    "",
                    "LocalSystem"
                ]
            })
            .collect()
        },
    },
    TableDef {
        name: "launchd",
        on: On::Darwin,
        columns: "path TEXT, name TEXT, label TEXT, program TEXT, run_at_load TEXT, keep_alive TEXT, on_demand TEXT, \
            disabled TEXT, username TEXT, groupname TEXT, program_arguments TEXT",
        moves: false,
        weight: 35,
        rows: |_| {
            ["com.apple.auditd", "com.apple.securityd", "io.osquery.agent", "com.openssh.sshd"]
                .iter()
                .map(|label| {
                    let file = format!("{label}.plist");
                    row![
                        format!("/Library/LaunchDaemons/{file}"),
                        file,
                        label,
                        "",
                        "1",
                        "1",
                        "",
                        "0",
                        "root",
                        "wheel",
                        ""
                    ]
                })
                .collect()
        },
    },
];
