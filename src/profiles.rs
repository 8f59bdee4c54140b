//! Profiles: what one user may choose now. Snapshot, catalogue and identity in; offers with availability and reasons out.

pub mod choices;
pub mod claims;
pub mod hidden;
mod keep_off;
pub mod last;
pub mod limits;
pub mod offer;
pub mod plan;
pub mod refusal;
pub mod slug;
pub mod survey;
mod tolerations;
pub mod waiting;

use serde::Deserialize;

use crate::catalogue::Profile;

/// Who asks, as the hub knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct User {
    pub name: String,
    #[serde(default)]
    pub groups: Vec<String>,
    #[serde(default)]
    pub admin: bool,
}

impl User {
    /// No groups on a profile means everyone.
    pub fn may_use(&self, profile: &Profile) -> bool {
        let groups = &profile.access.groups;
        groups.is_empty() || groups.iter().any(|group| self.groups.contains(group))
    }
}
