//! What the hub's configuration asked of each server's pod when it last asked for that form. An open form asks for newer
//! numbers without the hub, and must be told of the same pod; a base holds what is the user's own, such as the home's claim,
//! so nobody is judged by somebody else's.

use std::sync::Arc;

use moka::sync::Cache;

use crate::domain::base::Base;
use crate::spawn::holds::Owner;

/// Bases kept at most; the least used go first.
const MOST: u64 = 10_000;

#[derive(Clone, Debug)]
pub struct Bases(Cache<Owner, Arc<Base>>);

impl Default for Bases {
    fn default() -> Self {
        Self(Cache::new(MOST))
    }
}

impl Bases {
    pub fn keep(&self, owner: Owner, base: Base) {
        self.0.insert(owner, Arc::new(base));
    }

    /// Whether the hub has asked for the form of this server.
    pub fn knows(&self, owner: &Owner) -> bool {
        self.0.contains_key(owner)
    }

    /// The base of a server, or what the catalogue says where the hub has not asked for it yet.
    pub fn of(&self, owner: &Owner, catalogue: &Base) -> Arc<Base> {
        self.0.get(owner).unwrap_or_else(|| Arc::new(catalogue.clone()))
    }
}
