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
    let (named, digest) = path.split_once('@').map_or((path.as_str(), None), |(named, digest)| (named, Some(digest)));
    let (repository, tag) = named.rsplit_once(':').unwrap_or((named, "latest"));
    match digest {
        // It says all: a runtime takes no notice of a tag in front, and a node does not list both together.
        Some(digest) => format!("{host}/{repository}@{digest}"),
        None => format!("{host}/{repository}:{tag}"),
    }
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
            ("quay.io/a/b:2@sha256:00", "quay.io/a/b@sha256:00"),
            ("registry:5000/a:2@sha256:00", "registry:5000/a@sha256:00"),
            ("python:3@sha256:00", "docker.io/library/python@sha256:00"),
        ] {
            assert_eq!(normalise(short), full);
        }
    }
}
