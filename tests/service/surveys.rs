//! What a form needs to know of each choice before it is made.

use berth::domain::base::Base;
use berth::http::Access;
use berth::http::hub::list_profiles;
use berth::profiles::User;
use serde_json::{Value, json};

use crate::cluster::{A100, Cluster, GPU, T4, catalogue, mixed};
use crate::http_routes::{LIST, get, post, service_with};

const PROFILE: &str =
    "profiles:\n- {slug: gpu, title: GPU, image: ml-gpu, gpu: {counts: [1, 2, 4]}, whenFull: wait, waitUpTo: 90s}\n";
const A100_ID: &str = "nvidia-a100-sxm4-80gb";

/// The block of the first profile.
fn block(cluster: &Cluster, config: &str) -> Value {
    let view = cluster.view(&catalogue(config));
    let list = list_profiles(&view, "/services/berth/", &User::default(), "", &Base::default()).expect("a list");
    serde_json::to_value(list.profiles.first().expect("a profile")).expect("JSON")["berth"].clone()
}

fn waiting(cluster: Cluster, name: &str, gpus: u32, product: Option<&str>) -> Cluster {
    cluster.pod(name, "", gpus).change(|pod| {
        pod["status"]["phase"] = json!("Pending");
        if let Some(product) = product {
            pod["spec"]["nodeSelector"] = json!({"nvidia.com/gpu.product": product});
        }
    })
}

#[test]
fn a_kind_narrows_the_counts() {
    let choices = block(&mixed(), PROFILE)["choices"].clone();
    let shown = |kind: &str, count: &str| {
        let state = &choices[kind]["counts"][count];
        (state["availability"].as_str().expect("a word").to_owned(), state["text"].as_str().expect("a text").to_owned())
    };
    assert_eq!(shown("any", "2"), ("now".into(), "2 GPUs, free now on 2 nodes".into()));
    assert_eq!(shown(A100_ID, "2"), ("now".into(), "2 GPUs, free now on 1 node".into()));
    assert_eq!(shown(A100_ID, "4"), ("busy".into(), "4 GPUs, in use now".into()));
    assert_eq!(shown("tesla-t4", "4"), ("never".into(), "4 GPUs, not possible here".into()));
    assert_eq!(choices["tesla-t4"]["counts"]["4"]["reasons"], json!(["no node has 4 of them"]));
    assert_eq!(choices["tesla-t4"]["text"], "Tesla T4 15 GB, 2 of 2 free");
    assert_eq!(choices["tesla-t4"]["availability"], "now");
}

#[test]
fn several_shares_are_impossible_with_the_reason() {
    let shared = mixed().gpu_node("t4s", "Tesla-T4-SHARED", 15360, 1).change(|n| {
        n["metadata"]["labels"]["nvidia.com/gpu.replicas"] = json!("4");
        n["metadata"]["labels"]["nvidia.com/gpu.sharing-strategy"] = json!("time-slicing");
        n["status"]["capacity"][GPU] = json!("4");
        n["status"]["allocatable"][GPU] = json!("4");
    });
    let block = block(&shared, PROFILE);
    let kind = block["kinds"].as_array().expect("kinds").iter().find(|kind| kind["sharing"] == "time-sliced").expect("shares");
    assert_eq!(kind["meaning"], "Shared with others, memory is not isolated");
    let two = &block["choices"][kind["id"].as_str().expect("an id")]["counts"]["2"];
    assert_eq!(
        (&two["availability"], &two["reasons"]),
        (&json!("never"), &json!(["one server gets one share of a card at most"]))
    );
}

#[test]
fn a_kind_narrows_the_nodes_where_one_can_be_chosen() {
    let config = "profiles:\n- {slug: n, title: 'On {node}', image: ml-gpu, gpu: {counts: [1]}, perNode: {maxEntries: 1}}\n";
    let choices = block(&mixed(), config)["choices"].clone();
    let nodes = |kind: &str| choices[kind]["nodes"].as_object().expect("nodes").keys().cloned().collect::<Vec<_>>();
    assert_eq!(nodes("any"), ["gpu-a", "gpu-b"]);
    assert_eq!(nodes("tesla-t4"), ["gpu-b"]);
    assert_eq!(
        choices["tesla-t4"]["nodes"]["gpu-b"],
        json!({"text": "gpu-b, 2 of 2 free", "availability": "now", "pickable": true, "free": 2, "total": 2})
    );
}

