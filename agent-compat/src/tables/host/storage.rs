//! Disks and what is plugged in.

use super::{Facts, On, Rows, TableDef, row};
use crate::agent::{Platform, chance};

pub(super) const TABLES: &[TableDef] = &[
    TableDef {
        name: "mounts",
        on: On::Posix,
        columns: "device TEXT, device_alias TEXT, path TEXT, type TEXT, blocks_size BIGINT, blocks BIGINT, \
            blocks_free BIGINT, blocks_available BIGINT, inodes BIGINT, inodes_free BIGINT, flags TEXT",
        moves: true,
        weight: 4,
        rows: mounts,
    },
    TableDef {
        name: "logical_drives",
        on: On::Windows,
        columns: "device_id TEXT, type TEXT, description TEXT, free_space BIGINT, size BIGINT, file_system TEXT, \
            boot_partition INTEGER",
        moves: true,
        weight: 15,
        rows: |facts| {
            let size = 512_000_000_000u64;
            let free = size / 4 + chance::below(facts.seed, facts.now_s / 3600, 40_000_000_000);
            vec![row!["C:", "Unknown", "Local Fixed Disk", free, size, "NTFS", 1]]
        },
    },
    TableDef {
        name: "disk_info",
        on: On::Windows,
        columns: "partitions INTEGER, disk_index INTEGER, type TEXT, id TEXT, pnp_device_id TEXT, disk_size BIGINT, \
            manufacturer TEXT, hardware_model TEXT, name TEXT, serial TEXT, description TEXT",
        moves: false,
        weight: 30,
        rows: |facts| {
            vec![row![
                3,
                0,
                "SCSI",
                "\\\\.\\PHYSICALDRIVE0",
                "SCSI\\DISK&VEN_NVME",
                512_110_190_592u64,
                "(Standard disk drives)",
                "SAMSUNG MZVL2512HCJQ",
                "\\\\.\\PHYSICALDRIVE0",
                format!("S{:012X}", chance::below(facts.seed, 120, 1 << 48)),
                "Disk drive"
            ]]
        },
    },
    TableDef {
        name: "disk_encryption",
        on: On::Posix,
        columns: "name TEXT, uuid TEXT, encrypted INTEGER, type TEXT, encryption_status TEXT, uid TEXT, user_uuid TEXT, \
            filevault_status TEXT",
        moves: false,
        weight: 12,
        rows: disk_encryption,
    },
    TableDef {
        name: "bitlocker_info",
        on: On::Windows,
        columns: "device_id TEXT, drive_letter TEXT, persistent_volume_id TEXT, conversion_status INTEGER, \
            protection_status INTEGER, encryption_method TEXT, version INTEGER, percentage_encrypted INTEGER, \
            lock_status INTEGER",
        moves: false,
        weight: 40,
        rows: |facts| {
            let on = u8::from(facts.has(121, 80));
            let method = if on == 1 { "XTS-AES 128" } else { "None" };
            vec![row!["\\\\?\\Volume{0}\\", "C:", chance::uuid(facts.seed, 122), on, on, method, 2, on * 100, 0]]
        },
    },
    TableDef {
        name: "usb_devices",
        on: On::Posix,
        columns: "usb_address INTEGER, usb_port INTEGER, vendor TEXT, vendor_id TEXT, version TEXT, model TEXT, \
            model_id TEXT, serial TEXT, class TEXT, subclass TEXT, protocol TEXT, removable INTEGER",
        moves: true,
        weight: 10,
        rows: usb_devices,
    },
];

fn mounts(facts: &Facts<'_>) -> Rows {
    let blocks = 50_000_000u64;
    let free = blocks / 5 + chance::below(facts.seed, facts.now_s / 600, blocks / 3);
    let row_for = |device: &str, path: &str, kind: &str, flags: &str| {
        row![device, device, path, kind, 4096, blocks, free, free, 13_107_200, 12_000_000, flags]
    };
    match facts.platform() {
        Platform::Linux => vec![
            row_for("/dev/sda2", "/", "ext4", "rw,relatime"),
            row_for("/dev/sda1", "/boot/efi", "vfat", "rw,relatime"),
            row_for("tmpfs", "/run", "tmpfs", "rw,nosuid,nodev"),
        ],
        _ => vec![
            row_for("/dev/disk3s1s1", "/", "apfs", "1"),
            row_for("/dev/disk3s5", "/System/Volumes/Data", "apfs", "0"),
        ],
    }
}

fn disk_encryption(facts: &Facts<'_>) -> Rows {
    let on = facts.has(121, 80);
    let status = if on { "encrypted" } else { "not encrypted" };
    let uuid = chance::uuid(facts.seed, 123);
    match facts.platform() {
        Platform::Linux => {
            let kind = if on { "LUKS2" } else { "" };
            vec![row!["/dev/sda2", uuid, u8::from(on), kind, status, "", "", ""]]
        }
        _ => {
            let vault = if on { "on" } else { "off" };
            let kind = if on { "APFS Encryption" } else { "" };
            vec![row!["/dev/disk3s1", uuid, u8::from(on), kind, status, "501", "", vault]]
        }
    }
}

fn usb_devices(facts: &Facts<'_>) -> Rows {
    let mut rows = vec![row![1, 1, "Linux Foundation", "1d6b", "2.0", "2.0 root hub", "0002", "", "9", "0", "1", 0]];
    // Now and then somebody plugs in a stick for an hour.
    if chance::below(facts.seed, facts.now_s / 3600, 6) == 0 {
        let serial = format!("{:012X}", chance::below(facts.seed, facts.now_s / 3600, 1 << 48));
        rows.push(row![4, 2, "SanDisk", "0781", "1.0", "Ultra", "5581", serial, "8", "6", "80", 1]);
    }
    rows
}
