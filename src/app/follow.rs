//! Follows a file: gives its text whenever that changed.
//!
//! The file is read every second. A mounted ConfigMap changes by a swap of links and a network file system tells nobody,
//! so asking is the one way that always works; both files are small.

use std::path::PathBuf;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(1);

/// What was found on a look at the file.
#[derive(Debug)]
pub enum Look {
    Changed(String),
    Same,
    Unreadable(std::io::Error),
}

#[derive(Debug)]
pub struct Follower {
    file: PathBuf,
    last: String,
}

impl Follower {
    /// Follows a file whose present text is known.
    pub fn new(file: PathBuf, text: String) -> Self {
        Self { file, last: text }
    }

    /// The text as last read.
    pub fn text(&self) -> &str {
        &self.last
    }

    /// Waits for the next look.
    pub async fn look(&mut self) -> Look {
        tokio::time::sleep(EVERY).await;
        match tokio::fs::read_to_string(&self.file).await {
            Ok(text) if text == self.last => Look::Same,
            Ok(text) => {
                self.last.clone_from(&text);
                Look::Changed(text)
            }
            Err(error) => Look::Unreadable(error),
        }
    }
}
