use serde_json::{Value, json};

use super::*;

/// Paths of problems and of warnings in a document, without the path they all begin with.
fn paths(document: Value) -> (Vec<String>, Vec<String>) {
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    check("o", &json!({ "config": document }), &mut problems, &mut warnings);
    let paths = |found: Vec<Problem>| {
        let mut paths: Vec<String> = found
            .into_iter()
            .map(|found| found.path.trim_start_matches("o.config").trim_start_matches('.').to_owned())
            .collect();
        paths.sort();
        paths
    };
    (paths(problems), paths(warnings))
}

fn reason(document: Value) -> String {
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    check("o", &json!({ "config": document }), &mut problems, &mut warnings);
    problems.into_iter().chain(warnings).next().unwrap().to_string()
}

/// A document nested so deeply, root included.
fn nested(levels: usize) -> Value {
    let innermost = (2..levels).fold(json!({}), |inner, _| json!({ "x": inner }));
    json!({ "logger": innermost })
}

#[test]
fn good_documents_pass() {
    for document in [
        BuiltInOptions::new("").options["config"].clone(),
        json!({}),
        json!({"decorators": {"load": [], "always": ["select 1"], "interval": {"60": ["select 1"], "3600": []}}}),
        json!({
            "file_paths": {"etc": ["/etc/%%"]}, "file_paths_query": {"homes": ["select path from x"]},
            "file_accesses": ["etc", "homes"], "exclude_paths": {"etc": ["/etc/ssl/%"]},
            "yara": {
                "signatures": {"sig": ["/etc/rules.yar"]}, "signature_urls": ["https://x/"],
                "file_paths": {"homes": ["sig"]}
            }
        }),
        json!({"auto_table_construction": {"t": {
            "query": "select a from b", "path": "/x.db", "columns": ["a"], "platform": "darwin"
        }}}),
        json!({"auto_table_construction": {}, "views": {"v": "select 1"}, "kafka_topics": {}, "logger": {"a": 1}}),
        json!({"events": {"enable_subscribers": ["a"], "disable_subscribers": [], "environment_variables": ["PATH"]}}),
        json!({"prometheus_targets": {"urls": ["http://localhost"], "timeout": 2}}),
        json!({"feature_vectors": {"character_frequencies": [0.5, 1]}}),
        json!({"schedule": {"q": {
            "query": "select 1", "interval": "60", "snapshot": "true", "removed": 0, "denylist": false, "blacklist": false,
            "platform": "linux", "version": "5.1.0", "shard": "50", "startup_priority": 3, "description": 7, "value": "v"
        }, "default interval": {"query": "select 1"}}}),
        json!({"packs": {
            "fim": {"queries": {}, "file_paths": {"etc": ["/etc/%"]}, "file_accesses": ["etc"], "oncall": "me"},
            "*": {"one": {"queries": {"q": {"query": "select 1", "interval": 604_800}}, "discovery": ["select 1"]}}
        }}),
        json!({"options": {
            "verbose": true, "audit_persist": 0, "utc": "Yes", "distributed_interval": "10", "buffered_log_max": 0,
            "logger_min_status": -1, "pack_delimiter": "/", "logger_kafka_acks": 1, "custom_x": {"any": []},
            "config_tls_refresh": 60, "config_tls_accelerated_refresh": 60, "schedule_splay_percent": 101,
            "extensions_default_index": true
        }}),
        nested(32),
    ] {
        assert_eq!(paths(document.clone()), (vec![], vec![]), "{document}");
    }
}

