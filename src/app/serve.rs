//! `berth serve`: two servers over one inventory.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::follow::Follower;
use super::reload::{Readers, follow_catalogue, follow_token};
use super::source::{self, Source};
use super::{AppError, DEFAULT_PREFIX, install_crypto, read};
use crate::catalogue::Catalogue;
use crate::http::events::Streams;
use crate::http::holds::Holds;
use crate::http::identity::{Identities, KEEP_KNOWN};
use crate::http::login::Login;
use crate::http::manage::{self, Stopping};
use crate::http::{self, Access, Service};
use crate::metrics::{self, Metrics};
use crate::telemetry::{self, LogFormat};

/// Answers are made in microseconds; two workers keep one slow client from holding up the other.
const WORKERS: usize = 2;
/// Seconds for requests in flight when Berth is told to stop.
const LAST_REQUESTS: u64 = 5;

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where the hub and its users ask
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8080", value_parser = address)]
    listen: SocketAddr,
    /// Where the kubelet and Prometheus ask: /livez, /readyz, /metrics
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:9090", value_parser = address)]
    manage: SocketAddr,
    #[command(flatten)]
    source: Source,
    #[arg(long, value_enum, default_value_t)]
    log: LogFormat,
    /// A file that holds the token of the hub's service, such as a mounted Secret; read anew when it changes.
    /// Without it JUPYTERHUB_API_TOKEN holds the token
    #[arg(long, value_name = "FILE")]
    api_token_file: Option<PathBuf>,
    /// Let everybody in, as the hub and as an administrator; loopback addresses only
    #[arg(long)]
    no_auth: bool,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let found = text.to_socket_addrs().map_err(|error| format!("{error}; write for example 127.0.0.1:8080"))?.next();
    found.ok_or_else(|| "it has no address".to_owned())
}

/// What JupyterHub tells every service, by JupyterHub's own names.
struct HubSettings {
    token: Option<String>,
    /// The hub's API.
    api_url: String,
    /// Where the hub's proxy puts Berth.
    prefix: String,
    /// What its browsers are told.
    login: Login,
}

/// Berth's name in the hub's OAuth, unless the hub's configuration gives it another.
const DEFAULT_CLIENT: &str = "service-berth";

impl HubSettings {
    fn from_environment() -> Result<Self, AppError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let path = |name: &str, default: &str| {
            let path = variable(name).unwrap_or_else(|| default.to_owned());
            let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/-_.~%@".contains(c)) && !path.contains("//");
            if path.starts_with('/') && path.ends_with('/') && plain {
                return Ok(path);
            }
            Err(AppError::Setup(format!("{name} is {path:?}, not a path such as {default}")))
        };
        let base_url = path("JUPYTERHUB_BASE_URL", "/")?;
        let prefix = path("JUPYTERHUB_SERVICE_PREFIX", &format!("{base_url}{}", DEFAULT_PREFIX.trim_start_matches('/')))?;
        if !prefix.starts_with(&base_url) {
            return Err(AppError::Setup(format!(
                "JUPYTERHUB_SERVICE_PREFIX is {prefix:?}, which is not below JUPYTERHUB_BASE_URL, {base_url:?}"
            )));
        }
        let client_id = variable("JUPYTERHUB_CLIENT_ID").unwrap_or_else(|| DEFAULT_CLIENT.to_owned());
        if !client_id.starts_with("service-") {
            return Err(AppError::Setup(format!(
                "JUPYTERHUB_CLIENT_ID is {client_id:?}; the hub's services have names such as {DEFAULT_CLIENT}"
            )));
        }
        let api_url = variable("JUPYTERHUB_API_URL").unwrap_or_else(|| "http://127.0.0.1:8081/hub/api".to_owned());
        Ok(Self { token: variable("JUPYTERHUB_API_TOKEN"), api_url, prefix, login: Login { client_id, base_url } })
    }
}

