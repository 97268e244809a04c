//! Requests to a server and the output made of its responses, with canned responses.

#![expect(clippy::unwrap_used, reason = "a step that fails is a failed test")]

mod canned;
mod fleetctl;

use canned::Canned;
use fleetctl::Fleetctl;

use serde_json::{Value, json};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn warnings_of_an_apply_are_shown_with_their_location() {
    let fleetctl = Fleetctl::new();
    fleetctl.write(
        "c.yml",
        "kind: config\nspec:\n  agent_options:\n    config:\n      decorators:\n        interval:\n          3600: [x]\n",
    );
    let answer = json!({"dry_run": false, "changes": [{"kind": "config", "name": "", "action": "changed"}], "warnings": [
        {"name": r#"documents[0].spec.agent_options.config.decorators.interval["3600"]"#, "reason": "runs often"},
        {"name": "base", "reason": "3 hosts are touched"},
    ]});
    let _server = Canned::start(&fleetctl, &[("POST spec/apply", 200, &answer.to_string())]);
    let run = fleetctl.run(&["apply", "-f", "c.yml"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.stdout, "[+] applied fleet config (changed)\n");
    assert_eq!(
        run.stderr,
        "c.yml:7:11: warning: runs often\n  7 |           3600: [x]\n    |           ^^^^\nwarning: 3 hosts are touched\n"
    );
}

#[test]
fn user_roles_are_applied() {
    let fleetctl = Fleetctl::new();
    fleetctl.write("r.yml", "kind: user_roles\nspec:\n  roles:\n    a@b.c: {global_role: admin, teams: []}\n");
    let answer =
        r#"{"dry_run":false,"changes":[{"kind":"user_roles","name":"","action":"changed","fields":["a@b.c"]}]}"#;
    let server = Canned::start(&fleetctl, &[("POST spec/apply", 200, answer)]);
    let run = fleetctl.run(&["apply", "-f", "r.yml"]);
    assert_eq!(run.stdout, "[+] applied user roles (changed)\n    changed user_roles: a@b.c\n", "{run:?}");
    assert_eq!(
        json(&server.asked()[0].1),
        json!({"documents": [{"kind": "user_roles", "spec": {"roles": {"a@b.c": {"global_role": "admin", "teams": []}}}}],
               "dry_run": false})
    );
}

#[test]
fn documents_are_deleted() {
    let fleetctl = Fleetctl::new();
    fleetctl.write("d.yml", "kind: query\nspec: {name: x}\n---\nkind: label\nspec: {name: y}\n");
    let answer = r#"{"dry_run":true,"changes":[{"kind":"query","name":"x","action":"deleted"},{"kind":"label","name":"y","action":"absent"}]}"#;
    let server = Canned::start(&fleetctl, &[("POST spec/delete", 200, answer)]);
    let run = fleetctl.run(&["delete", "-f", "d.yml", "--dry-run"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.stdout, "[+] would've deleted query \"x\"\n[!] label \"y\" doesn't exist\n");
    let body = json!({"documents": [{"kind": "query", "spec": {"name": "x"}}, {"kind": "label", "spec": {"name": "y"}}],
                      "dry_run": true});
    assert_eq!(json(&server.asked()[0].1), body);
}

#[test]
fn documents_that_cannot_be_deleted_are_shown_with_their_location() {
    let fleetctl = Fleetctl::new();
    fleetctl.write("d.yml", "kind: label\nspec:\n  name: All Hosts\n");
    let answer = json!({"message": "Validation Failed", "errors": [
        {"name": "documents[0].spec.name", "reason": "comes with the server"}]});
    let _server = Canned::start(&fleetctl, &[("POST spec/delete", 422, &answer.to_string())]);
    let run = fleetctl.run(&["delete", "-f", "d.yml"]);
    assert_eq!(run.code, Some(1));
    assert_eq!(
        run.stderr,
        "d.yml:3:3: comes with the server\n  3 |   name: All Hosts\n    |   ^^^^\nError: 1 problem, nothing was deleted\n"
    );
}

#[test]
fn roles_are_shown_as_a_table_and_as_the_document_that_apply_takes() {
    let fleetctl = Fleetctl::new();
    let answer =
        r#"{"spec":{"roles":{"b@b.c":{"global_role":null,"teams":[]},"a@b.c":{"global_role":"admin","teams":[]}}}}"#;
    let _server = Canned::start(&fleetctl, &[("GET users/roles/spec", 200, answer)]);
    let table = "+-------+-------------+\n\
                 | USER  | GLOBAL ROLE |\n\
                 +-------+-------------+\n\
                 | a@b.c | admin       |\n\
                 +-------+-------------+\n\
                 | b@b.c |             |\n\
                 +-------+-------------+\n";
    assert_eq!(fleetctl.run(&["get", "ur"]).stdout, table);
    assert_eq!(
        fleetctl.run(&["get", "user_roles", "--yaml"]).stdout,
        "---\napiVersion: v1\nkind: user_roles\nspec:\n  roles:\n    a@b.c:\n      global_role: admin\n      teams: []\n    \
         b@b.c:\n      global_role: null\n      teams: []\n"
    );
    let mut document = json(&fleetctl.run(&["get", "user_role", "--json"]).stdout);
    assert_eq!(document["spec"].take(), json(answer)["spec"]);
}

#[test]
fn the_newest_enroll_secret_is_printed_as_agents_read_it() {
    let fleetctl = Fleetctl::new();
    let answer = r#"{"spec":{"secrets":[{"secret":"new","created_at":"2024-02-01T00:00:00Z"},
        {"secret":"old","created_at":"2024-01-01T00:00:00Z"}]}}"#;
    let _server = Canned::start(&fleetctl, &[("GET spec/enroll_secret", 200, answer)]);
    let run = fleetctl.run(&["get", "enroll_secret", "--plain"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "new\n"), "{run:?}");
    assert!(fleetctl.run(&["get", "enroll_secret"]).stdout.starts_with("---\napiVersion: v1\nkind: enroll_secret\n"));
}

