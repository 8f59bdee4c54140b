//! What the names in a catalogue may look like. Each check answers yes or no; the sentence is the caller's.

/// Longest name of one label of DNS, and of a label's value.
const LABEL: usize = 63;
/// Longest name of most Kubernetes objects.
const SUBDOMAIN: usize = 253;

/// RFC 1123 label: a namespace, the name of a volume.
pub(super) fn is_dns_label(name: &str) -> bool {
    name.len() <= LABEL && between_alphanumerics(name, |c| c.is_ascii_lowercase() || c.is_ascii_digit(), |c| c == '-')
}

/// RFC 1123 subdomain: the name of a claim, a secret, a priority class.
pub(super) fn is_dns_subdomain(name: &str) -> bool {
    let part = |part| between_alphanumerics(part, |c| c.is_ascii_lowercase() || c.is_ascii_digit(), |c| c == '-');
    name.len() <= SUBDOMAIN && name.split('.').all(part)
}

/// The key of a label or a taint: a name, with an optional `domain/` in front.
pub(super) fn is_qualified_name(key: &str) -> bool {
    let name = match key.split_once('/') {
        Some((domain, name)) if is_dns_subdomain(domain) => name,
        Some(_) => return false,
        None => key,
    };
    !name.is_empty() && is_label_value(name)
}

/// The value of a label. May be empty.
pub(super) fn is_label_value(value: &str) -> bool {
    value.is_empty()
        || value.len() <= LABEL && between_alphanumerics(value, |c| c.is_ascii_alphanumeric(), |c| matches!(c, '-' | '_' | '.'))
}

/// The name of an environment variable that every shell can read.
pub(super) fn is_environment_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A slug: goes into form field names, HTML ids, URLs and pod labels as it is.
pub(super) fn is_slug(slug: &str) -> bool {
    slug.len() <= LABEL
        && between_alphanumerics(slug, |c| c.is_ascii_lowercase() || c.is_ascii_digit(), |c| matches!(c, '-' | '_'))
}

/// Not empty, `edge` at both ends, `edge` or `inner` between.
fn between_alphanumerics(text: &str, edge: impl Fn(char) -> bool, inner: impl Fn(char) -> bool) -> bool {
    text.starts_with(&edge) && text.ends_with(&edge) && text.chars().all(|c| edge(c) || inner(c))
}

/// Why a path cannot be a mount point or a directory of a node, or `None` if it can.
pub(super) fn path_problem(path: &str) -> Option<&'static str> {
    let Some(below) = path.strip_prefix('/') else { return Some("must begin with /") };
    if below.is_empty() {
        return Some("must not be / itself");
    }
    if path.contains([':', '\0', '\n']) {
        return Some("must not contain a colon or a line break");
    }
    match below.split('/').find(|part| matches!(*part, "" | "." | "..")) {
        Some("") => Some("must not contain // or end in /"),
        Some(_) => Some("must not contain . or .. as a part"),
        None => None,
    }
}

/// Why a text is no image reference, or `None` if it is one: `[host[:port]/]path[:tag][@digest]`, as in the distribution
/// project's reference grammar.
pub(super) fn image_problem(reference: &str) -> Option<&'static str> {
    let (named, digest) = reference.split_once('@').map_or((reference, None), |(named, digest)| (named, Some(digest)));
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return Some("its digest is not of the form sha256:<64 hex digits>");
    }
    // A colon behind the last slash is the tag's; before it, a port's.
    let last = named.rfind('/').map_or(0, |slash| slash + 1);
    let (repository, tag) = match named.rfind(':').filter(|colon| *colon >= last) {
        Some(colon) => named.split_at_checked(colon).map_or((named, None), |(head, tail)| (head, tail.strip_prefix(':'))),
        None => (named, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Some("its tag must be 1 to 128 letters, digits, _ . and -");
    }
    let (host, path) = repository.split_once('/').filter(|(host, _)| is_host(host)).unwrap_or(("", repository));
    if !host.is_empty() && registry_problem(host).is_some() {
        return Some("its host is not a host name with an optional port");
    }
    (!path.split('/').all(is_path_part)).then_some("its path must be lower-case letters, digits, - _ . and /")
}

/// Why a text cannot stand in front of image names, or `None` if it can: `host[:port][/path]`, no scheme.
pub(super) fn registry_problem(registry: &str) -> Option<&'static str> {
    if registry.contains("://") {
        return Some("must have no scheme in front: write the host, then the project");
    }
    let (host, path) = registry.split_once('/').map_or((registry, None), |(host, path)| (host, Some(path)));
    let (name, port) = host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let good_name = name.split('.').all(|part| between_alphanumerics(part, |c| c.is_ascii_alphanumeric(), |c| c == '-'));
    if !good_name || port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Some("must begin with a host name, with an optional port");
    }
    path.is_some_and(|path| !path.split('/').all(is_path_part))
        .then_some("its path must be lower-case letters, digits, - _ . and /, and not end in /")
}

/// A part of an image's path.
fn is_path_part(part: &str) -> bool {
    between_alphanumerics(part, |c| c.is_ascii_lowercase() || c.is_ascii_digit(), |c| matches!(c, '-' | '_' | '.'))
}

/// What tells the host of a reference from the first part of its path.
fn is_host(part: &str) -> bool {
    part == "localhost" || part.contains(['.', ':'])
}

fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        let length = match algorithm {
            "sha256" => 64,
            "sha512" => 128,
            _ => return false,
        };
        hex.len() == length && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}
