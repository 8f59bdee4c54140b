//! YAML text to a [`Node`] tree.
//!
//! The scanner is granit-parser, the one below serde-saphyr. Of its events this file keeps what a catalogue can mean: one
//! document, text keys, each once, scalars by the core schema of YAML 1.2 (so `no` and `on` are words). Aliases are copied in,
//! within [`MOST_NODES`], so that a small file cannot grow without end. Tags and merge keys are refused rather than ignored.

use std::collections::HashMap;
use std::fmt::Write as _;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, options};
use serde_json::{Number, Value};

use super::node::{Content, Node, push_key};

/// Values a document may have, aliases written out. A catalogue of a hundred profiles has some 5,000.
const MOST_NODES: usize = 50_000;
/// Levels a document may have; the catalogue's own format needs 8.
const MOST_LEVELS: usize = 64;
/// Bytes a text may have: more than a ConfigMap can hold (1 MiB).
const MOST_BYTES: usize = 1 << 20;

/// A mistake in the text itself: line, key (empty if the text cannot be read on), message.
pub(super) type Mistake = (usize, String, String);

/// What became of a text: the tree as far as it could be read, and the mistakes met on the way.
pub(super) struct Document {
    /// `None` for a text without any value, or one that cannot be read on.
    pub root: Option<Node>,
    pub mistakes: Vec<Mistake>,
}

/// Reads a text. If it is no YAML the mistakes end with the reason.
pub(super) fn read(text: &str) -> Document {
    let mut mistakes = Vec::new();
    if text.len() > MOST_BYTES {
        mistakes.push((1, String::new(), format!("the file is larger than {MOST_BYTES} bytes, the most a ConfigMap can hold")));
        return Document { root: None, mistakes };
    }
    // Comments are not wanted; as events, many in a row would be an error.
    let parser = Parser::new_from_str_with_options(text, options! { emit_comments: false });
    let mut builder = Builder { parser, anchors: HashMap::new(), room: MOST_NODES, key: String::new(), mistakes };
    let root = builder.document().unwrap_or_else(|Unreadable { line, message }| {
        builder.mistakes.push((line, String::new(), message));
        None
    });
    Document { root, mistakes: builder.mistakes }
}

/// Reading cannot go on.
struct Unreadable {
    line: usize,
    message: String,
}

impl Unreadable {
    fn new(line: usize, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// Finished anchored values by the parser's number for them.
    anchors: HashMap<usize, Node>,
    /// Values that may still be made.
    room: usize,
    /// The written key of the value being read.
    key: String,
    mistakes: Vec<Mistake>,
}

impl<'a> Builder<'a> {
    /// The next event that carries data, and the line it begins at. `None` at the end.
    fn next(&mut self) -> Result<Option<(Event<'a>, usize)>, Unreadable> {
        while let Some(event) = self.parser.next_event() {
            let (event, span): (Event<'a>, Span) =
                event.map_err(|error| Unreadable::new(error.marker().line(), format!("not YAML: {}", error.info())))?;
            match event {
                Event::StreamEnd => return Ok(None),
                Event::DocumentStart(..)
                | Event::Alias(_)
                | Event::Scalar(..)
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingStart(..)
                | Event::MappingEnd => return Ok(Some((event, span.start.line()))),
                _ => {}
            }
        }
        Ok(None)
    }

    fn document(&mut self) -> Result<Option<Node>, Unreadable> {
        let mut root = None;
        while let Some((event, line)) = self.next()? {
            match event {
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(Unreadable::new(line, "a second document begins here: a catalogue is one YAML document"));
                }
                Event::DocumentStart(..) => {}
                event => root = Some(self.node(event, line, 1)?),
            }
        }
        Ok(root)
    }

