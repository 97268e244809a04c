//! What is sent to a server and made of its answers, shown with canned ones.

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
fn warnings_of_an_apply_are_shown_where_they_were_written() {
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
fn what_cannot_be_deleted_is_shown_where_it_was_written() {
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
