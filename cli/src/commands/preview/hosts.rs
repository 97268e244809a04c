use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent_compat::live::{self, SharedAgent};
use agent_compat::transport::{Direct, Trust};
use agent_compat::{Agent, Flags, Identity, Platform};
use anyhow::{Context as _, anyhow};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::dir::{PreviewDir, shown};
use super::story::{StoryTables, suffer};
use crate::{output, private_file};

/// Seed of the identities: every run simulates the same hosts.
const SEED: u64 = 0x6d75_7374_6572;
/// Platforms of the simulated hosts, repeated.
const PLATFORMS: [Platform; 4] = [Platform::Linux, Platform::Darwin, Platform::Linux, Platform::Windows];
/// Delay between the starts of two hosts, which spreads enrollment.
const START_GAP: Duration = Duration::from_millis(20);
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Node keys by host identifier.
type NodeKeys = BTreeMap<String, String>;

/// Simulated hosts that run until they are stopped.
pub struct SimulatedHosts {
    agents: Vec<SharedAgent>,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl SimulatedHosts {
    /// Starts the hosts with the node keys of an earlier run, if there are any.
    pub fn start(count: u32, secret: &str, address: &str, dir: &PreviewDir) -> anyhow::Result<Self> {
        let keys = read_keys(&dir.host_keys())?;
        let transport = Direct::new(address, &Trust::CaFile(dir.certificate()))
            .context("the simulated hosts cannot reach the server")?;
        let flags = Arc::new(Flags {
            enroll_secret: secret.into(),
            config_refresh: 10,
            distributed_interval: 5,
            logger_tls_period: 2,
            ..Flags::default()
        });
        let (stop, stopped) = watch::channel(false);
        let mut hosts = Self { agents: Vec::new(), tasks: JoinSet::new(), stop };
        for (index, platform) in (0..count).zip(PLATFORMS.into_iter().cycle()) {
            let identity = Identity::simulated(SEED, index, platform);
            let key = keys.get(&identity.host_identifier).cloned().unwrap_or_default();
            let mut agent = Agent::new(identity, Arc::clone(&flags), Box::new(StoryTables::default()), live::now_ms());
            agent.import_key(key);
            suffer(&mut agent, index);
            let agent = SharedAgent::new(agent.into());
            hosts.agents.push(Arc::clone(&agent));
            let (transport, stopped) = (transport.clone(), stopped.clone());
            hosts.tasks.spawn(async move {
                sleep(START_GAP * index).await;
                live::run(agent, transport, stopped).await;
            });
        }
        Ok(hosts)
    }

    /// Saves the node keys for the next run.
    pub fn save_keys(&self, dir: &PreviewDir) -> anyhow::Result<()> {
        let keys: NodeKeys = self.agents.iter().filter_map(key).collect();
        let path = dir.host_keys();
        let text = serde_json::to_string_pretty(&keys).map_err(|error| anyhow!(error));
        let written = text.and_then(|text| Ok(private_file::write(&path, text.as_bytes())?));
        written.with_context(|| format!("cannot write {}", shown(&path)))
    }

    /// Stops all hosts and saves their node keys. Pending requests are dropped.
    pub async fn stop(mut self, dir: &PreviewDir) {
        self.stop.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // Hosts that do not stop in time end with this process.
        let _ = timeout(STOP_TIMEOUT, all).await;
        if let Err(error) = self.save_keys(dir) {
            output::note(&format!("Warning: {error:#}; the hosts will enroll again"));
        }
    }
}

fn key(agent: &SharedAgent) -> Option<(String, String)> {
    let agent = live::lock(agent);
    let key = agent.export_key()?;
    Some((agent.identity().host_identifier.clone(), key.to_owned()))
}

fn read_keys(path: &Path) -> anyhow::Result<NodeKeys> {
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .with_context(|| format!("{} is damaged; delete it to enroll the hosts again", shown(path))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(NodeKeys::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", shown(path))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn node_keys_outlive_a_run() {
        let root = tempfile::tempdir().unwrap();
        let dir = PreviewDir::at(root.path()).unwrap();
        let pem = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
        std::fs::create_dir(dir.tls()).unwrap();
        std::fs::write(dir.certificate(), pem).unwrap();
        let start = || SimulatedHosts::start(5, "secret", "https://127.0.0.1:1", &dir).unwrap();

        let hosts = start();
        for agent in &hosts.agents[1..] {
            let mut agent = live::lock(agent);
            let key = format!("key of {}", agent.identity().hostname);
            agent.import_key(key);
        }
        let before: Vec<_> = hosts.agents.iter().map(key).collect();
        hosts.stop(&dir).await;

        let hosts = start();
        let after: Vec<_> = hosts.agents.iter().map(key).collect();
        assert_eq!(before, after);
        assert_eq!(after.iter().flatten().count(), 4);
    }

    #[test]
    fn damaged_keys_are_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts.json");
        std::fs::write(&path, "{").unwrap();
        assert!(read_keys(&path).unwrap_err().to_string().ends_with("is damaged; delete it to enroll the hosts again"));
    }
}