#[test]
fn users_are_created() {
    let fleetctl = Fleetctl::new();
    let answer = r#"{"user":{"id":2},"token":"xyz"}"#;
    let server = Canned::start(&fleetctl, &[("POST users/admin", 200, answer)]);
    let create =
        ["user", "create", "--email", "bot@b.c", "--password", "p", "--api-only", "--global-role", "maintainer"];
    let run = fleetctl.run(&create);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.stdout, "Success! The API token for your new user is: xyz\n");
    assert_eq!(run.stderr, "[+] created user \"bot@b.c\" as maintainer\n");
    let body = json!({"email": "bot@b.c", "name": "bot@b.c", "password": "p", "sso_enabled": false, "api_only": true,
                      "global_role": "maintainer", "admin_forced_password_reset": false});
    assert_eq!(json(&server.asked()[0].1), body);

    let stderr = |args: &[&str]| fleetctl.run(&[["user", "create", "--email", "x"].as_slice(), args].concat()).stderr;
    let unknown = "Error: 'boss' is not a valid global role; roles are observer, maintainer and admin\n";
    assert_eq!(stderr(&["--global-role", "boss"]), unknown);
    assert_eq!(
        stderr(&["--sso", "--password", "p"]),
        "Error: there is no single sign-on; leave out --sso and give the user a password\n"
    );
    assert!(stderr(&[]).starts_with("Error: cannot prompt for a password without a terminal"));
    assert!(server.asked().is_empty());
}

