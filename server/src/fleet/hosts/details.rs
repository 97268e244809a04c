//! Details that a host reports when it enrolls.

use muster_api::osquery::HostDetails;
use sea_orm::Set;

use crate::store::entity::hosts::{ActiveModel, Column, Model};

/// Longest text kept of a detail, in characters, like the columns.
const MAX_TEXT: usize = 255;

/// Fits text into a column.
pub(super) fn fit(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

/// Sets the columns for which `details` has a value; the others stay.
pub fn set(host: &mut ActiveModel, details: &HostDetails) {
    macro_rules! texts {
        ($($field:ident = $table:literal . $column:literal),* $(,)?) => {$(
            if let Some(text) = details.get($table, $column) {
                host.$field = Set(fit(text));
            }
        )*};
    }
    macro_rules! numbers {
        ($($field:ident = $table:literal . $column:literal),* $(,)?) => {$(
            if let Some(number) = details.get($table, $column).and_then(|text| text.trim().parse().ok()) {
                host.$field = Set(number);
            }
        )*};
    }
    texts! {
        platform_like = "os_version"."platform_like",
        build = "os_version"."build",
        code_name = "os_version"."codename",
        osquery_version = "osquery_info"."version",
        hostname = "system_info"."hostname",
        computer_name = "system_info"."computer_name",
        cpu_type = "system_info"."cpu_type",
        cpu_subtype = "system_info"."cpu_subtype",
        cpu_brand = "system_info"."cpu_brand",
        hardware_vendor = "system_info"."hardware_vendor",
        hardware_model = "system_info"."hardware_model",
        hardware_version = "system_info"."hardware_version",
        hardware_serial = "system_info"."hardware_serial",
    }
    numbers! {
        memory = "system_info"."physical_memory",
        cpu_physical_cores = "system_info"."cpu_physical_cores",
        cpu_logical_cores = "system_info"."cpu_logical_cores",
    }
    if let Some(uuid) = details.get("osquery_info", "uuid").or(details.get("system_info", "uuid")) {
        host.uuid = Set(fit(uuid));
    }
    if let Some(platform) = platform(details) {
        host.platform = Set(fit(platform));
    }
    if let Some(version) = os_version(details) {
        host.os_version = Set(fit(&version));
    }
    // Agents hash gethostname(); computer_name is that on Linux and Windows, and the closest known elsewhere.
    if let Some(name) = details.get("system_info", "computer_name").or(details.get("system_info", "hostname")) {
        host.shard_hostname = Set(fit(name));
    }
}

macro_rules! reported {
    ($($field:ident = $column:ident),* $(,)?) => {
        /// The columns that [`set`] sets.
        pub(super) const COLUMNS: &[Column] = &[$(Column::$column),*];

        /// Puts what [`set`] has set into a row.
        pub(super) fn put_into(row: &mut Model, said: &ActiveModel) {
            $(if let Set(value) = &said.$field {
                row.$field.clone_from(value);
            })*
        }
    };
}
reported! {
    platform = Platform,
    platform_like = PlatformLike,
    os_version = OsVersion,
    build = Build,
    code_name = CodeName,
    osquery_version = OsqueryVersion,
    hostname = Hostname,
    computer_name = ComputerName,
    uuid = Uuid,
    cpu_type = CpuType,
    cpu_subtype = CpuSubtype,
    cpu_brand = CpuBrand,
    hardware_vendor = HardwareVendor,
    hardware_model = HardwareModel,
    hardware_version = HardwareVersion,
    hardware_serial = HardwareSerial,
    shard_hostname = ShardHostname,
    memory = Memory,
    cpu_physical_cores = CpuPhysicalCores,
    cpu_logical_cores = CpuLogicalCores,
}

/// Relatives of Red Hat by a part of their name, and what newer agents call their platform. Older ones say `rhel` for all
/// of them, or nothing.
const RED_HAT_RELATIVES: [(&str, &str); 6] = [
    ("centos", "centos"),
    ("fedora", "fedora"),
    ("rocky", "rocky"),
    ("almalinux", "almalinux"),
    ("oracle", "ol"),
    ("amazon", "amzn"),
];

/// The platform as the newest agents call it.
fn platform(details: &HostDetails) -> Option<&str> {
    newest_platform(details.get("os_version", "platform"), details.get("os_version", "name").unwrap_or_default())
}

/// The platform as the newest agents call it, by what an agent says of it and the name of the system.
pub(super) fn newest_platform<'a>(said: Option<&'a str>, name: &str) -> Option<&'a str> {
    if !matches!(said, None | Some("rhel")) {
        return said;
    }
    let name = name.to_ascii_lowercase();
    let relative = RED_HAT_RELATIVES.iter().find(|(part, _)| name.contains(part));
    relative.map(|(_, platform)| *platform).or(said)
}

/// Name and version as people say it: `Ubuntu 22.04.3`, `macOS 14.5.0`.
fn os_version(details: &HostDetails) -> Option<String> {
    let name = details.get("os_version", "name")?;
    Some(format!("{name} {}", version(details)).trim_end().to_owned())
}

