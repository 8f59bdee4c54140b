//! Names, paths, references and templates, good and bad.

use crate::catalogue::{names, template};

#[test]
fn image_references_are_told_from_what_is_none() {
    let digest = format!("sha256:{}", "0a".repeat(32));
    let good = [
        "jupyter-ml-cpu:1.0",
        "quay.io/jupyter/base-notebook",
        "quay.io/jupyter/base-notebook:2025-01-31",
        "localhost:5000/a:latest",
        "registry.example.org:5000/library/jupyter-ml-gpu:1.0",
        "jupyter/base",
        "a",
        "a__b/c--d.e_f:T.a-g_",
        &format!("quay.io/a/b@{digest}"),
        &format!("quay.io/a/b:1@{digest}"),
    ];
    for reference in good {
        assert_eq!(names::image_problem(reference), None, "{reference}");
    }
    let bad = [
        "",
        "/",
        ":",
        "a:",
        ":1",
        "a/",
        "/a",
        "a//b",
        "A",
        "quay.io/A",
        "a b",
        "a:b c",
        "a:-1",
        "a@sha256:12",
        "a@",
        "a@md5:00",
        "a.b:x/c",
        "https://quay.io/a",
        "a\n",
        "-a",
    ];
    for reference in bad {
        assert!(names::image_problem(reference).is_some(), "{reference:?}");
    }
}

#[test]
fn registries_have_a_host_and_no_scheme() {
    for registry in
        ["registry.example.org", "registry.example.org/library", "harbor:5000/a/b", "localhost:32000", "10.0.0.1:5000"]
    {
        assert_eq!(names::registry_problem(registry), None, "{registry}");
    }
    for registry in ["", "/", "https://a", "a/", "a:b", "a:99999", "a_b", "a /b", "a/B", "-a", "a..b"] {
        assert!(names::registry_problem(registry).is_some(), "{registry:?}");
    }
}

#[test]
fn slugs_fit_forms_and_links() {
    for slug in ["a", "gpu", "gpu-on", "fine_tuning", "1", &"a".repeat(63)] {
        assert!(names::is_slug(slug), "{slug}");
    }
    for slug in ["", "-", "-a", "a-", "A", "a b", "a/b", "a.b", "ü", "a\n", "{a}", &"a".repeat(64)] {
        assert!(!names::is_slug(slug), "{slug:?}");
    }
}

#[test]
fn taint_keys_are_qualified_names() {
    for key in ["nvidia.com/gpu", "hub.jupyter.org_dedicated", "dedicated", "node-role.kubernetes.io/control-plane"] {
        assert!(names::is_qualified_name(key), "{key}");
    }
    for key in ["", "/", "a/", "/a", "a/b/c", "A.b/c", "a=b", "a:NoSchedule", "*", "a b", "-a", &"a".repeat(64)] {
        assert!(!names::is_qualified_name(key), "{key:?}");
    }
}

#[test]
fn paths_are_absolute_and_plain() {
    for path in ["/a", "/home/jovyan/notebooks", "/a/.hidden", "/a..b"] {
        assert_eq!(names::path_problem(path), None, "{path}");
    }
    for path in ["", "a", "/", "//", "/a/", "/a//b", "/.", "/a/..", "/a:b", "/a\nb"] {
        assert!(names::path_problem(path).is_some(), "{path:?}");
    }
}

#[test]
fn templates_take_kubespawners_fields_and_doubled_braces_only() {
    for text in ["", "plain", "{username}", "/x/{username}/{servername}", "{{}}", "{{\"a\": \"{namespace}\"}}", "{{{username}}}"]
    {
        assert_eq!(template::problem(text), None, "{text}");
    }
    for field in template::FIELDS {
        assert_eq!(template::problem(&format!("{{{field}}}")), None);
    }
    for text in [
        "{",
        "}",
        "{}",
        "{0}",
        "{ username }",
        "{username",
        "username}",
        "{username.x}",
        "{username:>9}",
        "{{}",
        "{\"a\": 1}",
        "${HOME}",
    ] {
        assert!(template::problem(text).is_some(), "{text}");
    }
}