/// Serves until told to stop.
pub async fn serve(args: ServeArgs) -> Result<(), AppError> {
    let ServeArgs { listen, manage, source, log, api_token_file, no_auth } = args;
    telemetry::init(log, "berth=info,warn");
    let hub = HubSettings::from_environment()?;
    let prefix = hub.prefix.clone();
    let access = if no_auth { open_access([listen, manage])? } else { token_access(hub, api_token_file)? };
    let metrics = Metrics::new().map_err(|error| AppError::Setup(error.to_string()))?;

    let config = source.config.clone().map(|file| Ok::<_, AppError>((read(&file)?, file))).transpose()?;
    let catalogue = match &config {
        Some((text, file)) => Catalogue::parse(&file.display().to_string(), text)?,
        None => Catalogue::built_in()?,
    };
    let (policies, policy_changes) = watch::channel(catalogue.policy());
    let (inventory, filling) = source::follow(&source, &catalogue, policy_changes).await?;
    let (catalogues, catalogue) = watch::channel(Arc::new(catalogue));
    // Kept to the end: a source stops when nobody can send it a policy any more.
    let _unchanging = if let Some((text, file)) = config {
        let name = file.display().to_string();
        let readers = Readers { catalogues, policies, metrics: metrics.clone() };
        tokio::spawn(follow_catalogue(Follower::new(file, text), name, readers));
        None
    } else {
        Some((catalogues, policies))
    };

    let holds = Arc::new(Holds::new(inventory.snapshot()));
    tokio::spawn(holds.clone().follow(inventory.snapshots.clone()));
    let streams: Arc<Streams> = Arc::default();
    let service = web::Data::new(Service {
        inventory,
        holds,
        catalogue,
        access,
        bases: Default::default(),
        streams: streams.clone(),
        directory: Default::default(),
        prefix,
    });
    let metrics = web::Data::new(metrics);
    let stopping = web::Data::new(Stopping::default());
    let app = {
        let (service, metrics) = (service.clone(), metrics.clone());
        move || {
            let service = service.clone();
            let counted = App::new().app_data(metrics.clone()).wrap(from_fn(metrics::count_requests));
            counted.configure(|config| http::configure(config, service))
        }
    };
    let answers = HttpServer::new(app).workers(WORKERS).disable_signals().shutdown_timeout(LAST_REQUESTS);
    let answers = answers.bind(listen).map_err(cannot_listen(listen))?;
    let app = {
        let stopping = stopping.clone();
        move || {
            let app = App::new().app_data(service.clone()).app_data(stopping.clone()).app_data(metrics.clone());
            app.configure(manage::routes).route("/metrics", web::get().to(metrics::scrape))
        }
    };
    let probes = HttpServer::new(app).workers(1).disable_signals().shutdown_timeout(LAST_REQUESTS);
    let probes = probes.bind(manage).map_err(cannot_listen(manage))?;
    // The ports as they are, where the caller left the choice to the system.
    info!(listen = ?answers.addrs(), manage = ?probes.addrs(), "serving");
    let (answers, probes) = (answers.run(), probes.run());
    tokio::spawn(stop_on_signal(stopping, streams, [answers.handle(), probes.handle()]));
    tokio::select! {
        ended = futures::future::try_join(answers, probes) => {
            ended.map(|_| info!("stopped")).map_err(|error| AppError::Setup(format!("a server ended: {error}")))
        }
        // Numbers that nobody renews must not look alive: the process ends, and is started anew.
        ended = filling => Err(AppError::Setup(format!("the inventory is no longer filled: {ended:?}"))),
    }
}

fn cannot_listen(address: SocketAddr) -> impl FnOnce(std::io::Error) -> AppError {
    move |error| AppError::Listen { address: address.to_string(), error }
}

fn open_access(addresses: [SocketAddr; 2]) -> Result<Access, AppError> {
    if let Some(address) = addresses.iter().find(|address| !address.ip().is_loopback()) {
        return Err(AppError::OpenToAll(address.to_string()));
    }
    warn!("--no-auth: everybody who reaches this address is let in, as the hub and as an administrator");
    Ok(Access::Open)
}

fn token_access(hub: HubSettings, token_file: Option<PathBuf>) -> Result<Access, AppError> {
    let token = match token_file {
        Some(file) => follow_token(file)?,
        None => watch::channel(hub.token.ok_or(AppError::NoToken)?).1,
    };
    install_crypto();
    let identities = Identities::new(&hub.api_url, KEEP_KNOWN).map_err(|error| AppError::Setup(error.to_string()))?;
    Ok(Access::Tokens { hub: token, identities, login: hub.login })
}

async fn stop_on_signal(stopping: web::Data<Stopping>, streams: Arc<Streams>, servers: [ServerHandle; 2]) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        error!("signals can't be heard; stop Berth with SIGKILL");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!("stopping");
    stopping.0.store(true, Ordering::Relaxed);
    streams.close();
    for server in servers {
        server.stop(true).await;
    }
}