const PER_NODE: &str =
    "profiles:\n- {slug: n, title: 'On {node}', image: ml-gpu, gpu: {counts: [1]}, perNode: {maxEntries: 1}, whenFull: wait}\n";

#[test]
fn a_node_that_is_out_of_use_for_a_moment_stays_with_its_reason() {
    let cluster = mixed().gpu_node("gpu-c", A100, 81920, 8).change(|node| node["spec"]["unschedulable"] = json!(true));
    let block = block(&cluster, PER_NODE);
    let expected = json!({"text": "gpu-c, 0 of 8 free", "availability": "starting", "pickable": true,
        "reasons": ["the node is cordoned"], "free": 0, "total": 8});
    assert_eq!(block["choices"]["any"]["nodes"]["gpu-c"], expected);
    assert_eq!(block["choices"][A100_ID]["nodes"]["gpu-c"], expected);
    let away = mixed().gpu_node("gpu-c", A100, 81920, 8).change(|node| {
        node["spec"]["taints"] = json!([{"key": "team", "value": "x", "effect": "NoSchedule"}]);
    });
    assert_eq!(self::block(&away, PER_NODE)["choices"]["any"]["nodes"]["gpu-c"]["availability"], "never");
}

#[test]
fn of_very_many_nodes_each_kind_lists_those_that_can_be_chosen() {
    // By name the full ones come first, by what is free the others.
    let mut cluster = Cluster::default();
    for at in 0..150 {
        cluster = cluster.gpu_node(&format!("a-{at:03}"), A100, 81920, 1).pod(&format!("x/p{at}"), &format!("a-{at:03}"), 1);
        cluster = cluster.gpu_node(&format!("b-{at:03}"), A100, 81920, 1);
    }
    cluster = cluster.gpu_node("t4", T4, 15360, 1);
    let view = cluster.view(&catalogue(PER_NODE));
    let list = list_profiles(&view, "", &User::default(), "", &Base::default()).expect("a list");
    let offer = serde_json::to_value(list.profiles.first()).expect("JSON");
    let choices = &offer["berth"]["choices"];
    let names = |map: &Value| map.as_object().expect("a map").keys().cloned().collect::<std::collections::BTreeSet<_>>();
    let any = names(&choices["any"]["nodes"]);
    assert_eq!((any.len(), &choices["any"]["moreNodes"]), (200, &json!(true)));
    assert_eq!(names(&offer["profile_options"]["node"]["choices"]), any);
    let kinds = &names(&choices[A100_ID]["nodes"]) | &names(&choices["tesla-t4"]["nodes"]);
    assert_eq!(kinds, any);
    assert!(any.contains("b-149") && any.contains("t4") && !any.contains("a-149"));
    assert_eq!(block(&mixed(), PER_NODE)["choices"]["any"].get("moreNodes"), None);
}

#[test]
fn what_is_not_asked_is_said_with_its_one_answer() {
    let fixed = |cluster: &Cluster, config: &str| block(cluster, config)["fixed"].clone();
    let one = Cluster::default().gpu_node("a", A100, 81920, 1);
    assert_eq!(fixed(&one, PROFILE), json!({"gpu-kind": A100_ID, "gpus": "1", "image": "ml-gpu", "shared-code": "no"}));
    assert_eq!(fixed(&mixed(), PROFILE), json!({"image": "ml-gpu", "shared-code": "no"}));
    let on_node = "profiles:\n- {slug: n, title: 'On {node}', image: ml-gpu, gpu: {}, perNode: {maxEntries: 3}}\n";
    assert_eq!(fixed(&mixed(), on_node)["node"], "gpu-a");
    assert_eq!(fixed(&mixed(), PER_NODE).get("node"), None);
}

