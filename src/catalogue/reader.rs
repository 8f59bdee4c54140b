//! From text to the types of [`super::format`], past as many mistakes as there are.
//!
//! Serde stops at the first value it cannot take. That value is reported, cut out of the tree, and the rest is read again, until
//! serde has nothing to say. What remains is checked by [`super::check`].

use serde_json::Value;
use serde_path_to_error::Segment;

use super::format::File;
use super::node::{Content, Node, Path, Step};
use super::report::Report;
use super::yaml;

/// Keys below which a null has a meaning.
const NULL_MEANS_NOTHING: [&str; 4] = ["limits", "expandable", "gpuResources", "base"];
/// A file with more mistakes than this is not the file that was meant.
const MOST_MISTAKES: usize = 500;

/// Reads a text. `None` in place of the file: nothing in it can be checked.
pub(super) fn read(text: &str) -> (Report, Option<File>) {
    let document = yaml::read(text);
    let root = document.root.unwrap_or(Node { line: 1, content: Content::Scalar(Value::Null) });
    let unreadable = document.mistakes.iter().any(|(_, key, _)| key.is_empty());
    let empty = matches!(root.content, Content::Scalar(Value::Null));
    let mut report = Report::new(root, document.mistakes);
    if unreadable {
        return (report, None);
    }
    if report.root().items().is_some() {
        report.error(&Path::default(), "the file is a list, expected a mapping with the keys of a catalogue");
        return (report, None);
    }
    if empty {
        report.error(&Path::root("profiles"), "the file is empty: a catalogue needs at least one profile");
        return (report, None);
    }
    for path in report.root().nulls(|key| !NULL_MEANS_NOTHING.contains(&key)) {
        report.cut(&path, "has no value: write one, or leave the key out");
    }
    for path in lists_for_mappings(report.root()) {
        report.cut(&path, "is a list: write a mapping, key by key");
    }
    for _ in 0..MOST_MISTAKES {
        let json = report.root().to_json();
        match serde_path_to_error::deserialize::<_, File>(&json) {
            Ok(file) => return (report, Some(file)),
            Err(error) => {
                let path = path_of(error.path());
                if !report.cut(&path, sentence(&error.inner().to_string())) {
                    break;
                }
            }
        }
    }
    (report, None)
}

/// Where a list stands for a mapping. Serde would take its items for the fields in order, and nobody means that. Of a list
/// the last item comes first, so that cutting out one leaves the other paths right.
fn lists_for_mappings(root: &Node) -> Vec<Path> {
    let mut paths: Vec<Path> = ["sharedCode", "limits", "base"].map(Path::root).into();
    for (list, keys) in
        [("profiles", ["cpu", "memory", "gpu", "access", "perNode"].as_slice()), ("volumes", &["emptyDir"]), ("expandable", &[])]
    {
        let list = Path::root(list);
        for item in (0..root.find(&list).and_then(Node::items).unwrap_or(0)).rev().map(|index| list.index(index)) {
            paths.extend(keys.iter().map(|key| item.key(key)));
            paths.push(item);
        }
    }
    paths.retain(|path| root.find(path).is_some_and(|node| node.items().is_some()));
    paths
}

fn path_of(path: &serde_path_to_error::Path) -> Path {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    Path(path.iter().filter_map(step).collect())
}

/// Serde's words in ours.
fn sentence(message: &str) -> String {
    let mut message = message.replace('`', "\"").replace("expected u32", "expected a whole number");
    for (theirs, ours) in
        [("unknown field ", "unknown key "), ("unknown variant ", "unknown word "), ("invalid type: ", "wrong type: ")]
    {
        if let Some(rest) = message.strip_prefix(theirs) {
            message = format!("{ours}{rest}");
        }
    }
    let bare = ["wrong type: integer", "wrong type: floating point", "wrong type: boolean"];
    if message.ends_with("expected a string") && bare.iter().any(|start| message.starts_with(start)) {
        message.push_str(" (put it in quotes)");
    }
    message
}
