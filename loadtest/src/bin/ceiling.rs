//! The least server that could answer agents: the HTTP stack, the TLS settings and the connections of `muster`, and
//! constant answers. What `muster` spends beyond it is its own code's. It knows no hosts and keeps nothing but log
//! bodies, which it writes and flushes as they came.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use actix_web::http::header::ContentType;
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpResponse, HttpServer};
use anyhow::{Context as _, Result, anyhow};
use clap::Parser;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::oneshot;

/// Largest body of any request, as in the server's defaults for logs.
const MAX_BODY: usize = 64 << 20;

/// Bytes that share one flush at most, as in the server.
const GROUP_BYTES: usize = 16 << 20;

/// Answers agents with constants, as fast as the HTTP stack can.
#[derive(Debug, Parser)]
#[command(name = "ceiling", version)]
struct CeilingOptions {
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    address: String,
    /// Certificate chain (PEM), such as the one `muster` made. Without it: plain HTTP.
    #[arg(long, requires = "key")]
    cert: Option<PathBuf>,
    /// Private key (PEM) of the certificate.
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
    /// Worker threads.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Close the connection after each answer, as `muster` does with agents that are connected directly.
    #[arg(long)]
    close: bool,
    /// File that log bodies are appended to and flushed, those that wait together in one write. Without it they are
    /// thrown away.
    #[arg(long)]
    log_file: Option<PathBuf>,
    /// File with the answer to config.
    #[arg(long)]
    config_answer: Option<PathBuf>,
    /// File with the answer to distributed/read.
    #[arg(long)]
    read_answer: Option<PathBuf>,
    /// Stop when standard input ends, as when the program that started it goes away.
    #[arg(long)]
    until_stdin_closes: bool,
}

