//! Tables about installed software.

use super::{Facts, On, Rows, TableDef, row};
use crate::agent::{Platform, chance};

pub(super) const TABLES: &[TableDef] = &[
    TableDef {
        name: "deb_packages",
        on: On::Linux,
        columns: "name TEXT, version TEXT, source TEXT, size BIGINT, arch TEXT, revision TEXT, status TEXT, \
            maintainer TEXT, section TEXT, priority TEXT, admindir TEXT, pid_with_namespace INTEGER, mount_namespace_id TEXT",
        moves: false,
        weight: 40,
        rows: deb_packages,
    },
    TableDef {
        name: "apps",
        on: On::Darwin,
        columns: "name TEXT, path TEXT, bundle_executable TEXT, bundle_identifier TEXT, bundle_name TEXT, \
            bundle_short_version TEXT, bundle_version TEXT, bundle_package_type TEXT, environment TEXT, element TEXT, \
            compiler TEXT, development_region TEXT, display_name TEXT, info_string TEXT, minimum_system_version TEXT, \
            category TEXT, applescript_enabled TEXT, copyright TEXT, last_opened_time DOUBLE",
        moves: false,
        weight: 150,
        rows: apps,
    },
    TableDef {
        name: "programs",
        on: On::Windows,
        columns: "name TEXT, version TEXT, install_location TEXT, install_source TEXT, language TEXT, publisher TEXT, \
            uninstall_string TEXT, install_date TEXT, identifying_number TEXT, package_family_name TEXT",
        moves: false,
        weight: 90,
        rows: programs,
    },
    TableDef {
        name: "chrome_extensions",
        on: On::All,
        columns: "browser_type TEXT, uid BIGINT, name TEXT, profile TEXT, profile_path TEXT, identifier TEXT, \
            version TEXT, description TEXT, locale TEXT, update_url TEXT, author TEXT, persistent INTEGER, path TEXT, \
            permissions TEXT, state INTEGER, from_webstore TEXT",
        moves: false,
        weight: 70,
        rows: chrome_extensions,
    },
    TableDef {
        name: "certificates",
        on: On::All,
        columns: "common_name TEXT, subject TEXT, issuer TEXT, ca INTEGER, self_signed INTEGER, not_valid_before TEXT, \
            not_valid_after TEXT, signing_algorithm TEXT, key_algorithm TEXT, key_strength TEXT, key_usage TEXT, \
            sha1 TEXT, path TEXT, serial TEXT, store TEXT",
        moves: false,
        weight: 120,
        rows: certificates,
    },
    TableDef {
        name: "file",
        on: On::All,
        columns: "path TEXT, directory TEXT, filename TEXT, inode BIGINT, uid BIGINT, gid BIGINT, mode TEXT, device BIGINT, \
            size BIGINT, block_size INTEGER, atime BIGINT, mtime BIGINT, ctime BIGINT, btime BIGINT, hard_links INTEGER, \
            symlink INTEGER, type TEXT",
        moves: false,
        weight: 60,
        rows: files,
    },
];

fn deb_packages(facts: &Facts<'_>) -> Rows {
    const PACKAGES: [(&str, &[&str]); 12] = [
        ("openssh-server", &["1:9.2p1-2+deb12u6", "1:9.2p1-2+deb12u5", "1:9.6p1-3ubuntu13"]),
        ("openssl", &["3.0.16-1~deb12u1", "3.0.15-1~deb12u1", "3.0.13-0ubuntu3.5"]),
        ("libc6", &["2.36-9+deb12u10", "2.39-0ubuntu8.4"]),
        ("bash", &["5.2.15-2+b8", "5.2.21-2ubuntu4"]),
        ("curl", &["7.88.1-10+deb12u12", "8.5.0-2ubuntu10.6"]),
        ("sudo", &["1.9.13p3-1+deb12u2", "1.9.15p5-3ubuntu5"]),
        ("xz-utils", &["5.4.1-1", "5.6.1+really5.4.5-1"]),
        ("osquery", &["5.23.1-1.linux", "5.22.1-1.linux"]),
        ("nginx", &["1.22.1-9+deb12u2", "1.24.0-2ubuntu7"]),
        ("postgresql-16", &["16.9-1", "16.8-1"]),
        ("docker.io", &["20.10.24+dfsg1-1+b3", "26.1.3-0ubuntu1"]),
        ("python3", &["3.11.2-1+b1", "3.12.3-0ubuntu2"]),
    ];
    PACKAGES
        .iter()
        .enumerate()
        .filter(|(at, _)| *at < 8 || facts.has(500 + *at as u64, 40))
        .map(|(at, (name, versions))| {
            let version = chance::pick(facts.seed, 520 + at as u64, versions);
            let revision = version.rsplit_once('-').map_or("", |(_, revision)| revision);
            row![
                name,
                version,
                "",
                200 + at * 731,
                "amd64",
                revision,
                "install ok installed",
                "Maintainers",
                "admin",
                "optional",
                "/var/lib/dpkg",
                0,
                ""
            ]
        })
        .collect()
}

