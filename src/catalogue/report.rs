//! Collects the mistakes of one file, and knows where each stands.

use std::collections::BTreeSet;

use super::errors::{ConfigError, ConfigErrors};
use super::node::{Node, Path};
use super::yaml::Mistake;

/// The tree as far as it could be read, and what is wrong so far.
pub(super) struct Report {
    root: Node,
    errors: Vec<Mistake>,
    /// Written keys that have an error.
    keys: BTreeSet<String>,
}

impl Report {
    pub fn new(root: Node, mistakes: Vec<Mistake>) -> Self {
        let keys = mistakes.iter().map(|(_, key, _)| key.clone()).collect();
        Self { root, errors: mistakes, keys }
    }

    pub fn root(&self) -> &Node {
        &self.root
    }

    pub fn line(&self, path: &Path) -> usize {
        self.root.place(path).0
    }

    pub fn error(&mut self, path: &Path, message: impl Into<String>) {
        let (line, key) = self.root.place(path);
        self.keys.insert(key.clone());
        self.errors.push((line, key, message.into()));
    }

    /// Reports a value that cannot be read and cuts it out. False if nothing is left to cut.
    pub fn cut(&mut self, path: &Path, message: impl Into<String>) -> bool {
        self.error(path, message);
        self.root.remove(path)
    }

    /// Whether the value at a path, or one inside it, was reported: then its absence is no news.
    pub fn is_reported(&self, path: &Path) -> bool {
        let (_, key) = self.root.place(path);
        let inside =
            |other: &String| other.strip_prefix(&key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        self.keys.range(key.clone()..).take_while(|other| other.starts_with(&key)).any(inside)
    }

    /// Whether a sequence of the root, or a whole item of it, was reported.
    pub fn is_item_reported(&self, sequence: &str) -> bool {
        self.keys.iter().any(|key| key.strip_prefix(sequence).is_some_and(|rest| !rest.contains('.')))
    }

    /// The value, if nothing was wrong; otherwise everything that was, by line.
    pub fn finish<T>(self, file: &str, value: T) -> Result<T, ConfigErrors> {
        let mut errors = self.errors;
        if errors.is_empty() {
            return Ok(value);
        }
        errors.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let error = |(line, key, message)| ConfigError { file: file.to_owned(), line, key, message };
        Err(ConfigErrors(errors.into_iter().map(error).collect()))
    }
}
