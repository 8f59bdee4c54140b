//! Where the hub's saved choice is found on the list of now.

use berth::http::Access;
use serde_json::{Value, json};

use crate::cluster::{A100, Cluster, catalogue, mixed};
use crate::http_routes::{LIST, SPAWN, check_schema, post, service_with};

const PROFILES: &str = "profiles:
- {slug: gpu, title: GPU, image: ml-gpu, gpu: {}}
- {slug: on, title: 'On {node}', image: ml-gpu, gpu: {}, perNode: {maxEntries: 12}}
- {slug: lab, title: Lab, image: ml-gpu, gpu: {}, access: {groups: [lab]}}
redirects: {old: gpu, old-on: on}
";

fn cordoned(cluster: Cluster) -> Cluster {
    cluster.gpu_node("gpu-c", A100, 81920, 8).change(|node| node["spec"]["unschedulable"] = json!(true))
}

/// What the list says of a saved choice; null where it says nothing.
async fn last(cluster: Option<&Cluster>, config: &str, saved: Value) -> Value {
    let service = service_with(cluster, Access::Open, catalogue(config));
    let list = post(&service, LIST, None, json!({"user": {"name": "ada"}, "last": saved})).await.json();
    check_schema("HubProfileList", &list);
    list["last"].clone()
}

fn found(profile: &str, node: Option<&str>) -> Value {
    json!({"profile": profile, "node": node, "reason": null})
}

fn because(reason: &str) -> Value {
    json!({"profile": null, "node": null, "reason": reason})
}

#[actix_web::test]
async fn a_saved_choice_is_found_where_a_spawn_would_find_it() {
    let many = PROFILES.replace("12", "1");
    for (config, saved, expected, started) in [
        (PROFILES, json!({"profile": "old"}), found("gpu", None), "gpu"),
        (PROFILES, json!({"profile": "old-on-gpu-a"}), found("on-gpu-a", None), "on-gpu-a"),
        (PROFILES, json!({"profile": "on", "node": "gpu-b"}), found("on-gpu-b", None), "on-gpu-b"),
        (&many, json!({"profile": "on-gpu-b"}), found("on", Some("gpu-b")), "on-gpu-b"),
    ] {
        let cluster = mixed();
        assert_eq!(last(Some(&cluster), config, saved.clone()).await, expected, "{saved}");
        let service = service_with(Some(&cluster), Access::Open, catalogue(config));
        let answer = post(&service, SPAWN, None, json!({"user": {"name": "ada"}, "options": saved})).await;
        assert_eq!(answer.json()["profile"], started, "{}", answer.text);
    }
}

#[actix_web::test]
async fn what_is_away_for_the_moment_has_a_reason() {
    let cluster = cordoned(mixed());
    for (cluster, slug, reason) in [
        (Some(&cluster), "on-gpu-c", "the node gpu-c cannot be used (cordoned)"),
        (Some(&cluster), "on-cpu-1", "the node cpu-1 has no such GPU now"),
        (Some(&cluster), "lab", "you may not use it any more"),
        (None, "on-gpu-a", "which nodes there are is not known yet"),
    ] {
        assert_eq!(last(cluster, PROFILES, json!({"profile": slug})).await, because(reason), "{slug}");
    }
}

#[actix_web::test]
async fn nothing_is_said_of_what_is_listed_or_gone() {
    for saved in [json!({}), json!({"profile": ""}), json!({"profile": "gpu"}), json!({"profile": "on-gpu-x"})] {
        assert_eq!(last(Some(&mixed()), PROFILES, saved.clone()).await, Value::Null, "{saved}");
    }
    assert_eq!(last(Some(&mixed()), PROFILES, json!({"profile": "nothing"})).await, Value::Null);
}
