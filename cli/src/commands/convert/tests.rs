use super::*;

/// A pack with every deviation from JSON that agents accept.
const PACK: &str = r##"# A pack
{
  // which hosts
  "platform": "linux,darwin",
  "version": "5.0.1",
  "shard": "25",
  "description": "People and ports",
  "discovery": ["SELECT 1 FROM processes WHERE name = 'sshd';"],
  "queries": {
    "z_ports": {
      "query": "SELECT * FROM listening_ports \
        WHERE port > 0 -- \"all\" # kept \
        ;",
      "interval": "600",
      "description": "Ports",
      "value": 7,
      "snapshot": "True",
      "shard": 10
    },
    " people": {
      "query": "SELECT * FROM users;",
      "interval": 3600,
      "removed": 0,
      "blacklist": false,
      "platform": "darwin",
      "version": "1.4.5",
      "value": "Who is there"
    }
  }
}
"##;

fn read(file: &str, text: &str) -> (Vec<ParsedPack>, Vec<String>, Vec<String>) {
    let shown = |problems: &[DocumentProblem]| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    match PackFile::read(&format!("{file}.conf"), text.to_owned()) {
        Err(problem) => (Vec::new(), shown(&[problem]), Vec::new()),
        Ok(read) => {
            let mut reader = PackReader::new(&read);
            let packs = reader.packs(file);
            (packs, shown(&reader.problems), shown(&reader.warnings))
        }
    }
}

fn convert(files: &[(&str, &str)], prefix: bool) -> Conversion {
    let packs = files.iter().flat_map(|(file, text)| read(file, text).0).collect();
    names::resolve(packs, prefix).unwrap()
}

/// First lines of what is wrong with a query that has these members.
fn wrong(members: &str) -> Vec<String> {
    let (_, problems, _) = read("p", &format!("{{\"queries\": {{\"q\": {{\n{members}\n}}}}}}"));
    problems.iter().map(|problem| problem.lines().next().unwrap_or_default().to_owned()).collect()
}

fn scheduled(members: &str) -> muster_api::spec::PackQuery {
    let text = format!("{{\"queries\": {{\"q\": {{\"query\": \"select 1\", {members}}}}}}}");
    let (packs, problems, _) = read("p", &text);
    assert!(problems.is_empty(), "{problems:?}");
    packs[0].queries[0].entry.clone()
}

#[test]
fn a_pack_becomes_documents() {
    let converted = convert(&[("web", PACK)], false);
    assert_eq!(
        render(&converted).unwrap(),
        r#"---
apiVersion: v1
kind: pack
spec:
  description: People and ports
  disabled: false
  discovery:
  - SELECT 1 FROM processes WHERE name = 'sshd';
  name: web
  platform: linux,darwin
  queries:
  - denylist: false
    description: Who is there
    interval: 3600
    platform: darwin
    query: people
    removed: false
    version: "1.4.5"
  - description: |-
      Ports
      7
    interval: 600
    platform: ""
    query: z_ports
    shard: 10
    snapshot: true
    version: ""
  shard: 25
  targets:
    labels: []
  version: "5.0.1"
---
apiVersion: v1
kind: query
spec:
  description: Who is there
  name: people
  query: SELECT * FROM users;
---
apiVersion: v1
kind: query
spec:
  description: |-
    Ports
    7
  name: z_ports
  query: "SELECT * FROM listening_ports         WHERE port > 0 -- \"all\" # kept         ;"
"#
    );
}

#[test]
fn what_is_written_reads_back_as_the_same() {
    let converted = convert(&[("web", PACK)], true);
    let mut documents = crate::documents::Documents::default();
    assert!(documents.add("x.yml", render(&converted).unwrap()).is_ok());
    let specs: Vec<_> = documents.to_json().into_iter().map(|mut document| document["spec"].take()).collect();
    assert_eq!(serde_json::from_value::<muster_api::spec::PackSpec>(specs[0].clone()).unwrap(), converted.packs[0]);
    assert_eq!(specs[1]["name"], "web/people");
    assert_eq!(specs[0]["queries"][0]["query"], "web/people");
    assert_eq!(specs[0]["queries"][0]["name"], "people");
}