    fn node(&mut self, event: Event<'a>, line: usize, level: usize) -> Result<Node, Unreadable> {
        self.spend(1, line)?;
        if level > MOST_LEVELS {
            return Err(Unreadable::new(line, format!("nested deeper than {MOST_LEVELS} levels")));
        }
        let (anchor, content) = match event {
            Event::Alias(anchor) => return self.alias(anchor, line, level),
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), line);
                (anchor, Content::Scalar(if style == ScalarStyle::Plain { plain(&text) } else { Value::from(text.as_ref()) }))
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.is_some(), line);
                (anchor, self.sequence(level)?)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.is_some(), line);
                (anchor, self.mapping(level)?)
            }
            _ => return Err(Unreadable::new(line, "a value is missing here")),
        };
        let node = Node { line, content };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, line: usize, level: usize) -> Result<Node, Unreadable> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(Unreadable::new(line, "an alias stands inside the value that it names"));
        };
        if level + node.depth() > MOST_LEVELS {
            return Err(Unreadable::new(line, format!("nested deeper than {MOST_LEVELS} levels")));
        }
        self.spend(node.size(), line)?;
        Ok(Node { line, ..node })
    }

    fn sequence(&mut self, level: usize) -> Result<Content, Unreadable> {
        let mut items = Vec::new();
        while let Some((event, line)) = self.next()? {
            if event == Event::SequenceEnd {
                break;
            }
            let outer = self.key.len();
            let _ = write!(self.key, "[{}]", items.len());
            items.push((items.len(), self.node(event, line, level + 1)?));
            self.key.truncate(outer);
        }
        Ok(Content::Sequence(items))
    }

    fn mapping(&mut self, level: usize) -> Result<Content, Unreadable> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        while let Some((event, line)) = self.next()? {
            let name = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(Unreadable::new(line, "a key must be plain text")),
            };
            let Some((event, value_line)) = self.next()? else {
                return Err(Unreadable::new(line, "a value is missing here"));
            };
            let outer = self.key.len();
            push_key(&mut self.key, &name);
            let node = self.node(event, value_line, level + 1)?;
            if let Some((_, first)) = entries.iter().find(|(other, _)| *other == name) {
                let message = format!("is given twice, first at line {}", first.line);
                self.mistakes.push((line, self.key.clone(), message));
            } else if name == "<<" {
                let message = "YAML merge keys are not read here: write the keys out".to_owned();
                self.mistakes.push((line, self.key.clone(), message));
            } else {
                entries.push((name, Node { line, ..node }));
            }
            self.key.truncate(outer);
        }
        Ok(Content::Mapping(entries))
    }

    fn refuse_tag(&mut self, tagged: bool, line: usize) {
        if tagged {
            self.mistakes.push((
                line,
                self.key.clone(),
                "YAML tags such as !!str are not read here: quote texts instead".to_owned(),
            ));
        }
    }

    fn spend(&mut self, nodes: usize, line: usize) -> Result<(), Unreadable> {
        self.room = self.room.checked_sub(nodes).ok_or_else(|| {
            Unreadable::new(line, format!("the document holds more than {MOST_NODES} values, aliases written out"))
        })?;
        Ok(())
    }
}

/// A scalar without quotes, by the core schema (YAML 1.2.2 §10.3.2). Infinities and NaN stay words: no key takes them.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let radix = |prefix, radix| text.strip_prefix(prefix).and_then(|digits| u64::from_str_radix(digits, radix).ok());
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Value::from(number);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let has_digit = unsigned.strip_prefix('.').unwrap_or(unsigned).starts_with(|c: char| c.is_ascii_digit());
    if !has_digit {
        return Value::from(text);
    }
    if let Ok(number) = text.parse::<i64>() {
        return Value::from(number);
    }
    if let Ok(number) = text.parse::<u64>() {
        return Value::from(number);
    }
    // Rust's floats have the grammar of the core schema, once words such as `inf` are out.
    text.parse().ok().and_then(Number::from_f64).map_or_else(|| Value::from(text), Value::Number)
}
