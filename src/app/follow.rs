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
    /// Another text than last time, or one at all after there was none.
    Changed(String),
    /// Nothing new, be the file there or not.
    Same,
    Unreadable(std::io::Error),
}

#[derive(Debug)]
pub struct Follower {
    file: PathBuf,
    /// `None` while the file can't be read.
    last: Option<String>,
}

impl Follower {
    /// Follows a file whose present text is known.
    pub fn new(file: PathBuf, text: String) -> Self {
        Self { file, last: Some(text) }
    }

    /// The text as last read.
    pub fn text(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// Waits for the next look.
    pub async fn look(&mut self) -> Look {
        tokio::time::sleep(EVERY).await;
        match tokio::fs::read_to_string(&self.file).await {
            Ok(text) if self.last.as_ref() == Some(&text) => Look::Same,
            Ok(text) => {
                self.last = Some(text.clone());
                Look::Changed(text)
            }
            Err(_) if self.last.is_none() => Look::Same,
            Err(error) => {
                self.last = None;
                Look::Unreadable(error)
            }
        }
    }
}
