//! Tables about the firewall, code signing policy, sharing and patches.

use super::{Facts, On, TableDef, row};
use crate::agent::chance;

pub(super) const TABLES: &[TableDef] = &[
    TableDef {
        name: "alf",
        on: On::Darwin,
        columns: "allow_signed_enabled INTEGER, firewall_unload INTEGER, global_state INTEGER, logging_enabled INTEGER, logging_option INTEGER, stealth_enabled INTEGER, version TEXT",
        moves: false,
        weight: 5,
        rows: |facts| {
            let on = yes(facts, 700, 85);
            vec![row![1, 0, on, 1, 0, on, "1.6"]]
        },
    },
    TableDef {
        name: "sip_config",
        on: On::Darwin,
        columns: "config_flag TEXT, enabled INTEGER, enabled_nvram INTEGER",
        moves: false,
        weight: 5,
        rows: |facts| vec![row!["sip", yes(facts, 701, 95), yes(facts, 701, 95)]],
    },
    TableDef {
        name: "gatekeeper",
        on: On::Darwin,
        columns: "assessments_enabled INTEGER, dev_id_enabled INTEGER, version TEXT, opaque_version TEXT",
        moves: false,
        weight: 8,
        rows: |facts| vec![row![yes(facts, 702, 95), 1, "8.0", "94"]],
    },
    TableDef {
        name: "sharing_preferences",
        on: On::Darwin,
        columns: "screen_sharing INTEGER, file_sharing INTEGER, printer_sharing INTEGER, remote_login INTEGER, remote_management INTEGER, remote_apple_events INTEGER, internet_sharing INTEGER, bluetooth_sharing INTEGER, disc_sharing INTEGER, content_caching INTEGER",
        moves: false,
        weight: 10,
        rows: |facts| vec![row![yes(facts, 703, 20), 0, 0, yes(facts, 704, 15), 0, 0, 0, 0, 0, 0]],
    },
    TableDef {
        name: "windows_security_center",
        on: On::Windows,
        columns: "firewall TEXT, autoupdate TEXT, antivirus TEXT, antispyware TEXT, internet_settings TEXT, windows_security_center_service TEXT, user_account_control TEXT",
        moves: false,
        weight: 30,
        rows: |facts| {
            let health = |salt, percent| {
                if facts.has(salt, percent) { "Good" } else { "Poor" }
            };
            vec![row![health(705, 92), health(706, 85), health(707, 95), health(707, 95), "Good", "Good", "Good"]]
        },
    },
    TableDef {
        name: "patches",
        on: On::Windows,
        columns: "csname TEXT, hotfix_id TEXT, caption TEXT, description TEXT, fix_comments TEXT, installed_by TEXT, install_date TEXT, installed_on TEXT",
        moves: false,
        weight: 60,
        rows: |facts| {
            let host = &facts.identity.computer_name;
            let ids = ["KB5060842", "KB5058411", "KB5055523", "KB5053598"];
            let installed = ids.iter().enumerate().filter(|(at, _)| facts.has(708 + *at as u64, 80));
            let rows = installed.map(|(at, id)| {
                let day = format!("{}/{}/2026", 6 - at, 10 + chance::below(facts.seed, 712, 15));
                row![host, id, "", "Security Update", "", "NT AUTHORITY\\SYSTEM", "", day]
            });
            rows.collect()
        },
    },
];

fn yes(facts: &Facts<'_>, salt: u64, percent: u64) -> u8 {
    u8::from(facts.has(salt, percent))
}
