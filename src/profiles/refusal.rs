//! Why a request is refused, in sentences that are safe to show to the user.

use thiserror::Error;

/// A refusal is part of the answer: each variant has a fixed HTTP status and a fixed word at the edge.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// What was sent is not of the shape that the hub's form makes.
    #[error("{0}")]
    Malformed(String),
    /// The user's groups don't admit them.
    #[error("{0}")]
    NotAllowed(String),
    /// More than the user may hold at once.
    #[error("{0}")]
    OverLimit(String),
    /// The apiserver would refuse the pod, so there is nothing to wait with.
    #[error("{0}")]
    OverQuota(String),
    /// Nothing is free and the profile does not wait.
    #[error("{0}")]
    Full(String),
    #[error("{0}")]
    UnknownProfile(String),
    #[error("{0}")]
    UnknownOption(String),
    /// No node could ever serve the request.
    #[error("{0}")]
    NeverFits(String),
    /// A claim that the pod needs is missing or lost.
    #[error("{0}")]
    MissingClaim(String),
    #[error("Berth has no picture of the cluster yet. Try again in a moment.")]
    NoInventory,
}
