//! What is wrong with a catalogue: each mistake with its file, line and key, all of them at once.

use std::fmt;

/// One mistake, at one place of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file as the caller named it.
    pub file: String,
    /// Line in the file, the first is 1. Of a missing key it is the line of the mapping that lacks it.
    pub line: usize,
    /// Where in the document: `profiles[1].memory.limit`. Empty when the text is no YAML at all.
    pub key: String,
    /// What is wrong and, where it helps, what to write.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, key, message } = self;
        if key.is_empty() { write!(f, "{file}:{line}: {message}") } else { write!(f, "{file}:{line}: {key}: {message}") }
    }
}

/// Every mistake of one file, in the order of its lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}
