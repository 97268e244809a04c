//! Requests written once per kind of host by the model agent, with gaps for what differs between hosts.

use std::{collections::HashMap, fmt::Write as _, rc::Rc, sync::Arc};

use muster_api::osquery::{config::push_json_str, filters};

use agent_compat::{
    Agent, Flags, Identity, Platform, SqliteHost,
    agent::{
        AgentEndpoint, ExchangeStep, OsVersion, Version,
        chance::{below, mix, uuid},
        distributed_row,
    },
};

/// Everything that is a host's own. The names stand in the model's identity and are found again in what it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    Uuid,
    Instance,
    Hostname,
    Fqdn,
    ComputerName,
    Serial,
    Address,
}

const GAPS: [(Gap, &str); 6] = [
    (Gap::Uuid, "@gap-uuid@"),
    (Gap::Instance, "@gap-instance@"),
    (Gap::Hostname, "@gap-hostname@"),
    (Gap::Fqdn, "@gap-fqdn@"),
    (Gap::ComputerName, "@gap-computer-name@"),
    (Gap::Serial, "@gap-serial@"),
];

/// A text with gaps.
#[derive(Debug, Default)]
pub(super) struct Gapped {
    pieces: Vec<(Box<[u8]>, Option<Gap>)>,
}

impl Gapped {
    /// Finds the gaps in what the model wrote, whose address is this.
    fn find(text: &[u8], address: &str) -> Self {
        let quoted = format!("\"{address}\"");
        let words = GAPS.iter().map(|(gap, word)| (*gap, *word)).chain([(Gap::Address, quoted.as_str())]);
        let mut pieces = Vec::new();
        let mut rest = text;
        loop {
            let first = words
                .clone()
                .filter_map(|(gap, word)| Some((find(rest, word.as_bytes())?, gap, word)))
                .min_by_key(|found| found.0);
            let Some((at, gap, word)) = first else { break };
            pieces.push((rest[..at].into(), Some(gap)));
            rest = &rest[at + word.len()..];
        }
        pieces.push((rest.into(), None));
        Self { pieces }
    }

    pub fn fill(&self, out: &mut Vec<u8>, names: &Names) {
        for (text, gap) in &self.pieces {
            out.extend_from_slice(text);
            let name = match gap {
                None => continue,
                Some(Gap::Uuid) => &names.uuid,
                Some(Gap::Instance) => &names.instance,
                Some(Gap::Hostname | Gap::ComputerName) => &names.hostname,
                Some(Gap::Fqdn) => &names.fqdn,
                Some(Gap::Serial) => &names.serial,
                Some(Gap::Address) => &names.quoted_address,
            };
            out.extend_from_slice(name.as_bytes());
        }
    }
}

/// Where `word` begins in `text`.
pub(super) fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    let first = *word.first()?;
    let mut from = 0;
    while let Some(at) = text.get(from..)?.iter().position(|byte| *byte == first) {
        if text[from + at..].starts_with(word) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// The names of one host; all are safe inside JSON strings.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub uuid: String,
    pub instance: String,
    pub hostname: String,
    pub fqdn: String,
    pub serial: String,
    /// An address that no other host of the load has, in quotation marks.
    pub quoted_address: String,
}

/// Rows that one query returns on one kind of host.
#[derive(Debug)]
pub(super) enum Rows {
    Fine { json: Gapped, empty: bool },
    Failed(String),
}

/// One kind of host: a platform, and a release of osquery.
pub(super) struct Template {
    pub word: &'static str,
    pub platform: Platform,
    pub version: String,
    /// The release sends its key in a header too.
    pub has_header: bool,
    /// Markers that the configs of such hosts hold.
    pub markers: &'static [&'static str],
    heads: [Vec<u8>; 5],
    enroll: Gapped,
    model: Agent,
    /// The address of the model.
    address: String,
    answers: HashMap<Box<str>, Rc<Rows>>,
}