fn apps(facts: &Facts<'_>) -> Rows {
    const APPS: [(&str, &str, &[&str]); 8] = [
        ("Safari", "com.apple.Safari", &["18.5", "17.6"]),
        ("Google Chrome", "com.google.Chrome", &["138.0.7204.93", "137.0.7151.120"]),
        ("Firefox", "org.mozilla.firefox", &["140.0.2", "128.12.0"]),
        ("Slack", "com.tinyspeck.slackmacgap", &["4.44.65", "4.43.51"]),
        ("zoom.us", "us.zoom.xos", &["6.5.0", "6.4.6"]),
        ("Visual Studio Code", "com.microsoft.VSCode", &["1.101.2", "1.100.3"]),
        ("Docker", "com.docker.docker", &["4.42.1", "4.41.2"]),
        ("1Password", "com.1password.1password", &["8.10.82"]),
    ];
    APPS.iter()
        .enumerate()
        .filter(|(at, _)| *at < 3 || facts.has(540 + *at as u64, 55))
        .map(|(at, (name, bundle, versions))| {
            let version = chance::pick(facts.seed, 560 + at as u64, versions);
            row![
                format!("{name}.app"),
                format!("/Applications/{name}.app"),
                name,
                bundle,
                name,
                version,
                version,
                "APPL",
                "",
                "",
                "",
                "en",
                name,
                "",
                "12.0",
                "",
                "",
                "",
                facts.boot_s
            ]
        })
        .collect()
}

fn programs(facts: &Facts<'_>) -> Rows {
    const PROGRAMS: [(&str, &str, &[&str]); 8] = [
        ("Microsoft Edge", "Microsoft Corporation", &["138.0.3351.65", "137.0.3296.93"]),
        ("Google Chrome", "Google LLC", &["138.0.7204.97", "136.0.7103.114"]),
        ("7-Zip 24.09 (x64)", "Igor Pavlov", &["24.09", "23.01"]),
        ("osquery", "osquery", &["5.23.1", "5.22.1"]),
        ("Microsoft 365 Apps for enterprise", "Microsoft Corporation", &["16.0.18827.20164"]),
        ("Zoom Workplace", "Zoom", &["6.5.1.5946", "6.4.6.64360"]),
        ("PuTTY release 0.83 (64-bit)", "Simon Tatham", &["0.83.0.0"]),
        ("Python 3.12.4 (64-bit)", "Python Software Foundation", &["3.12.4150.0"]),
    ];
    PROGRAMS
        .iter()
        .enumerate()
        .filter(|(at, _)| *at < 4 || facts.has(580 + *at as u64, 50))
        .map(|(at, (name, publisher, versions))| {
            let version = chance::pick(facts.seed, 600 + at as u64, versions);
            let number = format!("{{{}}}", chance::uuid(facts.seed, 620 + at as u64));
            row![name, version, format!("C:\\Program Files\\{name}"), "", "1033", publisher, "", "20260114", number, ""]
        })
        .collect()
}

