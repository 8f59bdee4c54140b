//! How a file is read: the text itself, and many mistakes at once.

use super::{PROFILES, assert_errors, cpu, errors, parsed};
use crate::catalogue::{AvoidGpuNodes, BUILT_IN, Catalogue, SharedCodeUse};

#[test]
fn a_dozen_mistakes_are_all_told_in_the_order_of_the_lines() {
    let text = "\
namespace: Hub Space
registry: https://registry.example.org
imagePullPolicy: sometimes
tolerate: [nvidia.com/gpu, 'a b']
profiles:
  - slug: cpu
    title: CPU
    image: ml-cpuu
    default: true
    memory:
      request: 4Gi
      limit: 8Gx
    environment: {A: '{nobody}'}
  - slug: cpu
    titel: GPU
    image: ml-gpu
    default: true
    gpu: {counts: [1, x, 0], sharing: [mig, half]}
    waitUpTo: 20
  - 7
  - slug: last--one
    title: Last
    image: ml-gpu
redirects: {old: nowhere}
volumes:
  - {name: a, claim: c, mountPath: a, scope: user}
  - {name: a, claim: c, mountPath: /b, scope: both}
expandable: [{kind: a, gpusPerNode: 1, maxNodes: 0, labels: {pool: a}}]
speed: fast
";
    assert_errors(
        "many",
        text,
        &[
            (1, "namespace", "not the name of a namespace"),
            (2, "registry", "no scheme"),
            (3, "imagePullPolicy", "unknown word \"sometimes\""),
            (4, "tolerate[1]", "not a taint key"),
            (8, "profiles[0].image", "\"ml-cpuu\" is no image"),
            (12, "profiles[0].memory.limit", "\"8Gx\" is not a quantity"),
            (13, "profiles[0].environment.A", "{nobody} is nothing"),
            (14, "profiles[1].slug", "the slug of the profile at line 6 already"),
            (14, "profiles[1].title", "is missing"),
            (15, "profiles[1].titel", "unknown key"),
            (17, "profiles[1].default", "the profile at line 9 is the default already"),
            (18, "profiles[1].gpu.counts[1]", "wrong type: string \"x\", expected a whole number"),
            (18, "profiles[1].gpu.counts[2]", "0 is no number of GPUs"),
            (18, "profiles[1].gpu.sharing[1]", "unknown word \"half\""),
            (19, "profiles[1].waitUpTo", "20 has no unit"),
            (20, "profiles[2]", "wrong type: integer \"7\", expected a mapping with the keys of a profile"),
            (21, "profiles[3].slug", "contains --"),
            (26, "volumes[0].mountPath", "must begin with /"),
            (27, "volumes[1].name", "the name of the volume at line 26 already"),
            (27, "volumes[1].scope", "unknown word \"both\""),
            (28, "expandable[0].maxNodes", "must be at least 1"),
            (29, "speed", "unknown key \"speed\""),
        ],
    );
}

#[test]
fn an_error_is_one_line_with_file_line_and_key() {
    let errors = Catalogue::parse("/etc/berth/catalogue.yaml", &cpu("memory: {limit: 8Gx}\nslug: a--b")).unwrap_err();
    let text = errors.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("/etc/berth/catalogue.yaml:3: profiles[0].memory.limit: \"8Gx\" is not a quantity ("), "{text}");
    assert!(lines[1].starts_with("/etc/berth/catalogue.yaml:4: profiles[0].slug: \"a--b\" contains --"), "{text}");
}

#[test]
fn a_text_that_is_no_yaml_says_where() {
    let found = errors("profiles:\n  - {slug: cpu\ntitle: [\n");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].0 >= 2 && found[0].1.is_empty() && found[0].2.starts_with("not YAML: "), "{found:?}");
    let found = errors("profiles:\n\t- a\n");
    assert!(found.len() == 1 && found[0].0 == 2 && found[0].2.starts_with("not YAML: "), "{found:?}");
}

#[test]
fn a_key_given_twice_names_both_lines() {
    let text = format!("namespace: a\nnamespace: b\n{PROFILES}");
    assert_errors("twice", &text, &[(2, "namespace", "is given twice, first at line 1")]);
    assert_errors(
        "twice in a profile",
        &cpu("title: a\ntitle: b\nslug: '-'"),
        &[(4, "profiles[0].title", "is given twice, first at line 3"), (5, "profiles[0].slug", "does not fit")],
    );
}

