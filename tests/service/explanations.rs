//! Explanations: what they say of each node, of the hub's own settings, and of a patch that was refused.

use berth::http::Access;
use serde_json::{Value, json};

use crate::cluster::{A100, Cluster, GPU, T4, catalogue};
use crate::http_routes::{LIST, check_schema, get, post, service_with};

const PROFILES: &str = "profiles: [{slug: gpu, title: GPU, image: ml-gpu, gpu: {counts: [1, 2, 4]}}]\n";

/// One node with room for two GPUs, one that is full, and one that no GPU pod can use.
fn three() -> Cluster {
    Cluster::default().node("cpu-1").gpu_node("free", A100, 81920, 2).gpu_node("full", T4, 15360, 2).pod("x/y", "full", 2)
}

fn quota(cluster: Cluster, hard: &str, used: &str) -> Cluster {
    let (hard, used) = (json!({"requests.nvidia.com/gpu": hard}), json!({"requests.nvidia.com/gpu": used}));
    let quota = json!({
        "kind": "ResourceQuota", "metadata": {"name": "team", "namespace": "jupyterhub"},
        "spec": {"hard": hard}, "status": {"hard": hard, "used": used},
    });
    Cluster { items: cluster.items.into_iter().chain([quota]).collect() }
}

async fn explained(cluster: &Cluster, config: &str, gpus: u32) -> Value {
    let service = service_with(Some(cluster), Access::Open, catalogue(&format!("{PROFILES}{config}")));
    let path = format!("/api/v1/explain?user=ada&options=%7B%22gpus%22:%22{gpus}%22%7D");
    let answer = get(&service, &path, None).await.json();
    check_schema("Explanation", &answer);
    answer
}

/// Each node's answer, and whether its reason holds these words.
fn nodes(answer: &Value, words: &str) -> Vec<(String, bool)> {
    let said = |node: &Value| {
        let reason = node["reason"].as_str().unwrap_or_default();
        (node["availability"].as_str().expect("a word").to_owned(), reason.contains(words))
    };
    answer["nodes"].as_array().expect("nodes").iter().map(said).collect()
}

#[actix_web::test]
async fn no_node_is_better_than_a_quota_or_a_claim_lets_it_be() {
    let all =
        |availability: [&str; 3], told: [bool; 3]| availability.map(str::to_owned).into_iter().zip(told).collect::<Vec<_>>();
    let free = explained(&three(), "volumes: []", 1).await;
    assert_eq!(nodes(&free, "quota"), all(["never", "now", "busy"], [false; 3]));

    let later = explained(&quota(three(), "4", "4"), "volumes: []", 1).await;
    assert_eq!(nodes(&later, "the quota team allows 4"), all(["never", "busy", "busy"], [false, true, true]));
    let ever = explained(&quota(three(), "1", "0"), "volumes: []", 2).await;
    assert_eq!(nodes(&ever, "the quota team allows 1"), all(["never"; 3], [true; 3]));

    let home = "volumes: [{name: home, claim: home, mountPath: /home/jovyan, scope: user}]";
    let lost = explained(&three().claim("home", "Lost"), home, 1).await;
    assert_eq!(nodes(&lost, "the storage claim home has lost its volume"), all(["never"; 3], [true; 3]));
    for answer in [later, ever, lost] {
        assert_eq!(answer["availability"], answer["nodes"][1]["availability"], "{answer}");
    }
}

#[actix_web::test]
async fn a_refusal_comes_with_the_patch_that_it_is_about() {
    let fits = explained(&three(), "volumes: []", 2).await;
    assert_eq!((&fits["refusal"], &fits["patch_if_refused"]), (&Value::Null, &Value::Null));
    let never = explained(&three(), "volumes: []", 4).await;
    assert_eq!(never["answer"], Value::Null);
    assert_eq!(never["patch_if_refused"]["extra_resource_limits"][GPU], "4", "{never}");
    let impossible = explained(&Cluster::default().node("cpu-1"), "volumes: []", 1).await;
    assert!(impossible["refusal"].is_string() && impossible["patch_if_refused"].is_null(), "{impossible}");
}

#[actix_web::test]
async fn it_says_whether_the_hub_has_told_what_its_pods_are_like() {
    let service = service_with(Some(&three()), Access::Open, catalogue(PROFILES));
    let known = async |server: &str| {
        let path = format!("/api/v1/explain?user=ada&server={server}");
        get(&service, &path, None).await.json()["hub_settings_known"].clone()
    };
    assert_eq!(known("lab").await, false);
    let form = json!({"user": {"name": "ada"}, "server": "lab", "base": {}});
    assert_eq!(post(&service, LIST, None, form).await.status, 200);
    assert_eq!((known("lab").await, known("").await), (json!(true), json!(false)), "each server has its own");
}