fn chrome_extensions(facts: &Facts<'_>) -> Rows {
    let (uid, home) = match facts.platform() {
        Platform::Linux if !facts.has(640, 25) => return Rows::new(),
        Platform::Linux => (1000, format!("/home/{}/.config/google-chrome/Default", facts.login)),
        Platform::Darwin => (501, format!("/Users/{}/Library/Application Support/Google/Chrome/Default", facts.login)),
        Platform::Windows => {
            (1001, format!("C:\\Users\\{}\\AppData\\Local\\Google\\Chrome\\User Data\\Default", facts.login))
        }
    };
    const EXTENSIONS: [(&str, &str, &str); 4] = [
        ("uBlock Origin Lite", "ddkjiahejlhfcafbddmgiahcphecmpfh", "2026.1.4"),
        ("Bitwarden Password Manager", "nngceckbapebfimnlniiiahkandclblb", "2025.12.0"),
        ("Google Docs Offline", "ghbmnnjooekpmoecnnnilnnbdlolhkhi", "1.93.1"),
        ("Free Coupon Finder", "aaabbbcccdddeeefffggghhhiiijjjkk", "0.3.7"),
    ];
    EXTENSIONS
        .iter()
        .enumerate()
        .filter(|(at, _)| facts.has(641 + *at as u64, [80, 50, 95, 6][*at]))
        .map(|(_, (name, id, version))| {
            row![
                "chrome",
                uid,
                name,
                "Person 1",
                home,
                id,
                version,
                "",
                "en",
                "https://clients2.google.com/service/update2/crx",
                "",
                0,
                format!("{home}/Extensions/{id}/{version}"),
                "storage, tabs",
                1,
                "1"
            ]
        })
        .collect()
}

fn certificates(facts: &Facts<'_>) -> Rows {
    let path = match facts.platform() {
        Platform::Linux => "/etc/ssl/certs/ca-certificates.crt",
        Platform::Darwin => "/Library/Keychains/System.keychain",
        Platform::Windows => "LocalMachine\\Root",
    };
    let host_expiry = facts.boot_s + 86_400 * (20 + chance::below(facts.seed, 660, 400));
    let certificate = |name: &str, ca: u8, expiry: u64, salt: u64| {
        let subject = format!("/C=XX/O=Example/CN={name}");
        let sha1 = format!("{:016x}{:016x}{:08x}", chance::mix(facts.seed, salt), chance::mix(salt, 1), salt);
        row![
            name,
            subject,
            "/C=XX/O=Example/CN=Example Root CA",
            ca,
            ca,
            "1704067200",
            expiry,
            "sha256WithRSAEncryption",
            "rsaEncryption",
            "2048",
            "",
            sha1,
            path,
            format!("{salt:016x}"),
            ""
        ]
    };
    vec![
        certificate("Example Root CA", 1, 2_208_988_800, 661),
        certificate("Example Issuing CA 2", 1, 1_956_528_000, 662),
        certificate(&facts.identity.fqdn, 0, host_expiry, 663),
    ]
}

fn files(facts: &Facts<'_>) -> Rows {
    let paths: &[(&str, u64, &str)] = match facts.platform() {
        Platform::Linux => &[
            ("/etc/passwd", 1843, "0644"),
            ("/etc/shadow", 1102, "0640"),
            ("/etc/ssh/sshd_config", 3254, "0644"),
            ("/etc/hosts", 221, "0644"),
            ("/usr/bin/sudo", 281_624, "4755"),
            ("/etc/crontab", 1136, "0644"),
        ],
        Platform::Darwin => &[
            ("/etc/hosts", 213, "0644"),
            ("/etc/sudoers", 1563, "0440"),
            ("/usr/bin/sudo", 1_468_016, "4511"),
            ("/Applications/Safari.app/Contents/Info.plist", 8123, "0644"),
        ],
        Platform::Windows => &[
            ("C:\\Windows\\System32\\drivers\\etc\\hosts", 824, "0644"),
            ("C:\\Windows\\System32\\cmd.exe", 331_776, "0755"),
            ("C:\\Windows\\System32\\lsass.exe", 83_816, "0755"),
        ],
    };
    let separator = if facts.platform() == Platform::Windows { '\\' } else { '/' };
    paths
        .iter()
        .enumerate()
        .map(|(at, (path, size, mode))| {
            let (directory, name) = path.rsplit_once(separator).unwrap_or(("", path));
            let changed = 1_700_000_000 + chance::below(facts.seed, 680 + at as u64, 60_000_000);
            row![
                path,
                directory,
                name,
                131_000 + at,
                0,
                0,
                mode,
                2050,
                size,
                4096,
                changed,
                changed,
                changed,
                0,
                1,
                0,
                "regular"
            ]
        })
        .collect()
}