#[test]
fn every_problem_stands_under_its_path() {
    for (document, problems) in [
        (json!([]), vec![""]),
        (json!({"decorator": {}, "teams": 1}), vec!["decorator", "teams"]),
        (json!({"views": [], "file_accesses": {}, "events": null}), vec!["events", "file_accesses", "views"]),
        (
            json!({"decorators": {"load": "select 1", "always": [1], "interval": {"90": [], "60": "x", "abc": [""]}, "often": []}}),
            vec![
                "decorators.always[0]",
                "decorators.interval.abc",
                "decorators.interval.abc[0]",
                r#"decorators.interval["90"]"#,
                "decorators.often",
            ],
        ),
        (
            json!({"file_paths": {"odd key": [1, ""]}, "file_accesses": ["x"], "file_paths_query": {"q": "select 1"}}),
            vec![
                "file_accesses[0]",
                "file_paths_query.q",
                r#"file_paths["odd key"][0]"#,
                r#"file_paths["odd key"][1]"#,
            ],
        ),
        (
            json!({"yara": {"file_paths": {"etc": ["sig"]}, "signatures": ["x"], "signature_urls": [3], "rules": {}}}),
            vec![
                "yara.file_paths.etc",
                "yara.file_paths.etc[0]",
                "yara.rules",
                "yara.signature_urls[0]",
                "yara.signatures",
            ],
        ),
        (
            json!({"auto_table_construction": {
                "a": {"path": "/x", "columns": ["path", "b", "b"], "platform": "macos"},
                "b": {"query": "", "path": 1, "columns": [], "flavour": 1}, "c": []
            }}),
            vec![
                "auto_table_construction.a.columns[0]",
                "auto_table_construction.a.columns[2]",
                "auto_table_construction.a.platform",
                "auto_table_construction.a.query",
                "auto_table_construction.b.columns",
                "auto_table_construction.b.flavour",
                "auto_table_construction.b.path",
                "auto_table_construction.b.query",
                "auto_table_construction.c",
            ],
        ),
        (json!({"views": {"v": 1, " ": "select 1"}}), vec![r#"views[" "]"#, "views.v"]),
        (
            json!({"prometheus_targets": {"urls": "x", "timeout": 0.5}}),
            vec!["prometheus_targets.timeout", "prometheus_targets.urls"],
        ),
        (
            json!({"feature_vectors": {"character_frequencies": ["a"], "x": 1}}),
            vec!["feature_vectors.character_frequencies[0]", "feature_vectors.x"],
        ),
        (
            json!({"feature_vectors": {"character_frequencies": vec![1; 257]}}),
            vec!["feature_vectors.character_frequencies"],
        ),
        (
            json!({"schedule": {
                "a:b": {"query": "select 1", "interval": 60.0}, "query.x": {"query": "select 1", "interval": 0},
                "my_counter": {"interval": 604_801, "shard": 0, "snapshot": "si", "platform": "osx", "often": 1}, "d": "select 1"
            }}),
            vec![
                "schedule.d",
                "schedule.my_counter",
                "schedule.my_counter.interval",
                "schedule.my_counter.often",
                "schedule.my_counter.platform",
                "schedule.my_counter.query",
                "schedule.my_counter.shard",
                "schedule.my_counter.snapshot",
                r#"schedule["a:b"]"#,
                r#"schedule["a:b"].interval"#,
                r#"schedule["query.x"]"#,
                r#"schedule["query.x"].interval"#,
            ],
        ),
        (
            json!({"packs": {
                "main": {}, "file": "/etc/pack.conf", "list": [], "x": {"options": {}, "views": {}, "querys": {}, "version": "new"},
                "*": {"x": {"queries": {"q": {"query": 1}}, "file_accesses": ["y"]}}
            }}),
            vec![
                "packs.file",
                "packs.list",
                "packs.main",
                "packs.x.options",
                "packs.x.querys",
                "packs.x.version",
                "packs.x.views",
                r#"packs["*"].x"#,
                r#"packs["*"].x.file_accesses[0]"#,
                r#"packs["*"].x.queries.q.query"#,
            ],
        ),
        (
            json!({"options": {
                "config_refresh": 60, "watchdog_level": 1, "tls_server_certs": "x", "carver_block_size": 1, "logger_plugin": "syslog",
                "verbose": "maybe", "distributed_interval": 1.5, "events_max": -1, "hash_cache_max": 4_294_967_296_u64,
                "pack_delimiter": "", "logger_tls_endpoint": null, "schedule_splay_percent": "1", "read_max": [1],
                "host_identifier": true
            }}),
            vec![
                "options.distributed_interval",
                "options.events_max",
                "options.hash_cache_max",
                "options.host_identifier",
                "options.logger_tls_endpoint",
                "options.pack_delimiter",
                "options.read_max",
                "options.schedule_splay_percent",
                "options.verbose",
            ],
        ),
        (nested(33), vec!["logger"]),
    ] {
        let mut problems = problems;
        problems.sort_unstable();
        assert_eq!(paths(document.clone()).0, problems, "{document}");
    }
}

#[test]
fn what_may_be_meant_is_only_warned_of() {
    let document = json!({
        "options": {"logger_tls_perod": 3, "logger_plugin": "tls", "watchdog_level": 1, "disable_tables": "x"},
        "decorators": {"load": "select 1", "interval": {"60": "select 1"}},
        "exclude_paths": {"etc": []},
        "schedule": {"q": {"query": "select 1", "platform": "gentoo"}},
    });
    let warnings = [
        r#"decorators.interval["60"]"#,
        "decorators.load",
        "exclude_paths.etc",
        "options.disable_tables",
        "options.logger_plugin",
        "options.logger_tls_perod",
        "options.watchdog_level",
        "schedule.q.platform",
    ];
    assert_eq!(paths(document), (vec![], warnings.map(str::to_owned).to_vec()));
}

#[test]
fn reasons_say_what_to_do() {
    for (document, expected) in [
        (
            json!({"options": {"config_refresh": 60}}),
            "o.config.options.config_refresh: agents take this only from their flagfile; put --config_refresh=60 there, or set config_tls_refresh here, which they do take",
        ),
        (
            json!({"options": {"disable_watchdog": true}}),
            "o.config.options.disable_watchdog: agents take this only from their flagfile; put --disable_watchdog=true there",
        ),
        (
            json!({"options": {"logger_tls_perod": 3}}),
            "o.config.options.logger_tls_perod: not a flag known here, and agents ignore flags they do not know; did you mean logger_tls_period?",
        ),
        (
            json!({"events": {"enable_subscriber": []}}),
            "o.config.events.enable_subscriber: unknown key; did you mean \"enable_subscribers\"? events have enable_subscribers, disable_subscribers, environment_variables",
        ),
    ] {
        assert_eq!(reason(document), expected);
    }
}

#[test]
fn overrides_are_checked_like_the_rest() {
    let options = json!({
        "config": {},
        "overrides": {"platforms": {"ubuntu": {"views": {"v": 1}}, "macos": {}, "amzn": []}, "teams": {}},
        "command_line_flags": {},
    });
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    check("o", &options, &mut problems, &mut warnings);
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "o.overrides.platforms.ubuntu.views.v",
            "o.overrides.platforms.amzn",
            "o.overrides.teams",
            "o.command_line_flags"
        ]
    );
    assert_eq!(warnings.len(), 1);
    check("o", &json!([]), &mut problems, &mut warnings);
    assert_eq!(problems.last().map(|problem| problem.path.as_str()), Some("o"));
}

