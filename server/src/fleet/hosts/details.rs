//! Details that a host reports when it enrolls.

use muster_api::osquery::HostDetails;
use sea_orm::Set;

use crate::store::entity::hosts::ActiveModel;

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
        platform = "os_version"."platform",
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
    if let Some(version) = os_version(details) {
        host.os_version = Set(fit(&version));
    }
    // Agents hash gethostname(); computer_name is that on Linux and Windows, and the closest known elsewhere.
    if let Some(name) = details.get("system_info", "computer_name").or(details.get("system_info", "hostname")) {
        host.shard_hostname = Set(fit(name));
    }
}

/// Name and version as people say it: `Ubuntu 22.4.0`, `macOS 14.5.0`, or with the build where there are no numbers.
fn os_version(details: &HostDetails) -> Option<String> {
    let name = details.get("os_version", "name")?;
    let part = |column| details.get("os_version", column).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let numbers = [part("major"), part("minor"), part("patch")];
    let version = if numbers == [0, 0, 0] {
        details.get("os_version", "version").or(details.get("os_version", "build")).unwrap_or_default().to_owned()
    } else {
        format!("{}.{}.{}", numbers[0], numbers[1], numbers[2])
    };
    Some(format!("{name} {version}").trim_end().to_owned())
}
