//! Berth tells a stock JupyterHub on Kubernetes which GPUs are free now, offers them as profiles, and turns a user's
//! choice into the pod settings that KubeSpawner needs.
//!
//! The rooms and the direction of their imports:
//! `domain` ← `inventory`, `catalogue` ← `profiles` ← `spawn` ← `http`; `telemetry`, `metrics`, `cli` and `app` wire them.

pub mod app;
pub mod catalogue;
pub mod cli;
pub mod domain;
pub mod http;
pub mod inventory;
pub mod metrics;
pub mod profiles;
pub mod spawn;
pub mod telemetry;
