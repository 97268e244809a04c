use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::{Address, Rest, cookie_name, eventually};

/// How long a page may take to show something.
const WITHIN: Duration = Duration::from_secs(30);

/// The key under which WebDriver names elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A Chromium without a window, driven over WebDriver by chromedriver. Both end with it.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    client: Client,
    _profile: TempDir,
}

impl Browser {
    pub async fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver starts: scripts/install-test-services installs it");
        let mut said = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = said.next_line().await.unwrap().expect("chromedriver says its port");
            let port = line.split_once("successfully on port ").map(|(_, port)| port.trim_end_matches('.').parse());
            if let Some(Ok(port)) = port {
                break port;
            }
        };
        // Until it ends, so that it can go on to write.
        tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
        let client = Client::builder().tls_certs_only([]).timeout(Duration::from_secs(60)).build().unwrap();
        let data = format!("--user-data-dir={}", profile.path().join("chromium").display());
        let arguments =
            ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars", &data];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "acceptInsecureCerts": true,
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let mut browser = Self { driver, port, session: String::new(), client, _profile: profile };
        let begun = browser.send(Method::POST, "", &capabilities).await;
        browser.session = begun["sessionId"].as_str().unwrap().to_owned();
        browser
    }

    async fn send(&self, method: Method, command: &str, body: &Value) -> Value {
        let session = if self.session.is_empty() { String::new() } else { format!("/{}", self.session) };
        let url = format!("http://127.0.0.1:{}/session{session}{command}", self.port);
        let mut request = self.client.request(method.clone(), url);
        if method == Method::POST {
            request = request.json(body);
        }
        let text = request.send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert!(answer["value"]["error"].is_null(), "{command}: {text}");
        answer["value"].clone()
    }

    /// Opens a page and waits until it is loaded.
    pub async fn open(&self, url: &str) {
        self.send(Method::POST, "/url", &json!({ "url": url })).await;
    }

    pub async fn url(&self) -> String {
        self.send(Method::GET, "/url", &Value::Null).await.as_str().unwrap().to_owned()
    }

    /// The value of an expression in the page.
    pub async fn value(&self, expression: &str) -> Value {
        let script = json!({ "script": format!("return {expression}"), "args": [] });
        self.send(Method::POST, "/execute/sync", &script).await
    }

    /// Runs a script in the page.
    pub async fn run(&self, script: &str) {
        self.send(Method::POST, "/execute/sync", &json!({ "script": script, "args": [] })).await;
    }

    /// What a promise in the page comes to; as text, why it was not kept.
    pub async fn promised(&self, expression: &str) -> Value {
        let script = format!("const done = arguments[0]; {expression}.then(done, (why) => done(String(why)))");
        self.send(Method::POST, "/execute/async", &json!({ "script": script, "args": [] })).await
    }

    /// What the page shows.
    pub async fn text(&self) -> String {
        self.value("document.body.innerText").await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression in the page is true.
    pub async fn until(&self, expression: &str) {
        let look = async || (self.value(expression).await == Value::Bool(true)).then_some(());
        eventually(expression, WITHIN, look).await;
    }

    async fn element(&self, css: &str) -> String {
        let find = json!({ "using": "css selector", "value": css });
        let found = self.send(Method::POST, "/element", &find).await;
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    pub async fn click(&self, css: &str) {
        let element = self.element(css).await;
        self.send(Method::POST, &format!("/element/{element}/click"), &json!({})).await;
    }

    pub async fn fill(&self, css: &str, text: &str) {
        let element = self.element(css).await;
        self.send(Method::POST, &format!("/element/{element}/clear"), &json!({})).await;
        self.send(Method::POST, &format!("/element/{element}/value"), &json!({ "text": text })).await;
    }

    /// Waits until the fields for code of the page are editors.
    pub async fn until_edits(&self) {
        self.until("[...document.querySelectorAll('.field')].every((field) => field.querySelector('.cm-editor'))")
            .await;
    }

    /// Puts a text into the editor of the page in place of what is there, as if it was typed at once.
    pub async fn write(&self, text: &str) {
        self.until_edits().await;
        // A list of completions may lie over it.
        self.run("document.querySelector('.cm-content').focus()").await;
        self.chord("\u{e009}", "a").await;
        let command = json!({ "cmd": "Input.insertText", "params": { "text": text } });
        self.send(Method::POST, "/goog/cdp/execute", &command).await;
    }

    /// Sends keys to whatever has the focus.
    pub async fn press(&self, keys: &str) {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|action| json!({ "type": action, "value": key.to_string() })))
            .collect();
        let body = json!({ "actions": [{ "type": "key", "id": "keys", "actions": strokes }] });
        self.send(Method::POST, "/actions", &body).await;
    }

    /// Sends a key to whatever has the focus while another is held.
    pub async fn chord(&self, held: &str, key: &str) {
        let stroke = |action: &str, key: &str| json!({ "type": action, "value": key });
        let strokes = [("keyDown", held), ("keyDown", key), ("keyUp", key), ("keyUp", held)];
        let strokes: Vec<Value> = strokes.iter().map(|(action, key)| stroke(action, key)).collect();
        let body = json!({ "actions": [{ "type": "key", "id": "keys", "actions": strokes }] });
        self.send(Method::POST, "/actions", &body).await;
    }

    /// What the console has said since the last call: errors of scripts, what the content security policy refused, and
    /// files that were not there.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.send(Method::POST, "/se/log", &json!({ "type": "browser" })).await;
        let lines = log.as_array().unwrap().iter();
        lines.map(|line| format!("{}: {}", line["level"], line["message"])).collect()
    }

    /// Sets a cookie of the page's server.
    pub async fn set_cookie(&self, name: &str, value: &str) {
        self.send(Method::POST, "/cookie", &json!({ "cookie": { "name": name, "value": value } })).await;
    }

    /// Goes on with the session of a user of REST.
    pub async fn log_in(&self, address: &Address, rest: &Rest) {
        let name = cookie_name(address, "muster_session");
        let cookie = json!({ "name": name, "value": rest.token(), "url": address.url, "path": "/", "secure": true });
        let command = json!({ "cmd": "Network.setCookie", "params": cookie });
        self.send(Method::POST, "/goog/cdp/execute", &command).await;
    }

    /// Shows pages in a window of this size; a narrow one is that of a telephone.
    pub async fn resize(&self, width: u32, height: u64) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": metrics });
        self.send(Method::POST, "/goog/cdp/execute", &command).await;
    }

    /// What a window of this size shows, as WebP.
    pub async fn picture(&self, width: u32, height: u64) -> Vec<u8> {
        self.resize(width, height).await;
        let command = json!({ "cmd": "Page.captureScreenshot", "params": { "format": "webp", "quality": 82 } });
        let picture = self.send(Method::POST, "/goog/cdp/execute", &command).await;
        STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()
    }

    /// The whole page as PNG, in a window of this width.
    pub async fn screenshot(&self, width: u32) -> Vec<u8> {
        self.resize(width, 800).await;
        // The height of a page depends on its width.
        let height = self.value("document.documentElement.scrollHeight").await.as_u64().unwrap();
        self.resize(width, height.clamp(400, 6_000)).await;
        let picture = self.send(Method::GET, "/screenshot", &Value::Null).await;
        STANDARD.decode(picture.as_str().unwrap()).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser when it is told to; killed, it would leave it behind.
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let head =
                format!("DELETE /session/{} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", self.session);
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.read_to_end(&mut Vec::new());
        }
        let _ = self.driver.start_kill();
    }
}
