//! The catalogue: the one file in which an administrator says what users can be offered.
//!
//! This room owns the file's format, its rules and its defaults. A text goes through three steps, each of which goes on after a
//! mistake, so that [`Catalogue::parse`] answers either a catalogue that needs no further check or all that is wrong with it,
//! every mistake with file, line and key:
//!
//! ```text
//! text ──yaml──▶ tree with lines ──reader──▶ types of `format` ──check──▶ `Catalogue`
//!                      └────────── report: mistakes so far ──────────┘
//! ```
//!
//! It reads no file and watches none: reload is the caller's, who keeps the old catalogue when the new text has mistakes.

mod capacity;
mod check;
mod errors;
mod format;
mod images;
mod model;
mod names;
mod node;
mod profile;
mod reader;
mod redirects;
mod report;
mod schema;
mod template;
mod values;
mod volumes;
mod yaml;

#[cfg(test)]
mod tests;

pub use errors::{ConfigError, ConfigErrors};
pub use model::{
    Access, Catalogue, GpuRequest, ImageChoice, Limits, PerNode, Profile, Resources, SharedCode, Volume, VolumeSource,
};
pub use schema::schema;
pub use values::{AvoidGpuNodes, ImagePullPolicy, KindFilter, SharedCodeMount, SharedCodeUse, WhenFull};

/// What is offered where nobody wrote a catalogue: the profiles of the seed.
pub const BUILT_IN: &str = include_str!("catalogue/default.yaml");

impl Catalogue {
    /// Reads and checks a catalogue. `file_name` is only what errors call it.
    ///
    /// # Errors
    /// Everything that is wrong with the text, in the order of its lines.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, ConfigErrors> {
        let (mut report, file) = reader::read(text);
        let catalogue = file.map(|file| check::catalogue(file, &mut report));
        let catalogue = report.finish(file_name, catalogue)?;
        catalogue.ok_or_else(|| {
            let message = "cannot be read".to_owned();
            ConfigErrors(vec![ConfigError { file: file_name.to_owned(), line: 1, key: String::new(), message }])
        })
    }

    /// The built-in catalogue, [`BUILT_IN`].
    ///
    /// # Errors
    /// Never in a build whose tests passed; it goes the way of every other catalogue.
    pub fn built_in() -> Result<Self, ConfigErrors> {
        Self::parse("built-in catalogue", BUILT_IN)
    }
}
