//! `berth serve`: two servers over one inventory.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::follow::{Follower, Look};
use super::{AppError, DEFAULT_PREFIX, install_crypto, load_catalogue, policy, read, source};
use crate::catalogue::Catalogue;
use crate::cli::Source;
use crate::domain::node::Policy;
use crate::http::identity::Identities;
use crate::http::manage::{self, Stopping};
use crate::http::{self, Access, Service};
use crate::metrics::Metrics;
use crate::telemetry::{self, LogFormat};

/// Answers are made in microseconds; two workers keep one slow client from holding up the other.
const WORKERS: usize = 2;
/// Seconds for requests in flight when Berth is told to stop.
const LAST_REQUESTS: u64 = 5;

#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where the hub and its users ask
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Where the kubelet and Prometheus ask: /livez, /readyz, /metrics
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:9090")]
    manage: SocketAddr,
    #[command(flatten)]
    source: Source,
    #[arg(long, value_enum, default_value_t)]
    log: LogFormat,
    /// Let everybody in, as the hub and as an administrator; loopback addresses only
    #[arg(long)]
    no_auth: bool,
    #[command(flatten)]
    hub: HubArgs,
}

/// What JupyterHub tells every service, by JupyterHub's own names.
#[derive(Args)]
struct HubArgs {
    /// The token of the hub's service berth
    #[arg(long, env = "JUPYTERHUB_API_TOKEN", hide = true)]
    api_token: Option<String>,
    /// A file that holds the token, such as a mounted Secret; read anew when it changes
    #[arg(long, value_name = "FILE")]
    api_token_file: Option<PathBuf>,
    /// The hub's API
    #[arg(long, env = "JUPYTERHUB_API_URL", hide = true, default_value = "http://127.0.0.1:8081/hub/api")]
    api_url: String,
    /// Where the hub's proxy puts Berth
    #[arg(long, env = "JUPYTERHUB_SERVICE_PREFIX", hide = true, default_value = DEFAULT_PREFIX)]
    service_prefix: String,
}

/// The token is a secret: it is not shown.
impl std::fmt::Debug for HubArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubArgs")
            .field("api_url", &self.api_url)
            .field("service_prefix", &self.service_prefix)
            .finish_non_exhaustive()
    }
}

/// Serves until told to stop.
pub async fn serve(args: ServeArgs) -> Result<(), AppError> {
    let ServeArgs { listen, manage, source, log, no_auth, hub } = args;
    telemetry::init(log, "berth=info,warn");
    let access = access(no_auth, &hub, [listen, manage])?;
    let catalogue = load_catalogue(source.config.as_deref())?;
    let metrics = Metrics::new().map_err(|error| AppError::Setup(error.to_string()))?;

    let (policies, policy_changes) = watch::channel(policy(&catalogue));
    let inventory = source::follow(&source, &catalogue, policy_changes).await?;
    let (catalogues, catalogue) = watch::channel(Arc::new(catalogue));
    if let Some(file) = source.config.clone() {
        let text = read(&file)?;
        let follower = Follower::new(file.clone(), text);
        tokio::spawn(reload(follower, file.display().to_string(), catalogues, policies, metrics.clone()));
    } else {
        // Kept for the life of the process: a dropped sender means that the source should end.
        tokio::spawn(async move { policies.closed().await });
    }

    let service = web::Data::new(Service { inventory, catalogue, access, prefix: hub.service_prefix, metrics });
    let stopping = web::Data::new(Stopping::default());
    let app = {
        let service = service.clone();
        move || http::app(service.clone())
    };
    let answers = HttpServer::new(app).workers(WORKERS).disable_signals().shutdown_timeout(LAST_REQUESTS);
    let answers = answers.bind(listen).map_err(cannot_listen(listen))?;
    let app = {
        let stopping = stopping.clone();
        move || App::new().app_data(service.clone()).app_data(stopping.clone()).configure(manage::routes)
    };
    let probes = HttpServer::new(app).workers(1).disable_signals().shutdown_timeout(LAST_REQUESTS);
    let probes = probes.bind(manage).map_err(cannot_listen(manage))?;
    // The ports as they are, where the caller left the choice to the system.
    info!(listen = ?answers.addrs(), manage = ?probes.addrs(), "serving");
    let (answers, probes) = (answers.run(), probes.run());
    tokio::spawn(stop_on_signal(stopping, [answers.handle(), probes.handle()]));
    let ended = futures::future::try_join(answers, probes).await;
    ended.map(|_| info!("stopped")).map_err(|error| AppError::Setup(format!("a server ended: {error}")))
}

