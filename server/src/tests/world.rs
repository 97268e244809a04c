use std::path::PathBuf;
use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::Data;
use actix_web::{App as HttpApp, test};
use muster_api::osquery::Enroll;
use sea_orm::Set;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Lifecycle;
use crate::admin;
use crate::app::App;
use crate::clock::{Clock, Moment};
use crate::config::{Config, Secret};
use crate::fleet::hosts::{Authenticated, NodeKey};
use crate::store::{activities, entity, secrets, users};
use crate::tests::mariadb;

pub const PASSWORD: &str = "not-a-real-secret-1";

/// A server that is set up, without its listener. Boxed: tests hold many in futures, which stand on the stack of a thread.
pub struct World {
    pub app: Box<App>,
    /// An administrator's.
    pub token: String,
    config: Box<Config>,
    folder: Arc<TempDir>,
}

/// What a request was answered.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    pub body: Value,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let mut config = Box::new(Config::default());
        config.sqlite.path = folder.path().join("muster.db");
        config.filesystem.status_log_file = folder.path().join("status.log");
        config.filesystem.result_log_file = folder.path().join("result.log");
        config.session.logins_per_minute = 1000;
        if mariadb::is_chosen() {
            on_mariadb(&mut config).await;
        }
        change(&mut config);
        let mut world = Box::pin(Self::of(config, folder, String::new())).await;
        let admin = json!({ "admin": { "email": "admin@example.com", "name": "Admin", "password": PASSWORD } });
        let answered = world.send(Method::POST, "/api/v1/setup", None, Some(admin)).await;
        assert_eq!(answered.status, 200, "{:?}", answered.body);
        world.token = answered.body["token"].as_str().unwrap().to_owned();
        world
    }

    /// Another server over the same database, with files of its own.
    pub async fn beside(&self) -> Self {
        let mut config = self.config.clone();
        let own = |name: &str| self.folder.path().join(format!("{name}-{:08x}", rand::random::<u32>()));
        config.filesystem.status_log_file = own("status.log");
        config.filesystem.result_log_file = own("results").join("result.log");
        config.live.dir = Some(own("live"));
        Box::pin(Self::of(config, Arc::clone(&self.folder), self.token.clone())).await
    }

    async fn of(config: Box<Config>, folder: Arc<TempDir>, token: String) -> Self {
        let clock = Clock::manual(Moment(1_600_000_000_000_000));
        let app = Box::pin(App::build(&config, clock, &Lifecycle::default())).await.unwrap();
        // As the tasks do it, which do not run here.
        app.fleet.follow().await.unwrap();
        app.fleet.hosts.compare_directory().await.unwrap();
        Self { app: Box::new(app), token, config, folder }
    }

    /// Adds a user of this role and logs in.
    pub async fn log_in_as(&self, role: &str) -> String {
        let email = format!("{role}@example.com");
        let hash = users::password_hash(self.app.store.reader(), 1).await.unwrap().unwrap();
        let user = entity::users::ActiveModel {
            email: Set(email.clone()),
            name: Set(role.to_owned()),
            global_role: Set(role.parse().unwrap()),
            api_only: Set(false),
            created_at: Set(Moment(0)),
            updated_at: Set(Moment(0)),
            ..Default::default()
        };
        self.app.store.write(async |tx| users::insert(tx, user.clone(), hash.clone()).await).await.unwrap();
        self.token_of(&email, PASSWORD).await.unwrap()
    }

    /// Logs in; `None` if that is refused.
    pub async fn token_of(&self, email: &str, password: &str) -> Option<String> {
        let body = json!({ "email": email, "password": password });
        let answered = self.send(Method::POST, "/api/v1/fleet/login", None, Some(body)).await;
        answered.body["token"].as_str().map(str::to_owned)
    }

    pub async fn get(&self, path: &str) -> Answered {
        self.as_user(&self.token, Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answered {
        self.as_user(&self.token, Method::POST, path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answered {
        self.as_user(&self.token, Method::PATCH, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answered {
        self.as_user(&self.token, Method::DELETE, path, None).await
    }

    pub async fn as_user(&self, token: &str, method: Method, path: &str, body: Option<Value>) -> Answered {
        self.send(method, &format!("/api/v1/fleet/{path}"), Some(token), body).await
    }

    async fn send(&self, method: Method, path: &str, token: Option<&str>, body: Option<Value>) -> Answered {
        let service = test::init_service(
            HttpApp::new()
                .app_data(Data::new(self.app.admin.clone()))
                .app_data(admin::path_config())
                .configure(admin::routes),
        )
        .await;
        let mut request = test::TestRequest::default().method(method).uri(path);
        if let Some(token) = token {
            request = request.insert_header((AUTHORIZATION, format!("Bearer {token}")));
        }
        if let Some(body) = body {
            request = request.set_json(body);
        }
        let response = test::call_service(&service, request.to_request()).await;
        let status = response.status().as_u16();
        let bytes = test::read_body(response).await;
        Answered { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
    }

    /// Applies documents, which must succeed.
    pub async fn apply(&self, documents: Value) {
        self.post("spec/apply", json!({ "documents": documents })).await.expect(200);
    }

    /// Enrolls a host; its key.
    pub async fn enroll(&self, identifier: &str, platform: &str) -> String {
        self.try_enroll(identifier, platform).await.unwrap().reveal().to_owned()
    }

    /// As [`World::enroll`], for a host that may be refused.
    pub async fn try_enroll(&self, identifier: &str, platform: &str) -> crate::fleet::Result<NodeKey> {
        let secret = secrets::all(self.app.store.reader()).await.unwrap().remove(0).secret;
        self.enroll_with(&secret, identifier, platform).await
    }

    /// As [`World::try_enroll`], with a secret of one's choice.
    pub async fn enroll_with(&self, secret: &str, identifier: &str, platform: &str) -> crate::fleet::Result<NodeKey> {
        let body = json!({
            "enroll_secret": secret,
            "host_identifier": identifier,
            "host_details": {
                "os_version": { "platform": platform },
                "system_info": { "hostname": identifier },
            },
        });
        let request = Enroll::read(body.to_string().as_bytes()).unwrap();
        self.app.fleet.hosts.enroll(&request).await
    }

    /// The id of the host of a node key; `None` for a key that is not good.
    pub async fn host_of(&self, key: &str) -> Option<i64> {
        match self.app.fleet.hosts.authenticate(key).await.unwrap() {
            Authenticated::Host(host) => Some(host.id),
            Authenticated::Unknown => None,
        }
    }

    /// The packs in the config of a host, as agents read them.
    pub async fn packs_of(&self, key: &str) -> Value {
        let Authenticated::Host(host) = self.app.fleet.hosts.authenticate(key).await.unwrap() else {
            panic!("the key is not good");
        };
        let config = self.app.fleet.schedule.config_for(&host, None).unwrap();
        let config: Value = serde_json::from_slice(&config).unwrap();
        config.get("packs").cloned().unwrap_or_else(|| json!({}))
    }

    /// What was done so far, oldest first.
    pub async fn activities(&self) -> Vec<String> {
        activities::kinds(self.app.store.reader()).await.unwrap()
    }

    /// The file that result lines go to.
    pub fn results(&self) -> PathBuf {
        self.config.filesystem.result_log_file.clone()
    }

    /// Has result lines refused, until they are taken again. For a server with a folder for them.
    pub fn refuse_results(&self, are_refused: bool) {
        let results = self.results();
        let folder = results.parent().unwrap();
        let elsewhere = folder.with_extension("elsewhere");
        let (from, to) = if are_refused { (folder, &*elsewhere) } else { (&*elsewhere, folder) };
        std::fs::rename(from, to).unwrap();
    }

    pub fn generation(&self) -> i64 {
        self.app.fleet.schedule.plan().generation
    }
}

/// Points a server to a fresh database, ready to be served from.
async fn on_mariadb(config: &mut Config) {
    on_mariadb_at(config, mariadb::shared()).await;
}

pub async fn on_mariadb_at(config: &mut Config, address: &mariadb::DatabaseAddress) {
    config.mysql.address.clone_from(&address.address);
    config.mysql.username.clone_from(&address.username);
    config.mysql.password = Secret::new(&address.password);
    config.mysql.database = address.new_database();
    config.mysql.max_open_conns = 10;
    crate::prepare(config, |_| {}).await.unwrap();
}

impl Answered {
    /// The body, if this was the status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// Where the first problem is and what it is, if this was the status.
    #[track_caller]
    pub fn problem(self, status: u16) -> (String, String) {
        let body = self.expect(status);
        let text = |key: &str| body["errors"][0][key].as_str().unwrap_or_default().to_owned();
        (text("name"), text("reason"))
    }
}
