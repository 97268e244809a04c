//! A real osqueryd, where one is installed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::harness::{CompatServer, ENROLL_SECRET, until};
use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::process::{Child, Command};

const NAME: &str = "pack/compat/is_it_there";

fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("osqueryd")).find(|program| program.is_file())
}

/// Everything the agent needs to know, and nothing outside `folder`.
fn flagfile(server: &CompatServer, folder: &Path) -> Result<PathBuf> {
    let secret = folder.join("secret");
    std::fs::write(&secret, ENROLL_SECRET)?;
    let base = "/api/v1/osquery";
    let flags = [
        format!("--tls_hostname={}", server.base_url().trim_start_matches("https://")),
        format!("--tls_server_certs={}", server.certificate().display()),
        format!("--enroll_secret_path={}", secret.display()),
        format!("--enroll_tls_endpoint={base}/enroll"),
        "--config_plugin=tls".to_owned(),
        format!("--config_tls_endpoint={base}/config"),
        "--config_refresh=3".to_owned(),
        "--logger_plugin=tls".to_owned(),
        format!("--logger_tls_endpoint={base}/log"),
        "--logger_tls_period=1".to_owned(),
        "--disable_distributed=false".to_owned(),
        "--distributed_plugin=tls".to_owned(),
        "--distributed_interval=2".to_owned(),
        format!("--distributed_tls_read_endpoint={base}/distributed/read"),
        format!("--distributed_tls_write_endpoint={base}/distributed/write"),
        "--host_identifier=uuid".to_owned(),
        "--disable_watchdog=true".to_owned(),
        "--disable_extensions=true".to_owned(),
        "--disable_events=true".to_owned(),
        format!("--database_path={}", folder.join("database").display()),
        format!("--pidfile={}", folder.join("pid").display()),
    ];
    let file = folder.join("flags");
    std::fs::write(&file, flags.join("\n") + "\n")?;
    Ok(file)
}

async fn schedule(server: &CompatServer) -> Result<()> {
    let query = json!({ "name": "is_it_there", "query": "select uuid from osquery_info" });
    let scheduled = json!({ "query": "is_it_there", "interval": 2, "snapshot": true });
    let pack = json!({ "name": "compat", "queries": [scheduled], "targets": { "labels": ["All Hosts"] } });
    let document = |kind, spec| json!({ "apiVersion": "v1", "kind": kind, "spec": spec });
    let documents = json!({ "documents": [document("query", query), document("pack", pack)] });
    server.operate("/api/v1/fleet/spec/apply", &documents).await?;
    Ok(())
}

/// Fails at once when the agent has ended.
fn ensure_alive(agent: &mut Child) -> Result<()> {
    match agent.try_wait()? {
        Some(status) => anyhow::bail!("osqueryd has ended: {status}"),
        None => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_agent_enrolls_and_delivers_results() -> Result<()> {
    let Some(program) = installed() else {
        println!("skipped: there is no osqueryd on the PATH");
        return Ok(());
    };
    let server = CompatServer::start().await?;
    schedule(&server).await?;
    let folder = tempfile::tempdir()?;
    let flags = flagfile(&server, folder.path())?;
    let mut agent = Command::new(program)
        .arg(format!("--flagfile={}", flags.display()))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let within = Duration::from_secs(60);
    let host_id = until(within, "the agent enrolls", || {
        ensure_alive(&mut agent)?;
        Ok(server.only_host().ok())
    })
    .await?;
    let line = until(within, "a result arrives", || {
        ensure_alive(&mut agent)?;
        let lines = server.result_lines()?;
        Ok(lines.into_iter().find(|line| String::from_utf8_lossy(line).contains(NAME)))
    })
    .await?;
    let version: String =
        server.database()?.query_row("SELECT osquery_version FROM hosts WHERE id = ?1", [host_id], |row| row.get(0))?;
    assert!(!version.is_empty());
    let line: serde_json::Value = serde_json::from_slice(&line).context("the line is no JSON")?;
    assert_eq!(line["name"], NAME);
    agent.kill().await?;
    Ok(())
}
