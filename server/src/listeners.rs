//! The addresses that the server listens on, and who is served at each: everybody at one, or agents at one and operators at
//! another (`server.operator_address`), each by workers of their own.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle, Service as _};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App as HttpApp, HttpServer};
use anyhow::{Result, anyhow};
use futures_util::future::{Either, try_join_all};

use crate::app::App;
use crate::config::{self, Config};
use crate::lifecycle::Lifecycle;
use crate::liveness::Liveness;
use crate::tls::Certificate;
use crate::{StopTimes, admin, agent, debug, ops, panics, request_id, unread};

/// How long a client may take to send the head of a request. It is then refused without a body, which agents take for
/// success, so this must lie beyond the 16 s after which agents have hung up.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Most connections that wait to be accepted.
const BACKLOG: u32 = 4096;

/// Threads of each worker for work that blocks, made when they are needed. Far more than all pools may use at one time:
/// what runs there may wait for another one.
const BLOCKING_THREADS: usize = 512;

/// The sockets that the server listens on.
#[derive(Debug)]
pub struct Listeners {
    main: TcpListener,
    operators: Option<TcpListener>,
    debug: Option<TcpListener>,
}

/// The server at each of them.
pub struct Servers(Vec<Server>);

/// The clients of an address.
#[derive(Debug, Clone)]
enum Clientele {
    /// Agents, operators, and those who debug if they have no address of their own.
    Everybody { has_debug: bool },
    /// Agents; operators at another address.
    Agents { operators: Arc<str> },
    /// Operators, and those who debug if they have no address of their own; agents at another address.
    Operators { agents: Arc<str>, has_debug: bool },
    /// Those who debug, at an address of their own.
    Debug,
}

impl Listeners {
    /// Opens the sockets.
    ///
    /// # Errors
    /// With the key of the address that cannot be used.
    pub fn open(config: &config::Server) -> Result<Self> {
        let main = listen("server.address", &config.address)?;
        let operators = Some(&config.operator_address).filter(|address| !address.is_empty());
        let operators = operators.map(|address| listen("server.operator_address", address)).transpose()?;
        let debug = Some(&config.debug_address).filter(|address| !address.is_empty());
        let debug = debug.map(|address| listen("server.debug_address", address)).transpose()?;
        Ok(Self { main, operators, debug })
    }

    /// Where agents are served.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.main.local_addr()
    }

    /// Where operators are served.
    pub fn operator_address(&self) -> io::Result<SocketAddr> {
        self.operators.as_ref().unwrap_or(&self.main).local_addr()
    }

    /// Where `/debug` is served.
    pub fn debug_address(&self) -> io::Result<SocketAddr> {
        self.debug.as_ref().or(self.operators.as_ref()).unwrap_or(&self.main).local_addr()
    }

    /// Starts to serve.
    ///
    /// # Errors
    /// When workers cannot be started.
    pub fn serve(
        self,
        config: &Config,
        app: &App,
        certificate: Option<&Certificate>,
        lifecycle: &Lifecycle,
        liveness: &Liveness,
    ) -> Result<Servers> {
        let (agents, operators) = (self.address()?.to_string().into(), self.operator_address()?.to_string().into());
        let workers = config.server.workers;
        let parts = ListenerParts { config, app, certificate, lifecycle, liveness };
        let start = |clientele, workers, listener| server(parts, clientele, workers, listener);
        let has_debug = self.debug.is_none();
        let mut servers = match self.operators {
            None => vec![start(Clientele::Everybody { has_debug }, workers, self.main)?],
            Some(listener) => vec![
                start(Clientele::Agents { operators }, workers, self.main)?,
                start(Clientele::Operators { agents, has_debug }, config.server.operator_workers.max(1), listener)?,
            ],
        };
        if let Some(listener) = self.debug {
            servers.push(start(Clientele::Debug, 1, listener)?);
        }
        Ok(Servers(servers))
    }
}

impl Servers {
    /// Handles that stop them.
    pub fn handles(&self) -> Vec<ServerHandle> {
        self.0.iter().map(Server::handle).collect()
    }

    /// Waits until all have ended, or one has failed.
    pub async fn ended(self) -> io::Result<()> {
        try_join_all(self.0).await.map(drop)
    }
}

impl Clientele {
    fn has_agents(&self) -> bool {
        matches!(self, Self::Everybody { .. } | Self::Agents { .. })
    }

    fn routes(&self, services: &mut ServiceConfig) {
        match self {
            Self::Everybody { has_debug } => {
                services.configure(agent::routes).configure(|services| debug_routes(services, *has_debug));
                services.configure(admin::routes).configure(ops::routes);
            }
            Self::Debug => {
                services.configure(debug::routes).configure(ops::health_routes);
            }
            Self::Agents { .. } => {
                services.configure(agent::routes).configure(ops::health_routes);
            }
            Self::Operators { agents, has_debug } => {
                let reason = format!(
                    "operators are served here; agents use the port of server.address ({agents}): check the agent's \
                     --tls_hostname"
                );
                services.configure(|services| agent::routes_elsewhere(services, &reason));
                services.configure(|services| debug_routes(services, *has_debug));
                services.configure(admin::routes).configure(ops::routes);
            }
        }
    }

