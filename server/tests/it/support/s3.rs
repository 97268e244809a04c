use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use muster::config::{S3, Secret};
use reqwest::Url;

use super::{eventually, free_port};

/// How long the store may take to start on a busy machine.
const START: Duration = Duration::from_secs(60);

const BUCKET: &str = "carves";

/// A bucket of an S3-compatible store: of a `moto_server` that this starts and that goes away with it; or of the store that
/// `MUSTER_TEST_S3` names, as `http://KEY:SECRET@HOST:PORT/BUCKET`.
pub struct S3Store {
    url: Url,
    /// Different for each test, because a bucket may be used by several.
    prefix: String,
    process: Option<Child>,
}

impl S3Store {
    pub async fn start() -> Self {
        // For clients of reqwest, which bring none.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let prefix = format!("test-{:016x}/", rand::random::<u64>());
        if let Ok(url) = std::env::var("MUSTER_TEST_S3") {
            return Self { url: Url::parse(&url).unwrap(), prefix, process: None };
        }
        let port = free_port();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-services/bin/moto_server");
        // It ends with the thread of the test, also if that is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(&program).args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let url = Url::parse(&format!("http://only-for-tests:not-so-secret@127.0.0.1:{port}/{BUCKET}")).unwrap();
        let store = Self { url, prefix, process: Some(child) };
        eventually("moto_server answers (`scripts/install-test-services` installs it)", START, async || {
            let made = reqwest::Client::new().put(store.address()).send().await.ok()?;
            made.status().is_success().then_some(())
        })
        .await;
        store
    }

    /// Whether only this test uses the store, so that it may be ended.
    pub fn is_own(&self) -> bool {
        self.process.is_some()
    }

    /// Settings of a server that uses it.
    pub fn settings(&self) -> S3 {
        let address = self.address();
        S3 {
            bucket: self.url.path().trim_matches('/').to_owned(),
            prefix: self.prefix.clone(),
            region: "eu-west-1".to_owned(),
            access_key_id: self.url.username().to_owned(),
            secret_access_key: Secret::new(self.url.password().unwrap()),
            endpoint_url: address.origin().ascii_serialization(),
            force_s3_path_style: true,
            ..S3::default()
        }
    }

    /// The bucket's URL, without the key.
    fn address(&self) -> Url {
        let mut url = self.url.clone();
        url.set_username("").unwrap();
        url.set_password(None).unwrap();
        url
    }

    /// The names of the blocks that there are, as the store lists them.
    pub async fn blocks(&self) -> Vec<String> {
        let url = format!("{}?list-type=2&prefix={}", self.address(), self.prefix);
        let text = reqwest::get(url).await.unwrap().text().await.unwrap();
        let names = text.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
        let names = names.filter_map(|(name, _)| name.strip_prefix(&self.prefix));
        names.filter(|name| *name != "probe").map(str::to_owned).collect()
    }

    /// Ends it; what it has kept is gone.
    pub fn end(&mut self) {
        if let Some(mut child) = self.process.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for S3Store {
    fn drop(&mut self) {
        self.end();
    }
}