#[test]
fn what_a_catalogue_cannot_mean_is_refused() {
    assert_errors(
        "merge key",
        &format!("x: &x {{a: b}}\n{}", cpu("<<: *x")),
        &[(1, "x", "unknown key"), (4, "profiles[0][\"<<\"]", "merge keys are not read")],
    );
    assert_errors("tag", &format!("namespace: !!str hub\n{PROFILES}"), &[(1, "namespace", "YAML tags")]);
    assert_errors("key that is a list", &format!("[a]: b\n{PROFILES}"), &[(1, "", "a key must be plain text")]);
    assert_errors("two documents", &format!("{PROFILES}---\na: b\n"), &[(3, "", "a second document begins here")]);
    assert_errors("a list", "- a\n", &[(1, "", "expected a mapping with the keys of a catalogue")]);
    assert_errors("a word", "hello\n", &[(1, "", "expected a mapping with the keys of a catalogue")]);
    assert_errors("unknown anchor", "profiles: *a\n", &[(1, "", "not YAML: ")]);
    assert_errors("alias in itself", "profiles: &a [*a]\n", &[(1, "", "an alias stands inside the value that it names")]);
}

#[test]
fn aliases_are_copied_within_bounds() {
    let text = "profiles:\n  - {slug: a, title: A, image: ml-cpu, memory: &m {limit: 8Gi}}\n  - {slug: b, title: B, image: ml-cpu, memory: *m}\n";
    let catalogue = parsed(text);
    assert_eq!(catalogue.profiles[0].memory, catalogue.profiles[1].memory);

    let mut bomb = "a: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let previous = format!("*a{}", level - 1);
        bomb.push_str(&format!("b{level}: &a{level} [{}]\n", vec![previous; 10].join(", ")));
    }
    let found = errors(&bomb);
    assert!(found.len() == 1 && found[0].2.contains("more than 50000 values"), "{found:?}");

    let mut tower = "a0: &a0 [x]\n".to_owned();
    for level in 1..100 {
        tower.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    let found = errors(&tower);
    assert!(found.len() == 1 && found[0].2.contains("nested deeper than 64 levels"), "{found:?}");
    let found = errors(&format!("a: {}{}", "[".repeat(200), "]".repeat(200)));
    assert!(found.len() == 1 && found[0].2.contains("nested deeper than 64 levels"), "{found:?}");
    let found = errors(&"#".repeat((1 << 20) + 1));
    assert!(found.len() == 1 && found[0].2.contains("larger than"), "{found:?}");
}

#[test]
fn a_value_that_cannot_be_read_is_not_told_twice() {
    assert_errors("slug", &cpu("slug: [a]"), &[(3, "profiles[0].slug", "expected a string")]);
    assert_errors("image", &cpu("image: 1"), &[(3, "profiles[0].image", "put it in quotes")]);
    assert_errors("images", &cpu("images: [1]"), &[(3, "profiles[0].images[0]", "put it in quotes")]);
    assert_errors("counts", &cpu("gpu: {counts: [x]}"), &[(3, "profiles[0].gpu.counts[0]", "expected a whole number")]);
    assert_errors("profiles", "profiles: cpu\n", &[(1, "profiles", "expected a sequence")]);
    assert_errors("all of them", "profiles: [cpu]\n", &[(1, "profiles[0]", "expected a mapping")]);
    assert_errors(
        "image table",
        &format!("images: {{ml-x: 1}}\n{}", cpu("image: ml-x")),
        &[(1, "images.ml-x", "put it in quotes")],
    );
    assert_errors("target", &format!("redirects: {{old: new}}\n{}", cpu("slug: 1")), &[(4, "profiles[0].slug", "quotes")]);
    assert_errors(
        "claim",
        &format!("volumes: [{{name: a, mountPath: /a, claim: 1, scope: user}}]\n{PROFILES}"),
        &[(1, "volumes[0].claim", "quotes")],
    );
}

#[test]
fn a_key_without_value_is_a_mistake_except_where_null_means_none() {
    assert_errors(
        "empty",
        &format!("namespace:\nredirects:\n{PROFILES}volumes:\n  -\n"),
        &[(1, "namespace", "has no value"), (2, "redirects", "has no value"), (6, "volumes[0]", "has no value")],
    );
    parsed(&format!(
        "limits: {{gpusPerUser: null, groups: {{}}}}\nexpandable: []\ngpuResources: []\nbase: {{scheduler_name: null}}\n{PROFILES}"
    ));
    parsed(&format!("limits:\nexpandable:\ngpuResources:\nbase:\n{PROFILES}"));
}