#[test]
fn who_waits_for_any_kind_is_ahead_once() {
    let cluster = waiting(waiting(mixed(), "a/any", 1, None), "a/t4", 2, Some(T4));
    let choices = block(&cluster, PROFILE)["choices"].clone();
    let ahead = ["any", A100_ID, "tesla-t4"].map(|kind| choices[kind]["ahead"].as_u64().expect("a number"));
    assert_eq!(ahead, [3, 1, 3]);
    let none = block(&Cluster::default().gpu_node("a", A100, 81920, 1), PROFILE);
    assert_eq!(none["choices"]["any"]["ahead"], 0);
}

#[test]
fn the_block_says_whether_and_how_long_a_server_waits() {
    let waits = block(&mixed(), PROFILE);
    assert_eq!((&waits["waits"], &waits["waitUpToSeconds"]), (&json!(true), &json!(90)));
    let refuses = block(&mixed(), &PROFILE.replace("wait, waitUpTo: 90s", "refuse"));
    assert_eq!((&refuses["waits"], &refuses["waitUpToSeconds"]), (&json!(false), &Value::Null));
    assert_eq!(waits["stale"], false);
    assert!(waits["observedAt"].as_str().is_some_and(|moment| !moment.is_empty()));
}

#[test]
fn what_would_be_refused_cannot_be_picked() {
    let full = || mixed().pod("a/x", "gpu-a", 3).pod("a/y", "gpu-b", 2);
    let pickable = |block: &Value, count: &str| {
        let state = &block["choices"]["any"]["counts"][count];
        (state["availability"].as_str().expect("a word").to_owned(), state["pickable"] == true)
    };
    let waits = block(&full(), PROFILE);
    assert_eq!((pickable(&waits, "1"), &waits["pickable"]), (("busy".into(), true), &json!(true)));
    let refuses = block(&full(), &PROFILE.replace("wait, waitUpTo: 90s", "refuse"));
    assert_eq!((pickable(&refuses, "1"), &refuses["pickable"]), (("busy".into(), false), &json!(false)));

    let limited = block(&mixed(), &format!("{PROFILE}limits: {{gpusPerUser: 2}}\n"));
    assert_eq!(pickable(&limited, "2"), ("now".into(), true));
    assert_eq!(pickable(&limited, "4"), ("never".into(), false));
    assert_eq!(limited["choices"]["any"]["counts"]["4"]["reasons"][0], "you may hold 2 GPUs at once");
}

#[test]
fn a_profile_without_a_gpu_has_no_kinds_to_survey() {
    assert_eq!(block(&mixed(), "")["choices"], json!({}));
}

#[actix_web::test]
async fn nobody_is_judged_by_what_the_hub_mounts_for_somebody_else() {
    let mut cluster = mixed().claim("claim-alice", "Pending").change(|claim| claim["spec"] = json!({"storageClassName": "slow"}));
    cluster.items.push(json!({"kind": "StorageClass", "metadata": {"name": "slow"}, "volumeBindingMode": "Immediate"}));
    let config = "profiles: [{slug: gpu, title: GPU, image: ml-gpu, gpu: {}}]\nvolumes: []";
    let service = service_with(Some(&cluster), Access::Open, catalogue(config));
    let call = json!({"user": {"name": "alice"}, "server": "", "base": {"claims": ["claim-alice"]}});
    assert_eq!(post(&service, LIST, None, call).await.json()["profiles"][0]["berth"]["availability"], "starting");
    for (user, expected) in [("alice", "starting"), ("bob", "now")] {
        let answer = get(&service, &format!("/profiles?user={user}"), None).await;
        assert_eq!(answer.json()["profiles"][0]["berth"]["availability"], expected, "{user}");
        assert_eq!(answer.text.contains("claim-alice"), user == "alice");
        assert_eq!(answer.json()["profiles"][0]["berth"]["hubSettingsKnown"], user == "alice", "{user}");
    }
}