/// The version in three parts, as the text says them. Parts it lacks are the numbers that come beside it, and text alone
/// counts where there are no numbers at all.
fn version(details: &HostDetails) -> String {
    let column = |column| details.get("os_version", column);
    let text = column("version").unwrap_or_default();
    let number = |name| column(name).map(str::trim).filter(|text| text.parse::<u64>().is_ok());
    let numbers = [number("major"), number("minor"), number("patch")];
    if text.chars().all(|c| !c.is_ascii_digit()) && numbers.iter().flatten().all(|number| number.parse() == Ok(0_u64)) {
        return column("version").or(column("build")).unwrap_or_default().to_owned();
    }
    let written = text
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .map(|part| part.trim_matches('.'))
        .find(|part| !part.is_empty())
        .unwrap_or_default();
    let mut parts: Vec<&str> = written.split('.').filter(|part| !part.is_empty()).collect();
    // The text may be about something else, such as a rolling release's day.
    let first = |text: &str| text.parse::<u64>().ok();
    if numbers[0].is_some_and(|major| parts.first().and_then(|part| first(part)) != first(major)) {
        parts.clear();
    }
    // Windows has a build where others have a patch.
    let last = numbers[2].or(number("build").filter(|_| column("platform") == Some("windows")));
    for number in [numbers[0], numbers[1], last].into_iter().skip(parts.len()) {
        parts.push(number.unwrap_or("0"));
    }
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use sea_orm::{ActiveModelTrait, Iterable as _};

    use super::*;

    #[test]
    fn whatever_is_set_is_put_into_the_row() {
        let columns = "platform platform_like name version build codename uuid hostname computer_name cpu_type cpu_subtype \
                       cpu_brand hardware_vendor hardware_model hardware_version hardware_serial physical_memory \
                       cpu_physical_cores cpu_logical_cores";
        let table: std::collections::BTreeMap<String, String> =
            columns.split_whitespace().map(|column| (column.to_owned(), "7".to_owned())).collect();
        let details = HostDetails {
            os_version: table.clone(),
            osquery_info: table.clone(),
            system_info: table,
            ..HostDetails::default()
        };
        let mut said = <ActiveModel as Default>::default();
        set(&mut said, &details);
        let is_set: Vec<Column> = Column::iter().filter(|column| said.get(*column).is_set()).collect();
        assert_eq!(is_set.len(), COLUMNS.len(), "{is_set:?}");
        let mut row = crate::fleet::hosts::enroll::empty_row();
        put_into(&mut row, &said);
        let row: ActiveModel = row.into();
        for column in COLUMNS {
            assert_eq!(row.get(*column).into_value(), said.get(*column).into_value(), "{column:?}");
        }
    }

    fn of(columns: &[(&str, &str)]) -> (Option<String>, Option<String>) {
        let os_version = columns.iter().map(|(column, text)| ((*column).to_owned(), (*text).to_owned())).collect();
        let mut host = <ActiveModel as Default>::default();
        set(&mut host, &HostDetails { os_version, ..HostDetails::default() });
        (host.platform.take(), host.os_version.take())
    }

    #[test]
    fn versions_are_as_the_system_writes_them() {
        for (name, version, major, minor, patch, build, platform, expected) in [
            ("Microsoft Windows 11 Pro", "10.0.22631", "10", "0", "", "22631", "windows", "10.0.22631"),
            ("Microsoft Windows 10 Pro", "", "10", "0", "", "19045", "windows", "10.0.19045"),
            ("Ubuntu", "22.04.3 LTS (Jammy Jellyfish)", "22", "4", "0", "", "ubuntu", "22.04.3"),
            ("Ubuntu", "24.04 LTS", "24", "4", "0", "", "ubuntu", "24.04.0"),
            ("CentOS", "CentOS release 6.9 (Final)", "6", "9", "", "", "rhel", "6.9.0"),
            ("Debian GNU/Linux", "12 (bookworm)", "12", "0", "0", "", "debian", "12.0.0"),
            ("macOS", "14.5", "14", "5", "0", "23F79", "darwin", "14.5.0"),
            ("macOS", "14.7.6", "14", "7", "6", "23H626", "darwin", "14.7.6"),
            ("FreeBSD", "14.1-RELEASE-p5", "14", "1", "", "", "freebsd", "14.1.0"),
            ("Chrome OS", "", "103", "0", "5060", "14816", "chrome", "103.0.5060"),
            ("Old", "", "7", "2", "", "", "debian", "7.2.0"),
            ("Arch Linux", "rolling", "0", "0", "0", "", "arch", "rolling"),
            ("Arch Linux", "", "0", "0", "0", "rolling", "arch", "rolling"),
            ("Photon", "", "", "", "", "", "photon", ""),
        ] {
            let columns = [
                ("name", name),
                ("version", version),
                ("major", major),
                ("minor", minor),
                ("patch", patch),
                ("build", build),
                ("platform", platform),
            ];
            let (_, os_version) = of(&columns);
            assert_eq!(os_version.as_deref(), Some(format!("{name} {expected}").trim_end()));
        }
    }

    #[test]
    fn relatives_of_red_hat_go_by_their_own_names() {
        for (name, said, expected) in [
            ("CentOS", "rhel", "centos"),
            ("CentOS Linux", "", "centos"),
            ("Fedora", "rhel", "fedora"),
            ("Oracle Linux Server", "rhel", "ol"),
            ("Red Hat Enterprise Linux Server", "rhel", "rhel"),
            ("Scientific Linux", "rhel", "rhel"),
            ("CentOS Linux", "centos", "centos"),
            ("Ubuntu", "ubuntu", "ubuntu"),
        ] {
            assert_eq!(of(&[("name", name), ("platform", said)]).0.as_deref(), Some(expected), "{name}");
        }
        assert_eq!(of(&[("name", "Unheard-of")]).0, None);
    }
}
