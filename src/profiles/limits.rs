//! Limits: how many GPUs somebody may hold at once, and what of it is in use.
//!
//! Everything counts that the user's servers request or are promised, whatever it waits for: a pod that waits today holds
//! its GPU tomorrow.

use std::collections::BTreeMap;

use crate::catalogue::Catalogue;
use crate::domain::fit::Availability;
use crate::domain::snapshot::Snapshot;
use crate::profiles::User;

/// What a user with a limit holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub limit: u64,
    /// GPUs by server, the default one's name empty. Only servers that hold some.
    pub servers: Vec<(String, u64)>,
}

impl Allowance {
    /// The allowance of somebody who asks for one server, whose own earlier pod does not count; `None` without a limit.
    pub fn of(user: &User, server: &str, snapshot: &Snapshot, catalogue: &Catalogue) -> Option<Self> {
        let limit = u64::from(catalogue.limits.of(&user.groups)?);
        let mut servers: BTreeMap<&str, u64> = BTreeMap::new();
        for other in snapshot.servers.iter().filter(|other| other.user == user.name && other.name != server) {
            // A server that starts anew may be there twice for a moment: with its old pod and with what is promised to it.
            let most = servers.entry(&other.name).or_default();
            *most = snapshot.gpus_of(&other.requests).max(*most);
        }
        let servers = servers.into_iter().filter(|(_, gpus)| *gpus > 0);
        Some(Self { limit, servers: servers.map(|(name, gpus)| (name.to_owned(), gpus)).collect() })
    }

    pub fn left(&self) -> u64 {
        let used = self.servers.iter().fold(0_u64, |sum, (_, gpus)| sum.saturating_add(*gpus));
        self.limit.saturating_sub(used)
    }

    /// When so many more may be had, if not now: never what is more than the limit itself.
    pub fn delays(&self, gpus: u32) -> Option<Availability> {
        match u64::from(gpus) {
            gpus if gpus > self.limit => Some(Availability::Never),
            gpus if gpus > self.left() => Some(Availability::Busy),
            _ => None,
        }
    }

    /// The limit, and what is in use of it.
    pub fn sentence(&self) -> String {
        let limit = match self.limit {
            0 => return "you may not use GPUs here".to_owned(),
            1 => "you may hold 1 GPU at once".to_owned(),
            limit => format!("you may hold {limit} GPUs at once"),
        };
        if self.servers.is_empty() {
            return limit;
        }
        let one = |(name, gpus): &(String, u64)| match name.as_str() {
            "" => format!("{gpus} by your default server"),
            name => format!("{gpus} by your server {name}"),
        };
        let servers: Vec<String> = self.servers.iter().map(one).collect();
        format!("{limit}; in use: {}", servers.join(", "))
    }
}
