//! What changes while Berth serves: the catalogue and the hub's token, each in a file of its own.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use tracing::{error, info, warn};

use super::follow::{Follower, Look};
use super::{AppError, read};
use crate::catalogue::Catalogue;
use crate::domain::node::Policy;
use crate::metrics::Metrics;

/// Where a catalogue that was accepted goes.
pub struct Readers {
    pub catalogues: watch::Sender<Arc<Catalogue>>,
    pub policies: watch::Sender<Policy>,
    pub metrics: Metrics,
}

/// Takes a catalogue that changed on disk. One with mistakes is named in the log and in a metric, and the old one stays.
pub async fn follow_catalogue(mut follower: Follower, file: String, readers: Readers) {
    let Readers { catalogues, policies, metrics } = readers;
    loop {
        match follower.look().await {
            Look::Same => {}
            Look::Changed(text) => match Catalogue::parse(&file, &text) {
                Ok(catalogue) => {
                    if catalogue.namespace != catalogues.borrow().namespace {
                        warn!("the catalogue names another namespace; claims are followed there after a restart only");
                    }
                    policies.send_replace(catalogue.policy());
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

/// The token of a file, kept up to date. An empty or unreadable file leaves the last one in force.
pub fn follow_token(file: PathBuf) -> Result<watch::Receiver<String>, AppError> {
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
                Look::Unreadable(error) => {
                    warn!(file = %file.display(), %error, "the token can't be read, the last one stays");
                }
            }
        }
    });
    Ok(receiver)
}
