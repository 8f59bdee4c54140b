//! Fills the inventory: from the cluster or from a dump.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::follow::{Follower, Look};
use super::{AppError, install_crypto, read};
use crate::catalogue::Catalogue;
use crate::domain::node::Policy;
use crate::inventory::{self, Inventory, Publisher};

/// Where the inventory comes from: the live cluster, unless a file is named.
#[derive(Clone, Debug, Args)]
pub struct Source {
    /// Read `kubectl get nodes,pods,pvc -A -o json` (or YAML) from a file instead of the cluster
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// The catalogue; without it the built-in one serves
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The kubeconfig of the cluster; without it $KUBECONFIG, ~/.kube/config or the pod's own account
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub kubeconfig: Option<PathBuf>,
}

/// How long a command waits for the first complete list.
const FIRST_ANSWER: Duration = Duration::from_secs(60);

/// Starts to fill an inventory, and goes on doing so. The task ends only when the policy's sender is gone, or by a fault.
pub async fn follow(
    source: &Source,
    catalogue: &Catalogue,
    policy: watch::Receiver<Policy>,
) -> Result<(Inventory, JoinHandle<()>), AppError> {
    let (mut publisher, inventory) = inventory::new();
    let namespace = catalogue.namespace.clone();
    if let Some(file) = &source.from {
        let text = read(file)?;
        let current = policy.borrow().clone();
        publish_dump(&mut publisher, file, &text, &namespace, &current)?;
        let follower = Follower::new(file.clone(), text);
        let filling = tokio::spawn(follow_dump(follower, file.clone(), publisher, namespace, policy));
        return Ok((inventory, filling));
    }
    let client = client(source.kubeconfig.as_deref()).await?;
    let filling = tokio::spawn(async move { publisher.follow_cluster(client, &namespace, policy).await });
    Ok((inventory, filling))
}

/// Fills an inventory once, for a command that answers and ends.
pub async fn look_once(source: &Source, catalogue: &Arc<Catalogue>) -> Result<Inventory, AppError> {
    let (_sender, policy) = watch::channel(catalogue.policy());
    let (mut inventory, _filling) = follow(source, catalogue, policy).await?;
    let first = inventory.snapshots.wait_for(Option::is_some);
    let found = matches!(tokio::time::timeout(FIRST_ANSWER, first).await, Ok(Ok(_)));
    if found { Ok(inventory) } else { Err(AppError::NoAnswer(FIRST_ANSWER.as_secs())) }
}

async fn client(kubeconfig: Option<&Path>) -> Result<Client, AppError> {
    let unusable = |error: &dyn std::fmt::Display| AppError::Cluster(error.to_string());
    install_crypto();
    let config = match kubeconfig {
        Some(file) => {
            let kubeconfig = Kubeconfig::read_from(file).map_err(|error| unusable(&error))?;
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(|error| unusable(&error))?
        }
        None => Config::infer().await.map_err(|error| unusable(&error))?,
    };
    Client::try_from(config).map_err(|error| unusable(&error))
}

fn publish_dump(publisher: &mut Publisher, file: &Path, text: &str, namespace: &str, policy: &Policy) -> Result<(), AppError> {
    publisher.publish_dump(text, namespace, policy).map_err(|error| AppError::Dump { file: file.display().to_string(), error })
}

async fn follow_dump(
    mut follower: Follower,
    file: PathBuf,
    mut publisher: Publisher,
    namespace: String,
    mut policy: watch::Receiver<Policy>,
) {
    // What is published is what the file says.
    let mut current_text = true;
    loop {
        let look = tokio::select! {
            look = follower.look() => look,
            renewed = policy.changed() => match (renewed, follower.text()) {
                (Ok(()), Some(text)) => Look::Changed(text.to_owned()),
                (Ok(()), None) => Look::Same,
                (Err(_), _) => return,
            },
        };
        let current = policy.borrow_and_update().clone();
        match look {
            Look::Same => {}
            Look::Changed(text) => match publish_dump(&mut publisher, &file, &text, &namespace, &current) {
                Ok(()) => {
                    info!(file = %file.display(), "the dump was read");
                    current_text = true;
                }
                Err(error) => {
                    warn!(%error, "the dump is refused, the last one stays");
                    current_text = false;
                }
            },
            Look::Unreadable(error) => {
                warn!(file = %file.display(), %error, "the dump can't be read, the last one stays");
                current_text = false;
            }
        }
        if current_text {
            publisher.confirm_dump();
        } else {
            publisher.lose_dump();
        }
    }
}