fn main() -> ExitCode {
    match actix_web::rt::System::new().block_on(serve(CeilingOptions::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ceiling: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Answers and counters that all workers share.
struct Answers {
    enroll: Bytes,
    config: Bytes,
    read: Bytes,
    accepted: Bytes,
    close: bool,
    log: Option<LogFile>,
    requests: [AtomicU64; HANDLERS.len()],
}

/// The endpoints, by the names under which the server counts them.
const HANDLERS: [&str; 5] =
    ["enroll_agent", "get_client_config", "get_distributed_queries", "submit_distributed_query_results", "submit_logs"];

async fn serve(options: CeilingOptions) -> Result<()> {
    let constant = |path: &Option<PathBuf>, otherwise: &'static str| match path {
        None => Ok(Bytes::from_static(otherwise.as_bytes())),
        Some(path) => {
            std::fs::read(path).map(Bytes::from).with_context(|| format!("cannot read the answer {}", path.display()))
        }
    };
    let answers = Data::new(Answers {
        enroll: Bytes::from_static(br#"{"node_key":"ceilingceilingceilingceilingceili"}"#),
        config: constant(&options.config_answer, r#"{"options":{},"schedule":{}}"#)?,
        read: constant(&options.read_answer, r#"{"queries":{}}"#)?,
        accepted: Bytes::from_static(b"{}"),
        close: options.close,
        log: options.log_file.as_deref().map(LogFile::open).transpose()?,
        requests: Default::default(),
    });
    let listener =
        TcpListener::bind(&options.address).with_context(|| format!("cannot listen on {}", options.address))?;
    let address = listener.local_addr()?;
    let factory = move || {
        let app = App::new()
            .app_data(answers.clone())
            .app_data(web::PayloadConfig::new(MAX_BODY))
            .route("/metrics", web::get().to(metrics));
        ["/api/v1/osquery", "/api/osquery"].into_iter().fold(app, |app, base| {
            app.service(
                web::scope(base)
                    .route("/enroll", web::post().to(enroll))
                    .route("/config", web::post().to(config))
                    .route("/distributed/read", web::post().to(read))
                    .route("/distributed/write", web::post().to(write))
                    .route("/log", web::post().to(log)),
            )
        })
    };
    // The settings of the server's own listener.
    let server = HttpServer::new(factory)
        .workers(options.workers)
        .backlog(4096)
        .keep_alive(Duration::from_secs(75))
        .client_request_timeout(Duration::from_secs(30))
        .shutdown_timeout(1);
    let server = match (&options.cert, &options.key) {
        (Some(cert), Some(key)) => server.listen_rustls_0_23(listener, tls(cert, key)?)?,
        _ => server.listen(listener)?,
    }
    .run();
    if options.until_stdin_closes {
        let handle = server.handle();
        let closed = actix_web::rt::task::spawn_blocking(|| io::copy(&mut io::stdin().lock(), &mut io::sink()));
        actix_web::rt::spawn(async move {
            // Whatever was written there means nothing; only its end does.
            let _ = closed.await;
            handle.stop(false).await;
        });
    }
    eprintln!("ceiling: listening on {address}");
    server.await.context("the listener has failed")
}

fn tls(cert: &Path, key: &Path) -> Result<ServerConfig> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|error| anyhow!("the certificate {} cannot be read as PEM: {error}", cert.display()))?;
    let key_der = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| anyhow!("the private key {} cannot be read as PEM: {error}", key.display()))?;
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key_der)
        .with_context(|| format!("{} and {} cannot be used together", cert.display(), key.display()))
}

async fn enroll(answers: Data<Answers>, _body: Bytes) -> HttpResponse {
    answer(&answers, 0, &answers.enroll)
}

async fn config(answers: Data<Answers>, _body: Bytes) -> HttpResponse {
    answer(&answers, 1, &answers.config)
}

async fn read(answers: Data<Answers>, _body: Bytes) -> HttpResponse {
    answer(&answers, 2, &answers.read)
}

async fn write(answers: Data<Answers>, _body: Bytes) -> HttpResponse {
    answer(&answers, 3, &answers.accepted)
}

async fn log(answers: Data<Answers>, body: Bytes) -> HttpResponse {
    let kept = match &answers.log {
        Some(file) => file.append(body).await,
        None => true,
    };
    if kept {
        answer(&answers, 4, &answers.accepted)
    } else {
        HttpResponse::ServiceUnavailable().content_type(ContentType::json()).body(r#"{"error":"not kept"}"#)
    }
}

fn answer(answers: &Answers, handler: usize, body: &Bytes) -> HttpResponse {
    answers.requests[handler].fetch_add(1, Ordering::Relaxed);
    let mut response = HttpResponse::Ok();
    response.content_type(ContentType::json());
    if answers.close {
        response.force_close();
    }
    response.body(body.clone())
}

/// Numbers of answered requests, in the format of the metrics of the server.
async fn metrics(answers: Data<Answers>) -> HttpResponse {
    let counts = HANDLERS.iter().zip(&answers.requests);
    let lines = counts.map(|(handler, count)| {
        format!("http_requests_total{{code=\"200\",handler=\"{handler}\"}} {}\n", count.load(Ordering::Relaxed))
    });
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(lines.collect::<String>())
}

/// A file whose one writer puts everything that waits into one write and one flush.
struct LogFile(mpsc::Sender<(Bytes, oneshot::Sender<bool>)>);

impl LogFile {
    fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let mut file = file.with_context(|| format!("cannot open the log file {}", path.display()))?;
        let (sender, queue) = mpsc::channel::<(Bytes, oneshot::Sender<bool>)>();
        std::thread::Builder::new().name("log-file".to_owned()).spawn(move || {
            let mut group = Vec::new();
            while let Ok((body, asked)) = queue.recv() {
                group.clear();
                group.extend_from_slice(&body);
                group.push(b'\n');
                let mut waiting = vec![asked];
                while group.len() < GROUP_BYTES
                    && let Ok((body, asked)) = queue.try_recv()
                {
                    group.extend_from_slice(&body);
                    group.push(b'\n');
                    waiting.push(asked);
                }
                let kept = keep(&mut file, &group);
                if let Err(error) = &kept {
                    eprintln!("ceiling: log bodies could not be kept: {error}");
                }
                for asked in waiting {
                    // Whoever asked may have gone.
                    let _ = asked.send(kept.is_ok());
                }
            }
        })?;
        Ok(Self(sender))
    }

    async fn append(&self, body: Bytes) -> bool {
        let (asked, kept) = oneshot::channel();
        self.0.send((body, asked)).is_ok() && kept.await.unwrap_or(false)
    }
}

fn keep(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_data()
}
