//! What a user may hold at once, and what a quota of the namespace leaves: said before the spawn.

use berth::domain::base::Base;
use berth::http::hub::list_profiles;
use berth::http::problem::Problem;
use berth::profiles::User;
use serde_json::{Value, json};

use crate::cluster::{A100, Cluster, catalogue, patch};

const PROFILES: &str = "profiles:\n- {slug: gpu, title: GPU, image: ml-cpu, gpu: {counts: [2, 1, 4]}}\n\
                        - {slug: cpu, title: CPU, image: ml-cpu}\nvolumes: []\n";

fn user(groups: &[&str]) -> User {
    User { name: "ada".into(), groups: groups.iter().map(|g| (*g).to_owned()).collect(), admin: false }
}

fn roomy() -> Cluster {
    Cluster::default().node("cpu-1").gpu_node("gpu-a", A100, 81920, 8)
}

/// A server of the user's.
fn server(cluster: Cluster, name: &str, node: &str, gpus: u32) -> Cluster {
    cluster.pod(&format!("jupyterhub/jupyter-ada-{name}"), node, gpus).change(|pod| {
        pod["metadata"]["annotations"] = json!({"hub.jupyter.org/username": "ada", "hub.jupyter.org/servername": name});
    })
}

fn asked(cluster: &Cluster, limits: &str, groups: &[&str], options: Value) -> Result<Value, Problem> {
    let view = cluster.view(&catalogue(&format!("{PROFILES}{limits}")));
    let answer = patch(&view, "", &user(groups), &Base::default(), &options)?;
    Ok(serde_json::to_value(answer.patch.extra_resource_limits).expect("JSON"))
}

fn refused(cluster: &Cluster, limits: &str, groups: &[&str], gpus: &str) -> (u16, &'static str, String) {
    let problem = asked(cluster, limits, groups, json!({"profile": "gpu", "gpus": gpus})).expect_err("a refusal");
    (problem.status, problem.reason, problem.detail)
}

const TWO: &str = "limits: {gpusPerUser: 2, groups: {lab: 4, students: 0, staff: null}}";

#[test]
fn nobody_gets_more_than_the_limit_and_the_refusal_says_what_is_in_use() {
    let cluster = server(server(roomy(), "", "gpu-a", 1), "lab", "", 1);
    assert_eq!(
        refused(&cluster, "limits: {gpusPerUser: 2}", &[], "2"),
        (
            403,
            "over-limit",
            "GPU needs 2 GPUs, but you may hold 2 GPUs at once; in use: 1 by your server lab. Stop a server, or ask for fewer."
                .to_owned()
        ),
    );
    assert!(asked(&cluster, "limits: {gpusPerUser: 2}", &[], json!({"profile": "gpu", "gpus": "1"})).is_ok());
    assert!(asked(&cluster, "limits: {gpusPerUser: 0}", &[], json!({"profile": "cpu"})).is_ok(), "no GPU is no matter");
}

#[test]
fn the_largest_limit_of_somebodys_groups_counts_in_place_of_the_general_one() {
    for (groups, gpus, may) in [
        (vec![], "2", true),
        (vec![], "4", false),
        (vec!["lab"], "4", true),
        (vec!["students"], "1", false),
        (vec!["students", "lab"], "4", true),
        (vec!["students", "staff"], "4", true),
        (vec!["unnamed"], "4", false),
    ] {
        let answer = asked(&roomy(), TWO, &groups, json!({"profile": "gpu", "gpus": gpus}));
        assert_eq!(answer.is_ok(), may, "{groups:?} {gpus}");
    }
    assert!(refused(&roomy(), TWO, &["students"], "1").2.starts_with("GPU needs 1 GPU, but you may not use GPUs here."));
}

#[test]
fn servers_count_in_every_namespace_of_this_hub_and_of_no_other() {
    let elsewhere = |annotations: Value| {
        roomy().pod("jupyterhub-ada/jupyter-ada--x", "gpu-a", 2).change(|pod| pod["metadata"]["annotations"] = annotations)
    };
    let ours = json!({"hub.jupyter.org/username": "ada", "hub.jupyter.org/servername": "x", "berth/hub": "jupyterhub"});
    assert_eq!(refused(&elsewhere(ours), TWO, &[], "1").1, "over-limit");
    let others = json!({"hub.jupyter.org/username": "ada", "hub.jupyter.org/servername": "x"});
    assert!(asked(&elsewhere(others), TWO, &[], json!({"profile": "gpu", "gpus": "1"})).is_ok());
}

#[test]
fn what_is_no_kind_any_more_and_what_is_held_back_count_all_the_same() {
    for (resource, node) in [("nvidia.com/mig-1g.5gb", "gpu-a"), ("amd.com/cpx_nps4", "gone"), ("nvidia.com/gpu", "")] {
        let cluster = server(roomy(), "lab", node, 0).change(|pod| {
            pod["spec"]["containers"][0]["resources"]["limits"] = json!({resource: "2"});
            if node.is_empty() {
                pod["spec"]["schedulingGates"] = json!([{"name": "queue"}]);
            }
        });
        assert_eq!(refused(&cluster, TWO, &[], "1").1, "over-limit", "{resource}");
    }
}

#[test]
fn a_shared_kind_that_can_come_is_a_share_already() {
    let pool = "expandable: [{kind: tesla-t4.shared-4, gpusPerNode: 4, maxNodes: 1, labels: {pool: t4}}]";
    let nothing = Cluster::default().node("cpu-1");
    assert!(asked(&nothing, pool, &[], json!({"profile": "gpu", "gpus": "1"})).is_ok());
    assert_eq!(refused(&nothing, pool, &[], "2").1, "never-fits", "never more than one share");
}

