//! The JSON Schema of the file's format, made from the very types that read it. It stands in the chart, so that a typing
//! error is refused by name before anything is installed.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::format::File;
use super::values::{KindGlob, Span};

/// The schema of a whole catalogue.
#[must_use]
pub fn schema() -> Schema {
    schemars::schema_for!(File)
}

/// A Kubernetes quantity, quoted or not.
pub(super) struct QuantityText;

impl JsonSchema for QuantityText {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A Kubernetes quantity such as 500m or 8Gi",
            "type": ["string", "number"],
            "pattern": "^[+-]?[0-9.]+([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$"
        })
    }
}

/// A way of sharing a GPU.
pub(super) struct SharingWord;

impl JsonSchema for SharingWord {
    fn schema_name() -> Cow<'static, str> {
        "Sharing".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "enum": ["exclusive", "mig", "time-sliced", "mps"]})
    }
}

/// One of the words of `T`, or false: Helm takes a bare `no` for it.
pub(super) struct WordOrFalse<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for WordOrFalse<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [generator.subschema_for::<T>(), {"const": false}]})
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"description": "A length of time such as 20m or 1h30m", "type": "string"})
    }
}

impl JsonSchema for KindGlob {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "KindGlob".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"description": "A glob over the ids of kinds", "type": "string", "minLength": 1})
    }
}