/// Word, family and markers of a platform, and its `os_version` if the model has no better one.
type Flavour = (&'static str, Platform, &'static [&'static str], Option<[&'static str; 10]>);

/// The platforms that can be simulated.
const FLAVOURS: [Flavour; 6] = [
    (
        "ubuntu",
        Platform::Linux,
        &["marker_linux", "marker_ubuntu"],
        Some(["Ubuntu", "24.04.2 LTS (Noble Numbat)", "24", "4", "0", "", "ubuntu", "debian", "noble", "x86_64"]),
    ),
    (
        "debian",
        Platform::Linux,
        &["marker_linux"],
        Some(["Debian GNU/Linux", "12 (bookworm)", "12", "0", "0", "", "debian", "", "bookworm", "x86_64"]),
    ),
    (
        "rhel",
        Platform::Linux,
        &["marker_linux", "marker_rhel"],
        Some(["Red Hat Enterprise Linux", "9.5 (Plow)", "9", "5", "0", "", "rhel", "fedora", "Plow", "x86_64"]),
    ),
    (
        "centos",
        Platform::Linux,
        &["marker_linux", "marker_centos"],
        Some(["CentOS Stream", "9", "9", "0", "0", "", "centos", "rhel fedora", "", "x86_64"]),
    ),
    ("darwin", Platform::Darwin, &["marker_darwin"], None),
    ("windows", Platform::Windows, &["marker_windows"], None),
];

/// Words that `--platforms` takes.
pub fn platform_words() -> impl Iterator<Item = &'static str> {
    FLAVOURS.iter().map(|flavour| flavour.0)
}

/// Every marker there is, with the built-in label whose hosts have it.
pub(super) const MARKERS: [(&str, &str); 6] = [
    ("marker_linux", "All Linux"),
    ("marker_darwin", "macOS"),
    ("marker_windows", "MS Windows"),
    ("marker_ubuntu", "Ubuntu Linux"),
    ("marker_centos", "CentOS Linux"),
    ("marker_rhel", "Red Hat Linux"),
];

/// The releases hosts run, by how many of eight.
const VERSIONS: [(&str, u64); 3] = [("5.12.2", 1), ("5.22.1", 3), ("5.23.1", 4)];

/// Input from which templates are made.
pub(super) struct Ground<'a> {
    pub seed: u64,
    pub flags: &'a Flags,
    /// Put before the path of every endpoint.
    pub prefix: &'a str,
    pub now_ms: u64,
}

impl Template {
    /// All kinds of hosts of these platforms with their weights.
    pub fn all(ground: &Ground<'_>, platforms: &[(String, u64)]) -> Vec<(Self, u64)> {
        let mut all = Vec::new();
        for (word, weight) in platforms {
            for flavour in FLAVOURS.iter().filter(|flavour| flavour.0 == word) {
                for (version, eighths) in VERSIONS {
                    all.push((Self::new(ground, flavour, version), weight * eighths));
                }
            }
        }
        all
    }

    fn new(ground: &Ground<'_>, (word, platform, markers, os): &Flavour, version: &str) -> Self {
        let flavour = &(*word, *platform, *markers, *os);
        let identity = identity(ground.seed, flavour, version, |gap| {
            GAPS.iter().find(|(other, _)| *other == gap).map_or("", |(_, text)| text).to_owned()
        });
        let mut model = Agent::new(identity, ground.flags.clone(), Box::new(SqliteHost::new()), ground.now_ms);
        let address = address_of(&mut model, ground.now_ms);
        let heads = AgentEndpoint::ALL.map(|endpoint| {
            let mut head = format!("POST {}{} HTTP/1.1\r\n", ground.prefix, model.path(endpoint));
            for (name, value) in model.headers(endpoint, false) {
                let _ = write!(head, "{name}: {value}\r\n");
            }
            head.into_bytes()
        });
        Self {
            word,
            platform: *platform,
            version: version.to_owned(),
            has_header: Version::parse(version).at_least(5, 23, 0),
            markers,
            heads,
            enroll: Gapped::find(&model.request(ExchangeStep::Enroll, ground.now_ms).body, &address),
            model,
            address,
            answers: HashMap::new(),
        }
    }

