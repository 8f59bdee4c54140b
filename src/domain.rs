//! What Berth knows and decides, free of I/O: quantities, GPU kinds, nodes, usage, the snapshot, the scheduler's filter
//! and the ranking. Everything here is a value or a pure function, so that most of Berth is tested without a cluster.

pub mod base;
pub mod fit;
pub mod gpu;
pub mod gpu_rule;
pub mod growth;
pub mod image;
pub mod lenient;
pub mod node;
pub mod quantity;
pub mod quota;
pub mod rank;
pub mod report;
pub mod resources;
pub mod selector;
pub mod server;
pub mod snapshot;
pub mod storage;