#[test]
fn the_form_says_the_limit_and_offers_nothing_above_it() {
    let gpu = |cluster: &Cluster, limits: &str| {
        let view = cluster.view(&catalogue(&format!("{PROFILES}{limits}")));
        let list = list_profiles(&view, "", &user(&[]), "", &Base::default()).expect("a list");
        serde_json::to_value(&list.profiles[0]).expect("JSON")
    };
    let texts = |offer: &Value| {
        let choices = offer["profile_options"]["gpus"]["choices"].as_object().expect("choices").clone();
        choices.values().map(|choice| choice["display_name"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    let offer = gpu(&server(roomy(), "lab", "gpu-a", 1), "limits: {gpusPerUser: 2}");
    assert_eq!(offer["berth"]["availability"], "now", "one more is possible, so one is the default");
    assert_eq!(texts(&offer), ["2 GPUs, more than you may add now", "1 GPU, free now on 1 node"]);
    let offer = gpu(&server(roomy(), "lab", "gpu-a", 2), "limits: {gpusPerUser: 2}");
    assert_eq!(offer["berth"]["availability"], "busy");
    assert_eq!(offer["berth"]["reasons"][0], "you may hold 2 GPUs at once; in use: 2 by your server lab");
    let offer = gpu(&roomy(), "limits: {gpusPerUser: 0}");
    assert_eq!(offer["berth"]["availability"], "never");
}

#[test]
fn the_default_number_of_gpus_is_one_that_the_user_may_still_take() {
    let cluster = server(roomy(), "lab", "gpu-a", 1);
    let limits = asked(&cluster, "limits: {gpusPerUser: 2}", &[], json!({"profile": "gpu"})).expect("a patch");
    assert_eq!(limits["nvidia.com/gpu"], "1");
}

fn quota(cluster: Cluster, hard: Value, used: Value) -> Cluster {
    let mut cluster = cluster;
    cluster.items.push(json!({
        "kind": "ResourceQuota", "metadata": {"name": "team", "namespace": "jupyterhub"},
        "spec": {"hard": hard}, "status": {"hard": hard, "used": used},
    }));
    cluster
}

#[test]
fn a_pod_that_a_quota_would_refuse_is_refused_before() {
    let gpus = "requests.nvidia.com/gpu";
    let cluster = quota(roomy(), json!({gpus: "4"}), json!({gpus: "3"}));
    assert!(asked(&cluster, "", &[], json!({"profile": "gpu", "gpus": "1"})).is_ok());
    assert_eq!(
        refused(&cluster, "", &[], "2"),
        (
            409,
            "over-quota",
            "GPU can't be started: the quota team allows 4 of requests.nvidia.com/gpu in the hub's namespace, and 3 are in use."
                .to_owned()
        )
    );
    assert!(asked(&cluster, "", &[], json!({"profile": "cpu"})).is_ok());
    let other = quota(roomy(), json!({gpus: "0"}), json!({})).change(|quota| quota["metadata"]["namespace"] = json!("x"));
    assert!(asked(&other, "", &[], json!({"profile": "gpu", "gpus": "1"})).is_ok(), "that of another namespace");
    let scoped = quota(roomy(), json!({gpus: "0"}), json!({})).change(|quota| quota["spec"]["scopes"] = json!(["BestEffort"]));
    assert!(asked(&scoped, "", &[], json!({"profile": "gpu", "gpus": "1"})).is_ok(), "one that may not count the pod");
}

#[test]
fn of_two_quotas_the_one_that_never_lets_the_pod_in_is_told() {
    let gpus = "requests.nvidia.com/gpu";
    let full = quota(roomy(), json!({gpus: "4"}), json!({gpus: "4"})).change(|quota| quota["metadata"]["name"] = json!("a"));
    let both = quota(full, json!({"pods": "100", gpus: "1"}), json!({})).change(|quota| quota["metadata"]["name"] = json!("b"));
    let view = both.view(&catalogue(PROFILES));
    let list = list_profiles(&view, "", &user(&[]), "", &Base::default()).expect("a list");
    let two = serde_json::to_value(&list.profiles[0]).expect("JSON")["berth"]["choices"]["any"]["counts"]["2"].clone();
    let reason = "the quota b allows 1 of requests.nvidia.com/gpu in the hub's namespace, and 0 are in use";
    assert_eq!((&two["availability"], &two["reasons"][0]), (&json!("never"), &json!(reason)));
}

#[test]
fn no_node_of_a_choice_is_ever_possible_above_the_limit() {
    let config =
        "profiles:\n- {slug: n, title: 'On {node}', image: ml-gpu, gpu: {counts: [2]}, perNode: {maxEntries: 1}}\nvolumes: []\n";
    let nodes = || roomy().gpu_node("gpu-b", A100, 81920, 8);
    let shown = |cluster: &Cluster, limit: u32| {
        let view = cluster.view(&catalogue(&format!("{config}limits: {{gpusPerUser: {limit}}}")));
        let list = list_profiles(&view, "", &user(&[]), "", &Base::default()).expect("a list");
        let node = serde_json::to_value(&list.profiles[0]).expect("JSON")["berth"]["choices"]["any"]["nodes"]["gpu-b"].clone();
        node["availability"].as_str().expect("a word").to_owned()
    };
    assert_eq!(shown(&nodes(), 1), "never");
    assert_eq!(shown(&server(nodes(), "x", "gpu-a", 1), 2), "busy");
    assert_eq!(shown(&nodes(), 2), "now");
}
