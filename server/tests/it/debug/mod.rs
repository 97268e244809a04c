//! The debug API: who may ask, what each item answers, and that no secret is among it.

mod access;
mod items;
mod profiles;
mod secrets;

use std::process::Stdio;

use reqwest::Response;

use crate::support::Rest;

/// A GET below `/debug/`.
pub async fn get(rest: &Rest, item: &str) -> Response {
    rest.getting(&format!("/debug/{item}")).send().await.unwrap()
}

/// The reason in a refusal, whose status must be this one.
pub async fn refusal(response: Response, status: u16) -> String {
    assert_eq!(response.status(), status, "{response:?}");
    let body: serde_json::Value = response.json().await.unwrap();
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    body["error"].as_str().unwrap().to_owned()
}

/// The items that the catalog lists, by their paths.
pub async fn items(rest: &Rest) -> Vec<String> {
    let catalog: serde_json::Value = get(rest, "").await.json().await.unwrap();
    let items = catalog["items"].as_array().unwrap().iter();
    items.map(|item| item["path"].as_str().unwrap().to_owned()).collect()
}

/// An item with the parameters that make its answer come soon.
pub fn quick(item: &str) -> String {
    let takes_time = matches!(item, "pprof/profile" | "flamegraph" | "pprof/trace");
    if takes_time { format!("{item}?seconds=1") } else { item.to_owned() }
}

/// Go's `pprof` on a file, if Go is installed.
pub fn go_top(file: &std::path::Path) -> Option<String> {
    let go = ["go", "/usr/local/go/bin/go"].into_iter().find(|go| {
        let version =
            std::process::Command::new(go).arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    })?;
    // Go builds the tool the first time, which takes half a minute.
    let home = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
    let mut command = std::process::Command::new(go);
    command.args(["tool", "pprof", "-top", "-nodecount=500"]).arg(file).env("HOME", &home);
    command.env("GOCACHE", home.join("cache")).env("GOTOOLCHAIN", "local").env("PPROF_TMPDIR", &home);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}
