//! The room's tests: rules one by one (`rules`), how a file is read (`reading`), and what it comes to (`outcome`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::format_push_string)]
#![allow(clippy::duration_suboptimal_units, clippy::format_collect)]

mod names;
mod outcome;
mod reading;
mod rules;

use super::*;

/// The errors of a text as (line, key, message). Empty if there are none.
fn errors(text: &str) -> Vec<(usize, String, String)> {
    match Catalogue::parse("catalogue.yaml", text) {
        Ok(_) => Vec::new(),
        Err(ConfigErrors(errors)) => errors.into_iter().map(|error| (error.line, error.key, error.message)).collect(),
    }
}

fn parsed(text: &str) -> Catalogue {
    Catalogue::parse("catalogue.yaml", text).unwrap_or_else(|errors| panic!("{errors}\nin\n{text}"))
}

/// Asserts that a text has exactly these errors: (line, key, part of the message).
fn assert_errors(what: &str, text: &str, expected: &[(usize, &str, &str)]) {
    let found = errors(text);
    let same = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(found, expected)| (found.0, found.1.as_str()) == (expected.0, expected.1) && found.2.contains(expected.2));
    assert!(same, "{what}: expected {expected:#?}, found {found:#?}, in\n{text}");
}

/// A catalogue of one CPU profile. The lines given here are its first keys and begin at line 3 of the text; what a profile must
/// have and they lack follows.
fn cpu(lines: &str) -> String {
    profile(lines, &["slug: cpu", "title: CPU", "image: ml-cpu"])
}

/// The same with a GPU.
fn gpu(lines: &str) -> String {
    profile(lines, &["slug: gpu", "title: GPU", "image: ml-gpu", "gpu: {}"])
}

fn profile(lines: &str, needed: &[&str]) -> String {
    let has = |needed: &str| lines.lines().any(|line| line.split(':').next() == needed.split(':').next());
    let image_list = lines.contains("images:");
    let rest = needed.iter().copied().filter(|needed| !has(needed) && (!image_list || !needed.starts_with("image:")));
    let body: String = lines.lines().chain(rest).map(|line| format!("    {line}\n")).collect();
    format!("profiles:\n  -\n{body}")
}

/// A good profile, to put behind what a case is about.
const PROFILES: &str = "profiles:\n  - {slug: cpu, title: CPU, image: ml-cpu}\n";
