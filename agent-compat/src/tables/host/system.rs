//! Hardware, operating system and time.

use super::{Facts, On, Rows, TableDef, row};
use crate::agent::{Platform, chance, civil};

pub(super) const TABLES: &[TableDef] = &[
    TableDef {
        name: "system_info",
        on: On::All,
        columns: "hostname TEXT, uuid TEXT, cpu_type TEXT, cpu_subtype TEXT, cpu_brand TEXT, cpu_physical_cores INTEGER, \
            cpu_logical_cores INTEGER, cpu_sockets INTEGER, cpu_microcode TEXT, physical_memory BIGINT, \
            hardware_vendor TEXT, hardware_model TEXT, hardware_version TEXT, hardware_serial TEXT, board_vendor TEXT, \
            board_model TEXT, board_version TEXT, board_serial TEXT, computer_name TEXT, local_hostname TEXT",
        moves: false,
        weight: 4,
        rows: |facts| one(facts.identity.system_info_row()),
    },
    TableDef {
        name: "os_version",
        on: On::All,
        columns: "name TEXT, version TEXT, major INTEGER, minor INTEGER, patch INTEGER, build TEXT, platform TEXT, \
            platform_like TEXT, codename TEXT, arch TEXT",
        moves: false,
        weight: 2,
        rows: |facts| one(facts.identity.os_version_row()),
    },
    TableDef {
        name: "platform_info",
        on: On::All,
        columns: "vendor TEXT, version TEXT, date TEXT, revision TEXT, extra TEXT, address TEXT, size TEXT, \
            volume_size INTEGER, firmware_type TEXT",
        moves: false,
        weight: 3,
        rows: |facts| one(facts.identity.platform_info_row()),
    },
    TableDef {
        name: "uptime",
        on: On::All,
        columns: "days INTEGER, hours INTEGER, minutes INTEGER, seconds INTEGER, total_seconds BIGINT",
        moves: true,
        weight: 1,
        rows: |facts| {
            let up = facts.now_s.saturating_sub(facts.boot_s);
            vec![row![up / 86_400, up / 3600 % 24, up / 60 % 60, up % 60, up]]
        },
    },
    TableDef {
        name: "time",
        on: On::All,
        columns: "weekday TEXT, year INTEGER, month INTEGER, day INTEGER, hour INTEGER, minutes INTEGER, \
            seconds INTEGER, timezone TEXT, local_timezone TEXT, unix_time INTEGER, timestamp TEXT, datetime TEXT, \
            iso_8601 TEXT",
        moves: true,
        weight: 1,
        rows: time,
    },
    TableDef {
        name: "kernel_info",
        on: On::All,
        columns: "version TEXT, arguments TEXT, path TEXT, device TEXT",
        moves: false,
        weight: 2,
        rows: kernel_info,
    },
    TableDef {
        name: "kernel_modules",
        on: On::Linux,
        columns: "name TEXT, size TEXT, used_by TEXT, status TEXT, address TEXT",
        moves: false,
        weight: 8,
        rows: |facts| {
            let names = ["ext4", "xfs", "nf_tables", "br_netfilter", "overlay", "virtio_net", "kvm", "ip_tables"];
            let loaded = names.iter().enumerate().filter(|(at, _)| facts.has(100 + *at as u64, 75));
            loaded.map(|(at, name)| row![name, 16_384 * (at + 1), "-", "Live", "0x0000000000000000"]).collect()
        },
    },
    TableDef {
        name: "memory_info",
        on: On::Linux,
        columns: "memory_total BIGINT, memory_free BIGINT, memory_available BIGINT, buffers BIGINT, cached BIGINT, \
            swap_cached BIGINT, active BIGINT, inactive BIGINT, swap_total BIGINT, swap_free BIGINT",
        moves: true,
        weight: 1,
        rows: |facts| {
            let total = facts.identity.hardware.memory_bytes;
            let free = total / 8 + chance::below(facts.seed, facts.now_s / 60, total / 8);
            vec![row![
                total,
                free,
                free * 2,
                total / 50,
                total / 4,
                0,
                total / 3,
                total / 5,
                2_147_479_552u64,
                2_147_479_552u64
            ]]
        },
    },
    TableDef {
        name: "load_average",
        on: On::Posix,
        columns: "period TEXT, average TEXT",
        moves: true,
        weight: 1,
        rows: |facts| {
            let load = |salt| chance::below(facts.seed ^ salt, facts.now_s / 60, 300) as f64 / 100.0;
            vec![row!["1m", load(1)], row!["5m", load(2)], row!["15m", load(3)]]
        },
    },
    TableDef {
        name: "osquery_registry",
        on: On::All,
        columns: "registry TEXT, name TEXT, owner_uuid INTEGER, internal INTEGER, active INTEGER",
        moves: false,
        weight: 1,
        rows: |facts| {
            let present = super::tables().filter(|table| super::has_table(table, facts));
            let own = crate::tables::OwnTable::ALL.iter().map(|table| table.name());
            let tables = present.map(|table| table.name).chain(own).map(|name| row!["table", name, 0, 0, 1]);
            let plugins = [("config", "tls"), ("logger", "tls"), ("distributed", "tls")];
            tables.chain(plugins.iter().map(|(kind, name)| row![kind, name, 0, 0, 1])).collect()
        },
    },
];

fn one(row: crate::tables::Row) -> Rows {
    vec![row.into_iter().map(|(_, value)| value).collect()]
}

fn time(facts: &Facts<'_>) -> Rows {
    const WEEKDAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
    let now = facts.now_s;
    let days = now / 86_400;
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (now / 3600 % 24, now / 60 % 60, now % 60);
    let iso = format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
    let weekday = WEEKDAYS[(days % 7) as usize];
    let stamp = crate::agent::calendar_time(now);
    vec![row![weekday, year, month, day, hour, minute, second, "UTC", "UTC", now, stamp, iso, iso]]
}

fn kernel_info(facts: &Facts<'_>) -> Rows {
    let row = match facts.platform() {
        Platform::Linux => {
            let version = chance::pick(facts.seed, 110, &["6.1.0-37-amd64", "6.8.0-62-generic", "6.12.31+deb13-amd64"]);
            row![version, "ro quiet", format!("/boot/vmlinuz-{version}"), "UUID=root"]
        }
        Platform::Darwin => row![format!("{}.5.0", facts.identity.os.major), "", "/System/Library/Kernels/kernel", ""],
        Platform::Windows => row![facts.identity.os.version, "", "C:\\Windows\\System32\\ntoskrnl.exe", ""],
    };
    vec![row]
}
