//! Image references, compared as a container runtime resolves them.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// A reference in its full form: `docker.io/library/` and `:latest` where they are implied.
pub fn normalise(reference: &str) -> String {
    let (host, path) = match reference.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest.to_owned()),
        Some(_) => ("docker.io", reference.to_owned()),
        None => ("docker.io", format!("library/{reference}")),
    };
    let name = path.rsplit('/').next().unwrap_or_default();
    let tag = if name.contains([':', '@']) { "" } else { ":latest" };
    format!("{host}/{path}{tag}")
}

/// A number that stands for a reference. A node lists up to 50 images of several names each, and all that is asked of
/// them is whether one is there: eight bytes do.
pub fn fingerprint(reference: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    normalise(reference).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn implied_parts_are_filled_in() {
        for (short, full) in [
            ("python", "docker.io/library/python:latest"),
            ("jupyter/scipy:1", "docker.io/jupyter/scipy:1"),
            ("quay.io/a/b", "quay.io/a/b:latest"),
            ("localhost/a@sha256:00", "localhost/a@sha256:00"),
            ("registry:5000/a:2", "registry:5000/a:2"),
        ] {
            assert_eq!(normalise(short), full);
        }
    }
}
