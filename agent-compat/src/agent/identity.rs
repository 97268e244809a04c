//! Identity of an agent: what it reports about its host when it enrolls.

use muster_api::osquery::filters;

use crate::tables::Row;

/// An operating system family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Platform {
    /// Linux.
    Linux,
    /// macOS.
    Darwin,
    /// Windows.
    Windows,
}

impl Platform {
    /// As `platform` filters know it.
    #[must_use]
    pub fn filtered(self) -> filters::Platform {
        match self {
            Self::Linux => filters::Platform::Linux,
            Self::Darwin => filters::Platform::Darwin,
            Self::Windows => filters::Platform::Windows,
        }
    }

    /// The agent's own word for it: `linux`, `darwin` or `windows`.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.filtered().word()
    }

    /// The decimal bit mask sent as `platform_type`.
    #[must_use]
    pub fn mask(self) -> &'static str {
        match self {
            Self::Linux => "9",
            Self::Darwin => "21",
            Self::Windows => "2",
        }
    }

    /// Whether it is a POSIX system.
    #[must_use]
    pub fn is_posix(self) -> bool {
        self.filtered().is_posix()
    }
}

/// The row of `os_version`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the column of the same name")]
pub struct OsVersion {
    pub name: String,
    pub version: String,
    pub major: String,
    pub minor: String,
    pub patch: String,
    pub build: String,
    pub platform: String,
    pub platform_like: String,
    pub codename: String,
    pub arch: String,
}

/// The machine an agent runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hardware {
    /// Manufacturer.
    pub vendor: String,
    /// Model name.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Processor name.
    pub cpu_brand: String,
    /// Logical processors.
    pub cpu_cores: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
}

/// Everything that distinguishes one agent from another. Fields are public so that a test can build odd ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Sent on enrollment and in every log line.
    pub host_identifier: String,
    /// Hardware UUID.
    pub uuid: String,
    /// UUID of the agent's database.
    pub instance_id: String,
    /// Result of `gethostname()`, from which shards are computed.
    pub hostname: String,
    /// Full name, `system_info.hostname`.
    pub fqdn: String,
    /// `system_info.computer_name`.
    pub computer_name: String,
    /// Operating system family.
    pub platform: Platform,
    /// Operating system release.
    pub os: OsVersion,
    /// Machine.
    pub hardware: Hardware,
    /// osquery release, such as `5.12.2`.
    pub osquery_version: String,
    /// Source of everything else that differs between hosts.
    pub seed: u64,
}

impl Identity {
    /// The row of `os_version`, in the order of that table.
    #[must_use]
    pub fn os_version_row(&self) -> Row {
        let os = &self.os;
        let row = [
            ("name", &os.name),
            ("version", &os.version),
            ("major", &os.major),
            ("minor", &os.minor),
            ("patch", &os.patch),
            ("build", &os.build),
            ("platform", &os.platform),
            ("platform_like", &os.platform_like),
            ("codename", &os.codename),
            ("arch", &os.arch),
        ];
        row.into_iter().map(|(name, value)| (name.to_owned(), value.clone())).collect()
    }

    /// The row of `system_info`, in the order of that table.
    #[must_use]
    pub fn system_info_row(&self) -> Row {
        let hardware = &self.hardware;
        let cores = hardware.cpu_cores.to_string();
        let physical = (hardware.cpu_cores / 2).max(1).to_string();
        [
            ("hostname", self.fqdn.as_str()),
            ("uuid", &self.uuid),
            ("cpu_type", &self.os.arch),
            ("cpu_subtype", "158"),
            ("cpu_brand", &hardware.cpu_brand),
            ("cpu_physical_cores", &physical),
            ("cpu_logical_cores", &cores),
            ("cpu_sockets", "1"),
            ("cpu_microcode", "0xf0"),
            ("physical_memory", &hardware.memory_bytes.to_string()),
            ("hardware_vendor", &hardware.vendor),
            ("hardware_model", &hardware.model),
            ("hardware_version", "1.0"),
            ("hardware_serial", &hardware.serial),
            ("board_vendor", &hardware.vendor),
            ("board_model", ""),
            ("board_version", ""),
            ("board_serial", ""),
            ("computer_name", &self.computer_name),
            ("local_hostname", &self.hostname),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
    }

    /// The row of `platform_info`, in the order of that table.
    #[must_use]
    pub fn platform_info_row(&self) -> Row {
        [
            ("vendor", self.hardware.vendor.as_str()),
            ("version", "1.14.0"),
            ("date", "03/11/2025"),
            ("revision", "1.14"),
            ("extra", ""),
            ("address", "0xf0000"),
            ("size", "16777216"),
            ("volume_size", "0"),
            ("firmware_type", "uefi"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
    }
}