    /// The head up to the headers that differ between hosts.
    pub fn head(&self, endpoint: AgentEndpoint) -> &[u8] {
        &self.heads[endpoint as usize]
    }

    pub fn enroll(&self, out: &mut Vec<u8>, names: &Names) {
        self.enroll.fill(out, names);
    }

    /// Rows that hosts of this kind return for this SQL; the model runs it once.
    pub fn answer(&mut self, sql: &str, now_ms: u64) -> Rc<Rows> {
        if let Some(known) = self.answers.get(sql) {
            return Rc::clone(known);
        }
        let rows = match self.model.ask(sql, now_ms).0 {
            Ok(rows) => {
                let mut json = vec![b'['];
                for (at, row) in rows.iter().enumerate() {
                    if at > 0 {
                        json.push(b',');
                    }
                    distributed_row(&mut json, row);
                }
                json.push(b']');
                Rows::Fine { json: Gapped::find(&json, &self.address), empty: rows.is_empty() }
            }
            Err(message) => Rows::Failed(message),
        };
        let rows = Rc::new(rows);
        if self.answers.len() >= MAX_ANSWERS {
            self.answers.clear();
        }
        self.answers.insert(sql.into(), Rc::clone(&rows));
        rows
    }

    pub fn filtered(&self) -> filters::Platform {
        self.platform.filtered()
    }

    /// The names of a host. A clone has those of `identity` and an instance id of its own.
    pub fn names(&self, seed: u64, identity: u32, number: u32) -> Names {
        let own = mix(seed, u64::from(identity));
        let hostname = match self.platform {
            Platform::Linux => format!("srv-{identity:06}"),
            Platform::Darwin => format!("mac-{identity:06}"),
            Platform::Windows => format!("DESKTOP-{identity:06}"),
        };
        let fqdn =
            if self.platform == Platform::Windows { hostname.clone() } else { format!("{hostname}.corp.example") };
        Names {
            uuid: uuid(own, 3),
            instance: uuid(mix(seed, u64::from(number)), 4),
            serial: format!("{:010X}", below(own, 22, 1 << 40)),
            quoted_address: format!("\"10.{}.{}.{}\"", identity >> 16 & 0xff, identity >> 8 & 0xff, identity & 0xff),
            hostname,
            fqdn,
        }
    }
}

/// The address that a model shows to others.
fn address_of(model: &mut Agent, now_ms: u64) -> String {
    let sql = "SELECT address FROM interface_addresses WHERE address LIKE '10.%' LIMIT 1";
    let rows = model.ask(sql, now_ms).0.unwrap_or_default();
    rows.into_iter().flatten().map(|(_, address)| address).next().unwrap_or_default()
}

/// A host of a kind, with these names.
fn identity(seed: u64, (_, platform, _, os): &Flavour, version: &str, name: impl Fn(Gap) -> String) -> Identity {
    let mut identity = Identity::simulated(seed, 0, *platform);
    identity.uuid = name(Gap::Uuid);
    identity.host_identifier = name(Gap::Uuid);
    identity.instance_id = name(Gap::Instance);
    identity.hostname = name(Gap::Hostname);
    identity.fqdn = name(Gap::Fqdn);
    identity.computer_name = name(Gap::ComputerName);
    identity.hardware.serial = name(Gap::Serial);
    version.clone_into(&mut identity.osquery_version);
    if let Some(os) = os {
        let [name, version, major, minor, patch, build, platform, platform_like, codename, arch] =
            os.map(str::to_owned);
        identity.os = OsVersion { name, version, major, minor, patch, build, platform, platform_like, codename, arch };
    }
    identity
}

/// Answers kept per kind of host: live queries are new texts each time.
const MAX_ANSWERS: usize = 4096;

/// Text as a JSON string.
pub(super) fn push_text(out: &mut Vec<u8>, text: &str) {
    push_json_str(out, text);
}

