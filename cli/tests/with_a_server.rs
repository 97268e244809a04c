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
