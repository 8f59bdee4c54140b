//! Values of the file that are checked while they are read: durations, globs, and words that YAML 1.1 takes for booleans.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use schemars::JsonSchema;
use serde::de::value::StrDeserializer;
use serde::de::{self, Deserializer, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

/// A length of time as people write it: `20m`, `1h30m`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpanVisitor)
    }
}

struct SpanVisitor;

impl Visitor<'_> for SpanVisitor {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as 20m or 1h30m")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
        let duration = humantime::parse_duration(text);
        duration.map(Span).map_err(|error| E::custom(format!("{text:?} is not a duration such as 20m or 1h30m ({error})")))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Span, E> {
        Err(E::custom(format!("{number} has no unit: write {number}s, or a duration such as 20m or 1h30m")))
    }
}

/// One pattern for kinds, known to compile.
#[derive(Clone, Debug)]
pub(super) struct KindGlob(String);

impl KindGlob {
    /// Every kind.
    pub fn any() -> Self {
        Self("*".to_owned())
    }
}

impl<'de> Deserialize<'de> for KindGlob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Err(de::Error::custom("is empty: write \"*\" for every kind"));
        }
        compile(&text).map_err(|error| de::Error::custom(format!("{text:?} is not a glob ({})", error.kind())))?;
        Ok(Self(text))
    }
}

/// Capital letters do not count: the ids are lower-case, the products' labels are not. `*` matches any text.
fn compile(text: &str) -> Result<globset::Glob, globset::Error> {
    GlobBuilder::new(text).case_insensitive(true).literal_separator(false).build()
}

/// A glob over names of resources, as the inventory matches it: `*` stays on its side of the slash.
pub(super) fn resource_glob(text: &str) -> Result<globset::Glob, globset::Error> {
    GlobBuilder::new(text).literal_separator(true).build()
}

/// The kinds of GPU that a profile takes, as globs over kind ids.
#[derive(Clone, Debug)]
pub struct KindFilter {
    patterns: Vec<String>,
    set: GlobSet,
}

impl KindFilter {
    pub(super) fn new(globs: Vec<KindGlob>) -> Result<Self, globset::Error> {
        let mut set = GlobSetBuilder::new();
        for KindGlob(text) in &globs {
            set.add(compile(text)?);
        }
        Ok(Self { set: set.build()?, patterns: globs.into_iter().map(|KindGlob(text)| text).collect() })
    }

    /// No kind at all.
    pub(super) fn none() -> Self {
        Self { patterns: Vec::new(), set: GlobSet::empty() }
    }

    /// Whether a kind, by its id such as `nvidia-a100-sxm4-80gb`, is one of these.
    #[must_use]
    pub fn matches(&self, id: &str) -> bool {
        self.set.is_match(id)
    }
}

impl PartialEq for KindFilter {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

/// Reads a word for which `no` is one answer. YAML 1.1, and so Helm, takes a bare `no` for `false`.
pub(super) fn word_or_false<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_any(WordVisitor(PhantomData))
}

struct WordVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for WordVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::deserialize(StrDeserializer::new(text))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<T, E> {
        if value { Err(E::invalid_type(Unexpected::Bool(true), &self)) } else { self.visit_str("no") }
    }
}

/// Makes an enum of fixed words: read and written as they stand in the catalogue.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }
    };
}

words! {
    /// Whether the pods of a profile without GPU stay off the nodes that have one.
    AvoidGpuNodes {
        /// They may run anywhere.
        #[default]
        No = "no",
        /// Only where nothing else has room.
        Preferred = "preferred",
        /// Never.
        Required = "required",
    }
}

words! {
    /// What a profile does with the shared code, where that is enabled at all.
    SharedCodeUse {
        /// Nothing.
        #[default]
        No = "no",
        /// An option on the form, which pins to the nodes that have it.
        Ask = "ask",
        /// Always pinned to the nodes that have it.
        Required = "required",
    }
}

words! {
    /// What happens to a spawn while nothing is free.
    WhenFull {
        /// The pod is made and waits for its GPU.
        #[default]
        Wait = "wait",
        /// The spawn is refused.
        Refuse = "refuse",
    }
}

words! {
    /// Which pods get the mount of the shared code.
    SharedCodeMount {
        /// Those that can only land on nodes that have it.
        #[default]
        WhereCertain = "where-certain",
        /// All; an empty directory is made on every other node.
        BestEffort = "best-effort",
    }
}

words! {
    /// Kubernetes' own words for when the kubelet pulls an image.
    ImagePullPolicy {
        /// At every start.
        Always = "Always",
        /// Only where it is missing.
        #[default]
        IfNotPresent = "IfNotPresent",
        /// It must be there.
        Never = "Never",
    }
}

words! {
    /// What a bare number of memory counts.
    MemoryUnit {
        /// Bytes.
        B = "B",
        /// 1024 bytes.
        KiB = "KiB",
        /// 1024 KiB.
        #[default]
        MiB = "MiB",
        /// 1024 MiB.
        GiB = "GiB",
    }
}
