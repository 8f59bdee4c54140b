//! The document as a tree that remembers lines, and paths into it.
//!
//! Serde reads the plain [`serde_json::Value`] that [`Node::to_json`] makes; this tree answers where a value of it stood. A part
//! that cannot be read is cut out ([`Node::remove`]) so that the rest can be read and checked too. Items of a sequence therefore
//! carry the index that they had in the file: errors name that one.

use std::fmt::Write as _;

use serde_json::Value;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The line of its key, or of itself where it has none. The first is 1.
    pub line: usize,
    pub content: Content,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Null, boolean, number or text.
    Scalar(Value),
    /// Items with the index that each had in the file.
    Sequence(Vec<(usize, Node)>),
    /// Entries in the order of the file, keys unique.
    Mapping(Vec<(String, Node)>),
}

/// One step from a value to one that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    /// Position among the items that are left, as serde counts them.
    Index(usize),
}

/// The way from the root to a value, existing or missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Path(pub Vec<Step>);

impl Path {
    /// The path of one key of the document.
    pub fn root(key: &str) -> Self {
        Self::default().key(key)
    }

    pub fn key(&self, key: &str) -> Self {
        self.step(Step::Key(key.to_owned()))
    }

    pub fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl Node {
    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::Sequence(items) => items.iter().map(|(_, node)| node.to_json()).collect(),
            Content::Mapping(entries) => entries.iter().map(|(key, node)| (key.clone(), node.to_json())).collect(),
        }
    }

    /// Values in this tree, itself included.
    pub fn size(&self) -> usize {
        1 + self.children().map(Self::size).sum::<usize>()
    }

    /// Levels of this tree; 1 for a scalar.
    pub fn depth(&self) -> usize {
        1 + self.children().map(Self::depth).max().unwrap_or(0)
    }

    fn children(&self) -> Box<dyn Iterator<Item = &Self> + '_> {
        match &self.content {
            Content::Scalar(_) => Box::new(std::iter::empty()),
            Content::Sequence(items) => Box::new(items.iter().map(|(_, node)| node)),
            Content::Mapping(entries) => Box::new(entries.iter().map(|(_, node)| node)),
        }
    }

    /// The child one step below with the index that it had in the file.
    fn child(&self, step: &Step) -> Option<(usize, &Self)> {
        match (&self.content, step) {
            (Content::Sequence(items), Step::Index(index)) => items.get(*index).map(|(original, node)| (*original, node)),
            (Content::Mapping(entries), Step::Key(key)) => {
                entries.iter().find(|(name, _)| name == key).map(|(_, node)| (0, node))
            }
            _ => None,
        }
    }

    /// The value at a path.
    pub fn find(&self, path: &Path) -> Option<&Self> {
        path.0.iter().try_fold(self, |node, step| node.child(step).map(|(_, child)| child))
    }

    /// The items, if it is a sequence.
    pub fn items(&self) -> Option<usize> {
        match &self.content {
            Content::Sequence(items) => Some(items.len()),
            _ => None,
        }
    }

    /// The line and the written key of a path. What is missing stands at the line of the nearest value around it.
    pub fn place(&self, path: &Path) -> (usize, String) {
        let (mut line, mut key, mut node) = (self.line, String::new(), Some(self));
        for step in &path.0 {
            let child = node.and_then(|node| node.child(step));
            match step {
                Step::Key(name) => push_key(&mut key, name),
                Step::Index(index) => {
                    let _ = write!(key, "[{}]", child.map_or(*index, |(original, _)| original));
                }
            }
            node = child.map(|(_, node)| node);
            line = node.map_or(line, |node| node.line);
        }
        (line, key)
    }

    /// Cuts a value out. False if there is none at the path, or if it is the root.
    pub fn remove(&mut self, path: &Path) -> bool {
        let Some((last, around)) = path.0.split_last() else { return false };
        let mut node = self;
        for step in around {
            let child = match (&mut node.content, step) {
                (Content::Sequence(items), Step::Index(index)) => items.get_mut(*index).map(|(_, child)| child),
                (Content::Mapping(entries), Step::Key(key)) => {
                    entries.iter_mut().find(|(name, _)| name == key).map(|(_, child)| child)
                }
                _ => None,
            };
            match child {
                Some(child) => node = child,
                None => return false,
            }
        }
        match (&mut node.content, last) {
            (Content::Sequence(items), Step::Index(index)) if *index < items.len() => {
                items.remove(*index);
                true
            }
            (Content::Mapping(entries), Step::Key(key)) => {
                let before = entries.len();
                entries.retain(|(name, _)| name != key);
                entries.len() < before
            }
            _ => false,
        }
    }

    /// The paths of all nulls below the keys of the root for which `within` holds; of a sequence the last comes first, so that
    /// cutting out one leaves the other paths right.
    pub fn nulls(&self, within: impl Fn(&str) -> bool) -> Vec<Path> {
        let mut found = Vec::new();
        if let Content::Mapping(entries) = &self.content {
            for (key, node) in entries.iter().filter(|(key, _)| within(key)) {
                node.collect_nulls(&Path::root(key), &mut found);
            }
        }
        found
    }

    fn collect_nulls(&self, path: &Path, found: &mut Vec<Path>) {
        match &self.content {
            Content::Scalar(Value::Null) => found.push(path.clone()),
            Content::Scalar(_) => {}
            Content::Sequence(items) => {
                for (index, (_, node)) in items.iter().enumerate().rev() {
                    node.collect_nulls(&path.index(index), found);
                }
            }
            Content::Mapping(entries) => {
                for (key, node) in entries {
                    node.collect_nulls(&path.key(key), found);
                }
            }
        }
    }
}

/// Appends a key as people write it: `.limit`, or `["kubernetes.io/arch"]` where the name itself has dots and the like.
pub(super) fn push_key(written: &mut String, key: &str) {
    if !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        if !written.is_empty() {
            written.push('.');
        }
        written.push_str(key);
    } else {
        let _ = write!(written, "[{key:?}]");
    }
}