/// Flags as hosts of this load have them.
pub(super) fn flags(enroll_secret: &str, distributed_s: u64, config_s: u64, log_s: u64) -> Flags {
    Flags {
        enroll_secret: Arc::from(enroll_secret),
        distributed_interval: distributed_s.max(1),
        config_refresh: config_s,
        logger_tls_period: log_s.max(1),
        ..Flags::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_host_says_what_the_model_says() {
        let flags = flags("secret", 10, 60, 10);
        let ground = Ground { seed: 3, flags: &flags, prefix: "/muster", now_ms: 1_795_190_018_000 };
        for flavour in &FLAVOURS {
            for (version, _) in VERSIONS {
                let mut template = Template::new(&ground, flavour, version);
                let names = template.names(3, 17, 18);
                let identity = identity(3, flavour, version, |gap| match gap {
                    Gap::Uuid => names.uuid.clone(),
                    Gap::Instance => names.instance.clone(),
                    Gap::Hostname | Gap::ComputerName => names.hostname.clone(),
                    Gap::Fqdn => names.fqdn.clone(),
                    Gap::Serial => names.serial.clone(),
                    Gap::Address => names.quoted_address.clone(),
                });
                let mut model = Agent::new(identity, flags.clone(), Box::new(SqliteHost::new()), ground.now_ms);
                let mut body = Vec::new();
                template.enroll(&mut body, &names);
                assert_eq!(body, model.request(ExchangeStep::Enroll, ground.now_ms).body, "{}", flavour.0);
                let sql = "SELECT * FROM system_info, osquery_info, os_version";
                let mut expected = Vec::new();
                let (rows, _) = model.ask(sql, ground.now_ms);
                distributed_row(&mut expected, &rows.unwrap()[0]);
                body.clear();
                match &*template.answer(sql, ground.now_ms) {
                    Rows::Fine { json, empty: false } => json.fill(&mut body, &names),
                    other => panic!("{other:?}"),
                }
                assert_eq!(body, [b"[", expected.as_slice(), b"]"].concat(), "{}", flavour.0);
            }
        }
    }

    #[test]
    fn hosts_have_addresses_of_their_own_and_tables_in_common() {
        let flags = flags("secret", 10, 60, 10);
        let ground = Ground { seed: 3, flags: &flags, prefix: "", now_ms: 1_795_190_018_000 };
        for flavour in &FLAVOURS {
            let mut template = Template::new(&ground, flavour, "5.23.1");
            let (one, other) = (template.names(3, 17, 17), template.names(3, 70_000, 70_000));
            let mut said = |sql: &str, names: &Names| {
                let Rows::Fine { json, empty: false } = &*template.answer(sql, ground.now_ms) else { panic!("{sql}") };
                let mut body = Vec::new();
                json.fill(&mut body, names);
                String::from_utf8(body).unwrap()
            };
            let sql = "SELECT address FROM interface_addresses WHERE interface NOT LIKE 'lo%'";
            assert!(said(sql, &one).contains("\"10.0.0.17\""), "{}: {}", flavour.0, said(sql, &one));
            assert!(said(sql, &other).contains("\"10.1.17.112\""), "{}", flavour.0);
            let sql = "SELECT r.name AS \"table\", c.name AS \"column\" FROM osquery_registry AS r, \
                       pragma_table_xinfo(r.name) AS c WHERE r.registry = 'table'";
            assert_eq!(said(sql, &one), said(sql, &other));
            assert!(said(sql, &one).contains(r#"{"table":"processes","column":"pid"}"#), "{}", said(sql, &one));
        }
    }

    #[test]
    fn words_are_found_wherever_they_stand() {
        for (text, word, at) in [
            ("abc", "abc", Some(0)),
            ("aabab", "ab", Some(1)),
            ("abab", "ba", Some(1)),
            ("a", "ab", None),
            ("", "a", None),
        ] {
            assert_eq!(find(text.as_bytes(), word.as_bytes()), at, "{text} {word}");
        }
    }
}
