//! The hub's servers, as their pods say it: who runs what, and where.

use std::sync::Arc;

use super::resources::Resources;
use super::selector::NodeRequirements;

/// Where a server's pod is on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Berth has handed out a patch; there is no pod yet.
    Promised,
    /// The scheduler has not looked at the pod yet.
    Waiting,
    /// Something in the cluster keeps the pod from the scheduler, as a queue of workloads does.
    Gated,
    /// The scheduler keeps room for the pod on this node, where its volume is being made or others are being evicted for it.
    Nominated(Arc<str>),
    /// The scheduler found no node. Its own words.
    Unschedulable(String),
    /// On this node.
    Bound(Arc<str>),
}

/// What a server does on its node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    #[default]
    Running,
    /// Its containers are being made, and nobody says more.
    Starting,
    Pulling {
        image: String,
        /// Where somebody pulled it lately.
        bytes: Option<u64>,
    },
    PullFailed {
        image: String,
    },
    MountFailed,
    SandboxFailed,
    ContainerFailed,
    /// Its pod is being deleted, and keeps what it has until it is gone.
    Ending,
}

/// One server of a hub user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// As the hub spells the user, from the pod's annotation.
    pub user: String,
    /// Empty for the user's default server.
    pub name: String,
    /// The namespace of the hub that made it.
    pub hub: String,
    /// Namespace and name; empty while there is no pod.
    pub pod: String,
    pub stage: Stage,
    /// Means nothing before it has its node.
    pub progress: Progress,
    /// When the pod got its node, or while it waits for one, when it was made. RFC 3339; empty while there is no pod.
    pub since: String,
    pub requests: Resources,
    /// The nodes that it accepts, while it waits for one.
    pub requirements: NodeRequirements,
    /// The hold that was handed out with the patch of this pod.
    pub hold: Option<String>,
}

impl Server {
    /// User and server: what a hold belongs to, and what there is once.
    pub fn owner(&self) -> (&str, &str) {
        (&self.user, &self.name)
    }
}