    /// The answer to paths that are not served here.
    fn others(&self, services: &mut ServiceConfig) {
        match self {
            Self::Everybody { .. } | Self::Operators { .. } => {
                services.default_service(web::to(admin::nothing_here));
            }
            Self::Debug => {
                let reason = "only /debug is served here (server.debug_address)";
                services.default_service(web::to(move || std::future::ready(admin::not_here(reason))));
            }
            Self::Agents { operators } => {
                let reason: Arc<str> =
                    format!("agents are served here; operators use the port of server.operator_address ({operators})")
                        .into();
                services.default_service(web::to(move || {
                    let answer = admin::not_here(&reason);
                    async move { answer }
                }));
            }
        }
    }
}

/// The debug API, or where it is.
fn debug_routes(services: &mut ServiceConfig, is_here: bool) {
    if is_here {
        services.configure(debug::routes);
    } else {
        let elsewhere =
            || std::future::ready(admin::not_here("/debug is served at server.debug_address, and nowhere else"));
        services.service(web::scope("/debug").default_service(web::to(elsewhere)));
    }
}

fn listen(key: &str, address: &str) -> Result<TcpListener> {
    let resolved = address
        .to_socket_addrs()
        .map_err(|error| anyhow!("{key}: {address:?} is not an address and port such as 0.0.0.0:8080: {error}"))?
        .next()
        .ok_or_else(|| anyhow!("{key}: {address:?} names no address"))?;
    TcpListener::bind(resolved).map_err(|error| {
        anyhow!("cannot listen on {resolved}: {error}; stop what uses the port, or set {key} to another one")
    })
}

/// What the servers at all addresses share.
#[derive(Clone, Copy)]
struct ListenerParts<'a> {
    config: &'a Config,
    app: &'a App,
    certificate: Option<&'a Certificate>,
    lifecycle: &'a Lifecycle,
    liveness: &'a Liveness,
}

fn server(parts: ListenerParts<'_>, clientele: Clientele, workers: usize, listener: TcpListener) -> Result<Server> {
    let ListenerParts { config, app, certificate, lifecycle, liveness } = parts;
    let liveness = liveness.clone();
    let lifecycle = Arc::new(lifecycle.clone());
    let agent = Arc::new(app.agent.clone());
    let (admin, ops) = (Data::new(app.admin.clone()), Data::new(app.ops.clone()));
    let debug = Data::new(app.debug.clone());
    let prefix: Arc<str> = config.server.url_prefix.as_str().into();
    let debug_path: Arc<str> = format!("{prefix}/debug/").into();
    let has_agents = clientele.has_agents();
    let factory = move || {
        // Each worker calls this on its own thread, and a worker that takes the post of one that has crashed, too.
        actix_web::rt::spawn(liveness.beat("of a worker"));
        let lifecycle = Arc::clone(&lifecycle);
        let debug_path = Arc::clone(&debug_path);
        let agents = clientele.has_agents().then(|| (Arc::clone(&agent), Arc::clone(&prefix)));
        HttpApp::new()
            .app_data(Data::from(Arc::clone(&agent)))
            .app_data(admin.clone())
            .app_data(ops.clone())
            .app_data(debug.clone())
            .app_data(admin::path_config())
            .wrap_fn(panics::caught)
            .wrap_fn(move |request, service| unread::read_before_answer(&lifecycle, request, service))
            .wrap_fn(move |request, service| request_id::with_id(&debug_path, request, service))
            // The last one is the outermost.
            .wrap_fn(move |request, service| match &agents {
                Some((api, prefix)) => Either::Left(agent::before_routing(api, prefix, request, service)),
                None => Either::Right(service.call(request)),
            })
            .service(web::scope(&prefix).configure(|services| clientele.routes(services)))
            .configure(|services| clientele.others(services))
    };
    let mut server = HttpServer::new(factory)
        .disable_signals()
        .backlog(BACKLOG)
        .max_connections(config.server.max_connections)
        .worker_max_blocking_threads(BLOCKING_THREADS)
        .keep_alive(config.server.idle_timeout)
        .client_request_timeout(HEAD_TIMEOUT)
        .shutdown_timeout(StopTimes::of(&config.server).requests_secs());
    if workers > 0 {
        server = server.workers(workers);
    }
    if let Some(agent_ca) = certificate.and_then(|certificate| certificate.agent_ca.clone()).filter(|_| has_agents) {
        server = server.on_connect(move |connection, noted| agent_ca.judge(connection, noted));
    }
    let server = match certificate {
        Some(certificate) => server.listen_rustls_0_23(listener, certificate.server_config(has_agents)?)?,
        None => server.listen(listener)?,
    };
    Ok(server.run())
}
