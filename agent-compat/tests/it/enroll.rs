use crate::harness::{CompatServer, ENROLL_SECRET, RecordedRequest};
use agent_compat::Verdict;
use anyhow::Result;
use serde_json::Value;

use crate::one;

/// Columns of the host row and where they stand in `host_details`.
const TEXT_COLUMNS: [(&str, &str); 13] = [
    ("uuid", "/osquery_info/uuid"),
    ("instance_id", "/osquery_info/instance_id"),
    ("osquery_version", "/osquery_info/version"),
    ("hostname", "/system_info/hostname"),
    ("computer_name", "/system_info/computer_name"),
    ("cpu_type", "/system_info/cpu_type"),
    ("cpu_subtype", "/system_info/cpu_subtype"),
    ("hardware_model", "/system_info/hardware_model"),
    ("hardware_vendor", "/system_info/hardware_vendor"),
    ("hardware_serial", "/system_info/hardware_serial"),
    ("platform", "/os_version/platform"),
    ("platform_like", "/os_version/platform_like"),
    ("code_name", "/os_version/codename"),
];
const NUMBER_COLUMNS: [(&str, &str); 3] = [
    ("memory", "/system_info/physical_memory"),
    ("cpu_physical_cores", "/system_info/cpu_physical_cores"),
    ("cpu_logical_cores", "/system_info/cpu_logical_cores"),
];

async fn node_key(server: &CompatServer, request: &RecordedRequest) -> Result<String> {
    let sent = server.send(request).await?;
    let Verdict::Success(answer) = &sent.verdict else { anyhow::bail!("{}: {}", request.name, sent.text()) };
    assert_eq!(sent.response.status, 200);
    Ok(answer["node_key"].as_str().unwrap_or_default().to_owned())
}

async fn is_good(server: &CompatServer, key: &str) -> Result<bool> {
    Ok(server.send(&one(3)?.with_key(key)).await?.verdict.is_success())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolled_host_is_what_the_agent_said_it_is() -> Result<()> {
    for number in [1, 2] {
        let server = CompatServer::start().await?;
        let request = one(number)?;
        let host_id = server.enroll_recorded(&request).await?;
        let sent: Value = serde_json::from_slice(&request.body)?;
        let details = &sent["host_details"];
        let said = |pointer: &str| details.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let database = server.database()?;
        for (column, pointer) in TEXT_COLUMNS {
            let sql = format!("SELECT {column} FROM hosts WHERE id = ?1");
            let kept: String = database.query_row(&sql, [host_id], |row| row.get(0))?;
            assert_eq!(kept, said(pointer), "{}: {column}", request.name);
        }
        for (column, pointer) in NUMBER_COLUMNS {
            let sql = format!("SELECT {column} FROM hosts WHERE id = ?1");
            let kept: i64 = database.query_row(&sql, [host_id], |row| row.get(0))?;
            assert_eq!(kept.to_string(), said(pointer), "{}: {column}", request.name);
        }
        let (identifier, os_version): (String, String) =
            database.query_row("SELECT identifier, os_version FROM hosts", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        assert_eq!(Some(identifier.as_str()), sent["host_identifier"].as_str());
        assert_eq!(os_version, "Debian GNU/Linux 12.0.0");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn enrolling_again_keeps_the_row_and_the_older_key() -> Result<()> {
    let server = CompatServer::start().await?;
    let again = one(2)?;
    // What osqueryd sends before it has had a configuration: the two fields are all that differs.
    let text = String::from_utf8(again.body.clone())?;
    let first = text
        .replace("663440112a54c370cbea20113b3c89ec77c97e42", "")
        .replace(r#""config_valid":"1""#, r#""config_valid":"0""#);
    let first_key = node_key(&server, &again.with_body(first)).await?;
    let host_id = server.only_host()?;
    let second_key = node_key(&server, &again).await?;
    assert_ne!(first_key, second_key);
    assert_eq!(server.only_host()?, host_id);
    assert!(is_good(&server, &second_key).await?, "the newer key");
    assert!(is_good(&server, &first_key).await?, "the older key, which other threads of the agent still use");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_machines_are_two_hosts() -> Result<()> {
    let server = CompatServer::start().await?;
    node_key(&server, &one(1)?).await?;
    node_key(&server, &one(2)?).await?;
    let count: i64 = server.database()?.query_row("SELECT count(*) FROM hosts", [], |row| row.get(0))?;
    assert_eq!(count, 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_legal_in_headers_and_stored_only_as_hashes() -> Result<()> {
    let mut server = CompatServer::start().await?;
    let key = node_key(&server, &one(1)?).await?;
    assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{key}");
    server.stop().await?;
    let database = std::fs::read(&server.config().sqlite.path)?;
    assert!(!database.windows(key.len()).any(|window| window == key.as_bytes()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_refused_without_any_key_and_accepted_once_it_is_right() -> Result<()> {
    let server = CompatServer::start().await?;
    server.set_enroll_secrets(&["another secret"]).await?;
    let request = one(1)?;
    // Refused again and again, as in recordings 44 and 45.
    for _ in 0..5 {
        let refused = server.send(&request).await?;
        assert!(matches!(refused.verdict, Verdict::Failure(_)), "{}", refused.text());
        let answer = refused.json();
        assert!(answer.get("node_key").is_none() && answer.get("id").is_none(), "{answer}");
        assert!(answer["error"].is_string(), "{answer}");
        assert!(!refused.text().contains(ENROLL_SECRET));
    }
    let hosts: i64 = server.database()?.query_row("SELECT count(*) FROM hosts", [], |row| row.get(0))?;
    assert_eq!(hosts, 0);
    server.set_enroll_secrets(&["another secret", ENROLL_SECRET]).await?;
    node_key(&server, &request).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn enrollments_without_a_secret_are_refused() -> Result<()> {
    let server = CompatServer::start().await?;
    let request = one(1)?;
    let text = String::from_utf8(request.body.clone())?;
    for body in [text.replace(ENROLL_SECRET, ""), text.replace(r#""enroll_secret":"enroll-secret-abc123","#, "")] {
        let refused = server.send(&request.with_body(body)).await?;
        assert!(!refused.verdict.is_success(), "{}", refused.text());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn details_may_be_missing() -> Result<()> {
    let server = CompatServer::start().await?;
    let body =
        r#"{"enroll_secret":"enroll-secret-abc123","host_identifier":"bare","platform_type":"9","host_details":{}}"#;
    let key = node_key(&server, &one(1)?.with_body(body)).await?;
    assert!(is_good(&server, &key).await?);
    Ok(())
}