#[test]
fn errors_of_user_create_are_shown() {
    let fleetctl = Fleetctl::new();
    let answer = r#"{"message":"Validation Failed","errors":[{"name":"password","reason":"is too short"}]}"#;
    let _server = Canned::start(&fleetctl, &[("POST users/admin", 422, answer)]);
    let run = fleetctl.run(&["user", "create", "--email", "x@b.c", "--password", "p"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert_eq!(run.stderr, "Error: Failed to create user: password: is too short\n");

    let fleetctl = Fleetctl::new();
    let taken = r#"{"message":"Resource Already Exists","errors":[{"name":"base","reason":"User x exists"}]}"#;
    let _server = Canned::start(&fleetctl, &[("POST users/admin", 409, taken)]);
    let run = fleetctl.run(&["user", "create", "--email", "x@b.c", "--password", "p"]);
    assert_eq!(run.stderr, "Error: there is already a user \"x@b.c\"; list users with: fleetctl get user_roles\n");
}

#[test]
fn users_are_deleted_by_their_address() {
    let fleetctl = Fleetctl::new();
    let users = r#"{"users":[{"id":1,"email":"a@b.c"},{"id":7,"email":"B@b.c"}]}"#;
    let server = Canned::start(&fleetctl, &[("GET users", 200, users), ("DELETE users/7", 200, "{}")]);
    let run = fleetctl.run(&["user", "delete", "--email", "b@b.c"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "[+] deleted user \"B@b.c\"\n"), "{run:?}");
    assert_eq!(server.asked().last().unwrap().0, "DELETE users/7");
    let run = fleetctl.run(&["user", "delete", "--email", "c@b.c"]);
    assert!(run.stderr.starts_with("Error: there is no user \"c@b.c\"; list"), "{run:?}");
}

const HOST: &str =
    r#"{"host":{"id":3,"hostname":"web 1","labels":[{"id":1,"name":"All Hosts"}],"packs":[],"new":{"b":1}}}"#;
const EXPLAINED: &str = r#"{"config":{"schedule":{}},"config_hash":"abc","schedule":[
    {"pack":"p","name":"a","full_name":"pack/p/a","query":"select 1","interval":60,"runs":true,"reason":"label All Hosts"},
    {"pack":"p","name":"b","full_name":"pack/p/b","query":"select 2","interval":60,"runs":false,"reason":"platform darwin"}]}"#;