fn cannot_listen(address: SocketAddr) -> impl FnOnce(std::io::Error) -> AppError {
    move |error| AppError::Listen { address: address.to_string(), error }
}

fn access(no_auth: bool, hub: &HubArgs, addresses: [SocketAddr; 2]) -> Result<Access, AppError> {
    if no_auth {
        if let Some(address) = addresses.iter().find(|address| !address.ip().is_loopback()) {
            return Err(AppError::OpenToAll(address.to_string()));
        }
        warn!("--no-auth: everybody who reaches this address is let in, as the hub and as an administrator");
        return Ok(Access::Open);
    }
    let token = match &hub.api_token_file {
        Some(file) => follow_token(file.clone())?,
        None => {
            let token = hub.api_token.clone().filter(|token| !token.is_empty()).ok_or(AppError::NoToken)?;
            watch::channel(token).1
        }
    };
    install_crypto();
    let identities = Identities::new(&hub.api_url).map_err(|error| AppError::Setup(error.to_string()))?;
    Ok(Access::Tokens { hub: token, identities })
}

/// The token of a file, kept up to date. An empty or unreadable file leaves the last one in force.
fn follow_token(file: PathBuf) -> Result<watch::Receiver<String>, AppError> {
    let text = read(&file)?;
    let token = text.trim().to_owned();
    if token.is_empty() {
        return Err(AppError::NoToken);
    }
    let (sender, receiver) = watch::channel(token);
    let mut follower = Follower::new(file.clone(), text);
    tokio::spawn(async move {
        loop {
            match follower.look().await {
                Look::Same => {}
                Look::Changed(text) if !text.trim().is_empty() => {
                    sender.send_replace(text.trim().to_owned());
                    info!(file = %file.display(), "the token was read anew");
                }
                Look::Changed(_) => warn!(file = %file.display(), "the file of the token is empty, the last one stays"),
                Look::Unreadable(error) => warn!(file = %file.display(), %error, "the token can't be read, the last one stays"),
            }
        }
    });
    Ok(receiver)
}

/// Takes a catalogue that changed on disk. One with mistakes is named in the log and in a metric, and the old one stays.
async fn reload(
    mut follower: Follower,
    file: String,
    catalogues: watch::Sender<Arc<Catalogue>>,
    policies: watch::Sender<Policy>,
    metrics: Metrics,
) {
    loop {
        match follower.look().await {
            Look::Same => {}
            Look::Changed(text) => match Catalogue::parse(&file, &text) {
                Ok(catalogue) => {
                    if catalogue.namespace != catalogues.borrow().namespace {
                        warn!("the catalogue names another namespace; claims are followed there after a restart only");
                    }
                    policies.send_replace(policy(&catalogue));
                    catalogues.send_replace(Arc::new(catalogue));
                    metrics.catalogue_reloaded(true);
                    info!(file, "the catalogue was read anew");
                }
                Err(errors) => {
                    metrics.catalogue_reloaded(false);
                    error!(file, "the catalogue has mistakes, the old one stays\n{errors}");
                }
            },
            Look::Unreadable(error) => {
                metrics.catalogue_reloaded(false);
                error!(file, %error, "the catalogue can't be read, the old one stays");
            }
        }
    }
}

async fn stop_on_signal(stopping: web::Data<Stopping>, servers: [ServerHandle; 2]) {
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
    for server in servers {
        server.stop(true).await;
    }
}
