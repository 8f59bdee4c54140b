//! The direction of imports: a room uses only the rooms below it, and only the crates that it may.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Rooms of this crate that a room may use.
fn allowed_rooms() -> BTreeMap<&'static str, Vec<&'static str>> {
    BTreeMap::from([
        ("domain", vec![]),
        ("inventory", vec!["domain"]),
        ("catalogue", vec!["domain"]),
        ("profiles", vec!["domain", "catalogue"]),
        ("spawn", vec!["domain", "catalogue", "profiles"]),
        ("http", vec!["domain", "inventory", "catalogue", "profiles", "spawn"]),
    ])
}

/// Crates that a room must not name: reading the cluster is the inventory's, answering is HTTP's.
fn forbidden_crates(room: &str) -> Vec<&'static str> {
    let everything =
        vec!["kube", "k8s_openapi", "actix_web", "tokio", "reqwest", "moka", "prometheus", "clap", "jiff", "tracing"];
    match room {
        "domain" | "catalogue" | "profiles" | "spawn" => everything,
        "inventory" => vec!["actix_web", "reqwest", "moka", "prometheus", "clap"],
        "http" => vec!["kube", "k8s_openapi", "clap"],
        _ => vec![],
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every `crate::room` and every `name::` of an outside crate in a line of code.
fn mentions(line: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap_or_default();
    let words = code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    words.filter(|word| word.contains("::")).map(|word| word.trim_start_matches("::").to_owned()).collect()
}

#[test]
fn each_room_uses_only_what_it_may() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let allowed = allowed_rooms();
    let mut broken = Vec::new();
    let mut checked = 0;
    for file in files {
        let relative = file.strip_prefix(&src).expect("below src");
        let room = relative.iter().next().and_then(|part| Path::new(part).file_stem()?.to_str()).expect("a room").to_owned();
        let Some(rooms) = allowed.get(room.as_str()) else { continue };
        for line in std::fs::read_to_string(&file).expect("a source").lines() {
            for mention in mentions(line) {
                checked += 1;
                let mut parts = mention.split("::");
                let first = parts.next().unwrap_or_default();
                let bad = match (first, parts.next()) {
                    ("crate", Some("")) => true, // `use crate::{…}` would hide which rooms are used
                    ("crate", Some(used)) => used != room && !rooms.contains(&used),
                    (outside, _) => forbidden_crates(&room).contains(&outside),
                };
                if bad {
                    broken.push(format!("{}: {}", relative.display(), line.trim()));
                }
            }
        }
    }
    assert!(checked > 500, "only {checked} paths were seen: the test no longer reads the sources");
    assert!(broken.is_empty(), "imports against the direction of the rooms:\n{}", broken.join("\n"));
}

#[test]
fn a_wrong_import_would_be_seen() {
    assert_eq!(mentions("use crate::http::View; // kube::Client"), ["crate::http::View"]);
    assert_eq!(mentions("    let client: kube::Client = x;"), ["kube::Client"]);
}
