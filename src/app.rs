//! Wiring: configuration in, sources and servers started, and stopped in the right order.

mod follow;
mod reload;
mod serve;
mod source;

use std::path::Path;

use thiserror::Error;

pub use serve::{ServeArgs, serve};
pub use source::{Source, look_once};

use crate::catalogue::{Catalogue, ConfigErrors};
use crate::inventory::DumpError;

/// Where JupyterHub's proxy puts a service of this name.
pub const DEFAULT_PREFIX: &str = "/services/berth/";

#[derive(Debug, Error)]
pub enum AppError {
    #[error("{file} can't be read: {error}")]
    Unreadable { file: String, error: std::io::Error },
    #[error("the catalogue has mistakes\n{0}")]
    Catalogue(#[from] ConfigErrors),
    #[error("{file} can't be used: {error}")]
    Dump { file: String, error: DumpError },
    #[error("the cluster can't be reached: {0}. Name a kubeconfig with --kubeconfig, or a dump with --from.")]
    Cluster(String),
    #[error("the cluster did not answer within {0} seconds; its answers are in the log above")]
    NoAnswer(u64),
    #[error(
        "JUPYTERHUB_API_TOKEN is not set. Give Berth the token of the hub's service berth there or with --api-token-file, or try it out with --no-auth."
    )]
    NoToken,
    #[error("--no-auth lets everybody in, so it takes loopback addresses only, and {0} is not one")]
    OpenToAll(String),
    #[error("can't listen on {address}: {error}")]
    Listen { address: String, error: std::io::Error },
    #[error("{0}")]
    Setup(String),
}

/// Reads the catalogue of a command that answers once, or takes the built-in one.
pub fn load_catalogue(file: Option<&Path>) -> Result<Catalogue, AppError> {
    let Some(file) = file else { return Ok(Catalogue::built_in()?) };
    let text = read(file)?;
    Ok(Catalogue::parse(&file.display().to_string(), &text)?)
}

/// Names the one provider of cryptography that kube's and reqwest's TLS share. Calling it again changes nothing.
pub fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn read(file: &Path) -> Result<String, AppError> {
    std::fs::read_to_string(file).map_err(|error| AppError::Unreadable { file: file.display().to_string(), error })
}