#[test]
fn a_host_is_shown_with_what_it_runs() {
    let fleetctl = Fleetctl::new();
    let answers =
        [("GET hosts/identifier/web%201", 200, HOST), ("GET hosts/identifier/web%201/config", 200, EXPLAINED)];
    let _server = Canned::start(&fleetctl, &answers);
    let run = fleetctl.run(&["get", "host", "web 1", "--json"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let mut wanted = json(HOST)["host"].take();
    let explained = json(EXPLAINED);
    wanted["effective_config"] = explained["config"].clone();
    wanted["config_hash"] = explained["config_hash"].clone();
    wanted["schedule"] = explained["schedule"].clone();
    assert_eq!(json(&run.stdout)["spec"], wanted);
    let yaml = fleetctl.run(&["get", "host", "web 1"]).stdout;
    assert!(
        yaml.starts_with("---\napiVersion: v1\nkind: host\nspec:\n  config_hash: abc\n  effective_config:\n"),
        "{yaml}"
    );

    let table = "+----------+------+-----------------+\n\
                 | QUERY    | RUNS | WHY             |\n\
                 +----------+------+-----------------+\n\
                 | pack/p/a | yes  | label All Hosts |\n\
                 +----------+------+-----------------+\n\
                 | pack/p/b | no   | platform darwin |\n\
                 +----------+------+-----------------+\n";
    assert_eq!(fleetctl.run(&["get", "host", "web 1", "--why"]).stdout, table);
    let run = fleetctl.run(&["get", "host", "other", "--why"]);
    assert!(run.stderr.starts_with("Error: there is no host \"other\"; list"), "{run:?}");
    assert_eq!(fleetctl.run(&["get", "hosts", "--why"]).code, Some(1));
}

#[test]
fn observers_see_a_host_without_what_it_runs() {
    let fleetctl = Fleetctl::new();
    let forbidden = r#"{"message":"Forbidden","errors":[{"name":"base","reason":"forbidden"}]}"#;
    let answers = [("GET hosts/identifier/x", 200, HOST), ("GET hosts/identifier/x/config", 403, forbidden)];
    let _server = Canned::start(&fleetctl, &answers);
    let run = fleetctl.run(&["get", "host", "x", "--json"]);
    assert_eq!((run.code, json(&run.stdout)["spec"].clone()), (Some(0), json(HOST)["host"].clone()), "{run:?}");
    let note =
        "effective configuration and schedule are not shown: your role does not allow this; ask an administrator\n";
    assert_eq!(run.stderr, note);
    let run = fleetctl.run(&["get", "host", "x", "--why"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
}

#[test]
fn hosts_are_deleted_by_what_they_have_in_common_once_that_is_confirmed() {
    let fleetctl = Fleetctl::new();
    let labels = r#"{"labels":[{"id":7,"name":"kiosks","description":"","label_type":"regular"}]}"#;
    let host = json!({ "id": 3, "uuid": "U-3", "display_text": "web 1" });
    let list = json!({ "hosts": [host, host] }).to_string();
    let page = "GET hosts?per_page=20&order_key=hostname&query=x&status=missing&label_id=7";
    let answers =
        [("GET labels/summary", 200, labels), ("POST hosts/delete", 200, r#"{"count":3}"#), (page, 200, list.as_str())];
    let server = Canned::start(&fleetctl, &answers);
    let delete = ["hosts", "delete", "--label", "kiosks", "--status", "mia", "--search-query", "x"];
    let body = |is_dry: bool| json!({"filters": {"query": "x", "status": "missing", "label_id": 7}, "dry_run": is_dry});
    let sent = || -> Vec<Value> {
        let asked = server.asked().into_iter().filter(|(line, _)| line == "POST hosts/delete");
        asked.map(|(_, body)| json(&body)).collect()
    };
    let shown = "3 hosts (label \"kiosks\", status missing, \"x\" in a name or address)";

    let dry = fleetctl.run(&[&delete[..], &["--dry-run"]].concat());
    let lines: Vec<&str> = dry.stdout.lines().collect();
    assert_eq!((dry.code, lines[0]), (Some(0), format!("[+] would've deleted {shown}:").as_str()));
    assert!(lines.len() == 4 && lines[1] == lines[2] && lines[1].contains("(ID "), "{dry:?}");
    assert_eq!(lines[3], "    and 1 more");
    assert_eq!(sent(), [body(true)]);

    // Nobody is there to confirm it.
    let unconfirmed = fleetctl.run(&delete);
    assert_eq!(unconfirmed.code, Some(1));
    assert!(
        unconfirmed.stderr.ends_with(
            "would be deleted (label \"kiosks\", status missing, \"x\" in a name or address); see which with --dry-run, and confirm it with --yes\n"
        ),
        "{unconfirmed:?}"
    );
    assert_eq!(sent(), [body(true)]);

    let confirmed = fleetctl.run(&[&delete[..], &["--yes"]].concat());
    assert_eq!((confirmed.code, confirmed.stdout), (Some(0), format!("[+] deleted {shown}\n")));
    assert_eq!(sent(), [body(true), body(false)]);
}

#[test]
fn the_exit_code_of_api_tells_whose_fault_it_is() {
    let fleetctl = Fleetctl::new();
    let busy = r#"{"message":"busy","errors":[]}"#;
    let server = Canned::start(
        &fleetctl,
        &[("GET busy", 503, busy), ("GET moved", 302, ""), ("PUT x?a=b", 200, "plain"), ("DELETE x", 204, "")],
    );
    let run = fleetctl.run(&["api", "busy"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(5), busy), "{run:?}");
    assert_eq!(run.stderr, "Error: the server responded with 503 Service Unavailable\n");
    assert_eq!(fleetctl.run(&["api", "moved"]).code, Some(1));
    assert_eq!(fleetctl.run(&["api", "unknown"]).code, Some(4));
    let put = fleetctl.run(&["api", "-X", "put", "x?a=b", "-F", "n=[1, 2]", "-F", "s=1x"]);
    assert_eq!((put.code, put.stdout.as_str(), put.stderr.as_str()), (Some(0), "plain", ""), "the body is not changed");
    assert_eq!(fleetctl.run(&["api", "-X", "DELETE", "x"]).code, Some(0));
    let asked = server.asked();
    assert_eq!(json(&asked[3].1), json!({"n": [1, 2], "s": "1x"}));
    assert_eq!(asked.iter().map(|(line, _)| line.as_str()).collect::<Vec<_>>()[..2], ["GET busy", "GET moved"]);
}

/// The same rule as the server has: A to Z are a to z, every other character counts as it is.
#[test]
fn names_of_labels_are_the_same_in_capitals_from_a_to_z() {
    let fleetctl = Fleetctl::new();
    let labels = r#"{"labels":[{"id":7,"name":"äpfel","description":"","label_type":"regular"}]}"#;
    let answers = [("GET labels/summary", 200, labels), ("GET hosts?label_id=7", 200, r#"{"hosts":[]}"#)];
    let _server = Canned::start(&fleetctl, &answers);
    assert_eq!(fleetctl.run(&["get", "hosts", "--label", "äPFEL"]).code, Some(0));
    let other = fleetctl.run(&["get", "hosts", "--label", "Äpfel"]);
    assert!(other.code == Some(1) && other.stderr.contains("no label is named"), "{other:?}");
}
