//! The catalogue's schema in the chart is the one that the code makes. `make schema` writes it anew.

use std::path::Path;

use berth::catalogue::{BUILT_IN, schema};
use serde_json::{Value, json};

const FILE: &str = "chart/catalogue.schema.json";

fn built_in() -> Value {
    serde_saphyr::from_str(BUILT_IN).expect("YAML")
}

#[test]
fn the_charts_copy_is_fresh() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let made = serde_json::to_string_pretty(&schema()).expect("JSON") + "\n";
    if std::env::var_os("BERTH_WRITE_SCHEMA").is_some() {
        std::fs::write(&file, &made).expect("a write");
    }
    let kept = std::fs::read_to_string(&file).expect("the schema");
    assert!(kept == made, "{FILE} is stale: run `make schema`");
}

#[test]
fn the_schema_takes_what_berth_takes_and_names_what_it_refuses() {
    let validator = jsonschema::validator_for(&serde_json::to_value(schema()).expect("JSON")).expect("a schema");
    let errors = |catalogue: &Value| validator.iter_errors(catalogue).map(|error| error.to_string()).collect::<Vec<_>>();
    assert_eq!(errors(&built_in()), Vec::<String>::new());
    for (pointer, key, value, named) in [
        ("", "profile", json!([]), "profile"),
        ("/profiles/0", "memry", json!({}), "memry"),
        ("/profiles/0/memory", "limit", json!("8Gx"), "8Gx"),
        ("/profiles/1/gpu", "sharing", json!(["half"]), "half"),
        ("/profiles/1", "whenFull", json!("hope"), "hope"),
        ("/volumes/0", "mountpath", json!("/x"), "mountpath"),
    ] {
        let mut catalogue = built_in();
        catalogue.pointer_mut(pointer).and_then(Value::as_object_mut).expect("a map").insert(key.to_owned(), value);
        let errors = errors(&catalogue).join("\n");
        assert!(errors.contains(named), "{named} is not named in: {errors}");
    }
    let mut helm = built_in();
    helm["profiles"][0]["avoidGpuNodes"] = json!(false);
    assert_eq!(errors(&helm), Vec::<String>::new(), "Helm makes false of a bare no");
}
