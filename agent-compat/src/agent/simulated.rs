//! Believable identities made from a seed.

use super::{
    chance::{below, mix, pick, uuid},
    identity::{Hardware, Identity, OsVersion, Platform},
};

const ROLES: [&str; 6] = ["web", "db", "build", "cache", "mail", "queue"];
const PEOPLE: [&str; 8] = ["amara", "bjorn", "chidi", "dana", "emre", "freya", "goran", "hana"];

impl Identity {
    /// The same identity for the same arguments; different ones differ in all names and UUIDs.
    ///
    /// About one agent in eight runs a release older than the newest.
    #[must_use]
    pub fn simulated(seed: u64, index: u32, platform: Platform) -> Self {
        let seed = mix(seed, u64::from(index) << 2 | platform as u64);
        let hostname = match platform {
            Platform::Linux => format!("{}-{index:03}", pick(seed, 1, &ROLES)),
            Platform::Darwin => format!("{}s-macbook-{index:03}", pick(seed, 1, &PEOPLE)),
            Platform::Windows => format!("DESKTOP-{:04X}{index:03}", below(seed, 2, 0x10000)),
        };
        let fqdn = match platform {
            Platform::Windows => hostname.clone(),
            Platform::Linux | Platform::Darwin => format!("{hostname}.corp.example"),
        };
        let hardware_uuid = uuid(seed, 3);
        Self {
            host_identifier: hardware_uuid.clone(),
            uuid: hardware_uuid,
            instance_id: uuid(seed, 4),
            computer_name: match platform {
                Platform::Darwin => format!("{}'s MacBook {index}", pick(seed, 1, &PEOPLE)),
                Platform::Linux | Platform::Windows => hostname.clone(),
            },
            hostname,
            fqdn,
            platform,
            os: operating_system(seed, platform),
            hardware: hardware(seed, platform),
            osquery_version: match below(seed, 5, 8) {
                0 => "5.12.2",
                1..=3 => "5.22.1",
                _ => "5.23.1",
            }
            .to_owned(),
            seed,
        }
    }
}

fn operating_system(seed: u64, platform: Platform) -> OsVersion {
    let choices: &[[&str; 10]] = match platform {
        Platform::Linux => &[
            ["Ubuntu", "24.04.2 LTS (Noble Numbat)", "24", "4", "0", "", "ubuntu", "debian", "noble", "x86_64"],
            ["Ubuntu", "22.04.5 LTS (Jammy Jellyfish)", "22", "4", "0", "", "ubuntu", "debian", "jammy", "x86_64"],
            ["Debian GNU/Linux", "12 (bookworm)", "12", "0", "0", "", "debian", "", "bookworm", "x86_64"],
            ["Debian GNU/Linux", "13 (trixie)", "13", "0", "0", "", "debian", "", "trixie", "aarch64"],
        ],
        Platform::Darwin => &[
            ["macOS", "15.5", "15", "5", "0", "24F74", "darwin", "darwin", "", "arm64"],
            ["macOS", "14.7.6", "14", "7", "6", "23H626", "darwin", "darwin", "", "arm64"],
            ["macOS", "13.7.6", "13", "7", "6", "22H625", "darwin", "darwin", "", "x86_64"],
        ],
        Platform::Windows => &[
            ["Microsoft Windows 11 Pro", "10.0.26100", "10", "0", "", "26100", "windows", "windows", "", "64-bit"],
            [
                "Microsoft Windows 10 Enterprise",
                "10.0.19045",
                "10",
                "0",
                "",
                "19045",
                "windows",
                "windows",
                "",
                "64-bit",
            ],
            [
                "Microsoft Windows Server 2022 Standard",
                "10.0.20348",
                "10",
                "0",
                "",
                "20348",
                "windows",
                "windows",
                "",
                "64-bit",
            ],
        ],
    };
    let chosen = choices.get(below(seed, 10, choices.len() as u64) as usize).copied().unwrap_or_default();
    let [name, version, major, minor, patch, build, platform, platform_like, codename, arch] =
        chosen.map(str::to_owned);
    OsVersion { name, version, major, minor, patch, build, platform, platform_like, codename, arch }
}

fn hardware(seed: u64, platform: Platform) -> Hardware {
    let (vendor, models, cpus): (_, &[&str], &[&str]) = match platform {
        Platform::Linux => (
            pick(seed, 20, &["Dell Inc.", "HPE", "Supermicro", "QEMU"]),
            &["PowerEdge R660", "ProLiant DL360 Gen11", "SYS-1029P", "Standard PC (Q35 + ICH9, 2009)"],
            &["Intel(R) Xeon(R) Gold 6430", "AMD EPYC 9354P 32-Core Processor"],
        ),
        Platform::Darwin => ("Apple Inc.", &["MacBookPro18,3", "Mac14,2", "Mac15,6"], &["Apple M1 Pro", "Apple M2"]),
        Platform::Windows => (
            pick(seed, 20, &["LENOVO", "Dell Inc.", "HP"]),
            &["ThinkPad T14 Gen 5", "Latitude 5450", "EliteBook 840 G11"],
            &["Intel(R) Core(TM) Ultra 5 125U", "AMD Ryzen 7 PRO 8840U"],
        ),
    };
    Hardware {
        vendor: vendor.to_owned(),
        model: pick(seed, 21, models).to_owned(),
        serial: format!("{:010X}", below(seed, 22, 1 << 40)),
        cpu_brand: pick(seed, 23, cpus).to_owned(),
        cpu_cores: [4, 8, 12, 16].get(below(seed, 24, 4) as usize).copied().unwrap_or(4),
        memory_bytes: [8, 16, 32, 64].get(below(seed, 25, 4) as usize).copied().unwrap_or(8) << 30,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_reproducible_and_distinct() {
        let one = Identity::simulated(7, 1, Platform::Linux);
        assert_eq!(one, Identity::simulated(7, 1, Platform::Linux));
        let two = Identity::simulated(7, 2, Platform::Linux);
        assert_ne!(one.uuid, two.uuid);
        assert_ne!(one.instance_id, two.instance_id);
        assert_ne!(one.hostname, two.hostname);
        assert_ne!(one.uuid, Identity::simulated(7, 1, Platform::Windows).uuid);
        assert_ne!(one.uuid, Identity::simulated(8, 1, Platform::Linux).uuid);
    }
}
