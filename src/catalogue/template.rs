//! Texts that KubeSpawner expands with Python's `str.format` when it makes the pod.
//!
//! A brace that does not belong there makes every spawn fail with a `KeyError` or `ValueError`, long after the catalogue was
//! accepted, so it is refused here. Seen in KubeSpawner 7.1: `KubeSpawner._expand_user_properties` formats the values of
//! `environment`, `volumes`, `volume_mounts` and other traits with these names.

/// The names that KubeSpawner 7.1 fills in.
pub(super) const FIELDS: [&str; 16] = [
    "username",
    "userid",
    "servername",
    "user_server",
    "unescaped_username",
    "unescaped_servername",
    "safe_username",
    "safe_servername",
    "safe_user_server",
    "escaped_username",
    "escaped_servername",
    "escaped_user_server",
    "hubnamespace",
    "namespace",
    "pod_name",
    "pvc_name",
];

/// Why KubeSpawner could not expand a text, or `None` if it can.
pub(super) fn problem(text: &str) -> Option<String> {
    let mut rest = text;
    while let Some(brace) = rest.find(['{', '}']) {
        let from = rest.get(brace..).unwrap_or_default();
        if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
            rest = after;
            continue;
        }
        let Some((field, after)) = from.strip_prefix('{').and_then(|inner| inner.split_once('}')) else {
            return Some("has a single brace, which makes every spawn fail: write {{ and }} for braces".to_owned());
        };
        if !FIELDS.contains(&field) {
            let known = FIELDS.join(", ");
            return Some(format!(
                "{{{field}}} is nothing that KubeSpawner fills in, so every spawn fails: write {{{{ and }}}} for braces, or one of {known}"
            ));
        }
        rest = after;
    }
    None
}