#[test]
fn values_are_read_as_agents_read_them() {
    assert_eq!(scheduled(r#""interval": "0604800""#).interval, 604_800);
    assert_eq!(scheduled(r#""interval": null"#).interval, 3600);
    for (written, meant) in [("true", true), ("\"T\"", true), ("2", true), ("\"false\"", false), ("0", false)] {
        assert_eq!(scheduled(&format!("\"removed\": {written}")).removed, Some(meant), "{written}");
    }
    let both = scheduled(r#""denylist": true, "blacklist": false"#);
    assert_eq!(both.denylist, Some(true));
    assert_eq!((scheduled(r#""shard": 0"#).shard, scheduled(r#""shard": "100""#).shard), (None, Some(100)));
}

#[test]
fn what_agents_would_skip_is_refused_with_its_position() {
    for interval in ["0", "-5", "604801", "60.0", "true", "\"\"", "\"60.0\"", "\"1h\"", "[60]", "1e3"] {
        assert_eq!(
            wrong(&format!("\"query\": \"select 1\",\n  \"interval\": {interval}")),
            ["p.conf:3:3: expects a whole number of seconds from 1 to 604800; agents skip anything else"],
            "{interval}"
        );
    }
    let boolean = "p.conf:2:24: expects true or false; agents read any other string as false";
    assert_eq!(wrong(r#""query": "select 1",   "snapshot": "yes""#), [boolean]);
    assert_eq!(wrong(r#""query": "select 1",   "snapshot": 0.5"#), [boolean]);
    assert_eq!(wrong(r#""query": "select 1", "shard": 101"#), ["p.conf:2:22: expects a whole number from 1 to 100"]);
    assert_eq!(wrong(r#""query": " ""#), ["p.conf:2:1: SQL is empty"]);
    assert_eq!(wrong(r#""interval": 60"#), ["p.conf:1:14: \"q\" has no SQL; add \"query\""]);
    assert_eq!(wrong(r#""query": "a", "version": 5"#), ["p.conf:2:15: expects a string"]);
    assert_eq!(
        wrong("\"query\": \"a\",\n\"query\": \"b\""),
        ["p.conf:3:1: the key \"query\" is a duplicate; remove one of the two"]
    );
    let twice = r#"{"queries": {"q": {"query": "a", "interval": 1}, "q": {"query": "a", "interval": 1}}}"#;
    assert_eq!(read("p", twice).1.len(), 1, "a duplicate is named once");
    let (_, problems, _) = read("p", r#"{"queries": {}, "discovery": ["select 1", 5]}"#);
    assert!(problems[0].starts_with("p.conf:1:43: expects a string"), "{problems:?}");
}

#[test]
fn what_is_left_out_is_told() {
    let text =
        "{\"oncall\": \"x\", \"queries\": {\"a\": {\"query\": \"select 1\",\n\"intervall\": 5}},\n \"yara\": {}}";
    let (packs, problems, warnings) = read("p", text);
    assert_eq!((packs.len(), problems.len()), (1, 0));
    let first: Vec<_> = warnings.iter().filter_map(|warning| warning.lines().next()).collect();
    assert_eq!(
        first,
        [
            "p.conf:1:2: warning: \"oncall\" is left out; documents have no such key",
            "p.conf:2:1: warning: unknown key \"intervall\" is left out",
            "p.conf:1:29: warning: no interval; using 3600, the default of agents",
            "p.conf:3:2: warning: \"yara\" is left out; set it in agent_options.config of a config document",
        ]
    );
}

#[test]
fn what_is_not_json_is_shown_in_the_file_as_it_was() {
    let (_, problems, _) = read("p", "// Made for this test.\n{\n  # note\n  \"version\": \"5.0.0\",\n}\n");
    let trailing = "p.conf:5:1: invalid JSON: trailing comma; remove the comma\n  5 | }\n    | ^";
    assert_eq!(problems, [trailing]);
    let (_, problems, _) = read("p", "{\n  # note\n  \"a\": \"x \\\n   y \\q\"\n}");
    assert!(problems[0].starts_with("p.conf:4:7: invalid JSON: invalid escape"), "{problems:?}");
    let (_, problems, _) = read("p", "{\"a\": \"b\n\"}");
    assert!(problems[0].starts_with("p.conf:1:9: invalid") && problems[0].contains("end this line"), "{problems:?}");
    let (_, problems, _) = read("p", "{\"queries\": {\n\n");
    assert!(problems[0].starts_with("p.conf:1:14: invalid JSON"), "{problems:?}");
    let (_, problems, _) = read("p", "[]");
    assert!(problems[0].starts_with("p.conf:1:1: a pack file must be an object"), "{problems:?}");
}

#[test]
fn windows_line_ends_are_read_and_told() {
    let (packs, problems, warnings) = read("web", &PACK.replace('\n', "\r\n"));
    assert!(problems.is_empty(), "{problems:?}");
    assert!(warnings[0].starts_with("web.conf:11:47: warning: agents do not accept a backslash"), "{warnings:?}");
    let (unix, _, _) = read("web", PACK);
    assert_eq!(packs[0].queries[0].sql, unix[0].queries[0].sql);
}

#[test]
fn a_whole_configuration_is_taken_apart() {
    let text = r#"{
      "options": {"host_identifier": "uuid"},
      "schedule": {"uptime": {"query": "SELECT * FROM uptime;", "interval": 60}},
      "packs": {
        "inline": {"queries": {"users": {"query": "SELECT * FROM users;", "interval": "60"}}},
        "elsewhere": "/etc/osquery/packs/x.conf",
        "*": {"deep": {"platform": "windows", "queries": {}}}
      }
    }"#;
    let (packs, problems, warnings) = read("osquery", text);
    assert!(problems.is_empty(), "{problems:?}");
    let found: Vec<_> = packs.iter().map(|pack| (pack.spec.name.as_str(), pack.queries.len())).collect();
    assert_eq!(found, [("osquery", 1), ("inline", 1), ("deep", 0)]);
    let all = warnings.join("\n");
    for part in
        ["agent_options.config", "pack/osquery/NAME", "also convert /etc/osquery/packs/x.conf", "\"deep\" has no"]
    {
        assert!(all.contains(part), "{part} in {all}");
    }
}

#[test]
fn equal_names_meet() {
    let pack = |a: &str, b: &str| {
        format!(r#"{{"queries": {{"a": {{"query": "{a}", "interval": 1}}, "b": {{"query": "{b}", "interval": 1}}}}}}"#)
    };
    let (one, two, three) = (pack("same", "x"), pack("same", "y"), pack("same", "x"));
    let converted = convert(&[("two", &two), ("one", &one), ("three", &three)], false);
    let names: Vec<_> = converted.queries.iter().map(|query| (query.name.as_str(), query.query.as_str())).collect();
    assert_eq!(names, [("a", "same"), ("one/b", "x"), ("three/b", "x"), ("two/b", "y")]);
    let packs: Vec<_> = converted.packs.iter().map(|pack| pack.name.as_str()).collect();
    assert_eq!(packs, ["one", "three", "two"]);
    let entries: Vec<_> = converted.packs[0].queries.iter().map(|q| (q.query.as_str(), q.name.as_str())).collect();
    assert_eq!(entries, [("a", ""), ("one/b", "b")]);
    assert_eq!(converted.ambiguous, ["b"]);
}

#[test]
fn names_that_would_still_clash_are_refused() {
    let pack = |name: &str, sql: &str| format!(r#"{{"queries": {{"{name}": {{"query": "{sql}", "interval": 1}}}}}}"#);
    let packs = |files: &[(&str, String)]| files.iter().flat_map(|(file, text)| read(file, text).0).collect();
    let twice = names::resolve(packs(&[("p", pack("a", "1")), ("p", pack("b", "2"))]), false).unwrap_err();
    assert!(twice[0].starts_with("p.conf and p.conf: both are named \"p\""), "{twice:?}");
    let files = [("p", pack("x", "1")), ("q", pack("x", "2")), ("r", pack("p/x", "3"))];
    let clash = names::resolve(packs(&files), false).unwrap_err();
    assert!(clash[0].starts_with("r.conf: \"p/x\" is also the name of another query"), "{clash:?}");
}