#[test]
fn a_bare_no_is_a_word_and_so_is_what_helm_makes_of_it() {
    for no in ["no", "'no'", "false"] {
        let catalogue = parsed(&cpu(&format!("avoidGpuNodes: {no}\nsharedCode: {no}")));
        assert_eq!(catalogue.profiles[0].avoid_gpu_nodes, AvoidGpuNodes::No);
        assert_eq!(catalogue.profiles[0].shared_code, SharedCodeUse::No);
    }
}

#[test]
fn json_is_yaml_too() {
    let catalogue =
        parsed(r#"{"profiles": [{"slug": "cpu", "title": "\ud83d\udcda CPU", "image": "ml-cpu", "cpu": {"limit": 1.5}}]}"#);
    assert_eq!(catalogue.profiles[0].title, "📚 CPU");
    assert_eq!(catalogue.profiles[0].cpu.unwrap().limit.unwrap().millis(), 1500);
}

#[test]
fn scalars_follow_the_core_schema() {
    for (written, millis) in [
        ("1", 1000),
        ("'1'", 1000),
        ("0x10", 16000),
        ("0o10", 8000),
        ("010", 10000),
        ("0.5", 500),
        (".5", 500),
        ("1e1", 10000),
        ("+2", 2000),
        ("250m", 250),
    ] {
        let catalogue = parsed(&cpu(&format!("cpu: {{limit: {written}}}")));
        assert_eq!(catalogue.profiles[0].cpu.unwrap().limit.unwrap().millis(), millis, "{written}");
    }
    for written in ["on", "yes", "Null x", ".inf", ".nan", "1.2.3", "1_000", "2026-01-31", "12:30"] {
        let catalogue = parsed(&cpu(&format!("description: {written}")));
        assert_eq!(catalogue.profiles[0].description, written);
    }
}

#[test]
fn comments_may_be_as_many_as_one_likes() {
    let comments = "  # a comment\n".repeat(500);
    parsed(&format!(
        "{comments}profiles:\n{comments}  - slug: a\n{comments}    title: A\n    image: # here\n{comments}      ml-cpu\n{comments}"
    ));
}

#[test]
fn no_piece_of_the_built_in_file_is_more_than_mistaken() {
    let lines: Vec<&str> = BUILT_IN.lines().collect();
    let check = |text: &str| {
        for (line, key, message) in errors(text) {
            assert!((1..=lines.len() + 1).contains(&line), "{line} {key} {message}\n{text}");
            assert!(message != "cannot be read", "{text}");
        }
    };
    for left_out in 0..lines.len() {
        let kept: Vec<&str> = lines.iter().enumerate().filter(|(index, _)| *index != left_out).map(|(_, line)| *line).collect();
        check(&kept.join("\n"));
    }
    for (end, _) in BUILT_IN.char_indices().step_by(41) {
        check(&BUILT_IN[..end]);
    }
    for (at, _) in BUILT_IN.char_indices().step_by(97) {
        for odd in ["{", "}", "[", "-", ":", "\t", "\"", "'", "&a ", "*a", "!", "|", "%", "\0"] {
            check(&format!("{}{odd}{}", &BUILT_IN[..at], &BUILT_IN[at..]));
        }
    }
}

#[test]
fn a_list_is_no_mapping() {
    let text = "profiles:
- {slug: a, title: A, image: ml-cpu, cpu: ['1', '4'], access: [[lab]]}
- [b, B]
- {slug: c, title: C, image: ml-gpu, gpu: [[2], ['*'], [exclusive], 1Gi]}
sharedCode: [true]
";
    assert_errors(
        "lists",
        text,
        &[
            (2, "profiles[0].access", "is a list"),
            (2, "profiles[0].cpu", "is a list"),
            (3, "profiles[1]", "is a list"),
            (4, "profiles[2].gpu", "is a list"),
            (5, "sharedCode", "is a list"),
        ],
    );
    assert_errors("root", "- {slug: a}\n", &[(1, "", "the file is a list")]);
}

#[test]
fn names_that_the_hub_or_berth_use_are_refused() {
    let text = "profiles: [{slug: a, title: A, image: ml-cpu, environment: {JUPYTERHUB_API_TOKEN: x}}]
volumes: [{name: berth-shared-memory, emptyDir: {}, mountPath: /x}]
";
    assert_errors(
        "names",
        text,
        &[(1, "profiles[0].environment.JUPYTERHUB_API_TOKEN", "is the hub's"), (2, "volumes[0].name", "is taken")],
    );
}