#[test]
fn parts_that_are_null_are_as_if_absent() {
    let options = json!({
        "config": {
            "packs": null, "options": { "verbose": null }, "decorators": { "load": null },
            "schedule": { "q": { "query": "select 1", "platform": null } },
        },
        "overrides": { "platforms": { "ubuntu": { "views": null }, "darwin": null } },
    });
    let expected = json!({
        "config": {
            "options": { "verbose": null }, "decorators": {}, "schedule": { "q": { "query": "select 1" } },
        },
        "overrides": { "platforms": { "ubuntu": {} } },
    });
    assert_eq!(normal(options), expected);
    assert_eq!(normal(json!({ "config": {}, "overrides": null })), json!({ "config": {}, "overrides": {} }));
    assert_eq!(normal(json!({ "config": null, "overrides": { "platforms": null } })), json!({ "overrides": {} }));
    assert_eq!(normal(json!([])), json!([]));
}

#[test]
fn paths_without_the_prefix_are_warned_of() {
    let options = json!({
        "config": { "options": { "logger_tls_endpoint": "/api/v1/osquery/log" } },
        "overrides": { "platforms": { "ubuntu": { "options": {
            "distributed_tls_read_endpoint": "/api/osquery/distributed/read", "logger_tls_endpoint": "/m/api/v1/osquery/log",
        } } } },
    });
    let mut warnings = Vec::new();
    check_endpoints("o", &options, "", &mut warnings);
    check_endpoints("o", &BuiltInOptions::new("/m").options, "/m", &mut warnings);
    assert_eq!(warnings, []);
    check_endpoints("o", &options, "/m", &mut warnings);
    let paths: Vec<&str> = warnings.iter().map(|warning| warning.path.as_str()).collect();
    assert_eq!(
        paths,
        ["o.config.options.logger_tls_endpoint", "o.overrides.platforms.ubuntu.options.distributed_tls_read_endpoint"]
    );
    assert!(warnings[0].reason.ends_with("write /m/api/v1/osquery/log"), "{}", warnings[0].reason);
}

#[test]
fn built_in_options_are_nobody_s_choice() {
    let built_in = BuiltInOptions::new("/m");
    let stored = |options: &Value| json!({ "agent_options": options });
    assert_eq!(built_in.chosen(&json!({})), None);
    assert_eq!(built_in.chosen(&stored(&built_in.options)), None);
    assert_eq!(built_in.in_force(&stored(&BuiltInOptions::new("").options)), built_in.options);
    assert_eq!(built_in.chosen(&stored(&json!({}))), Some(&json!({})));
}
