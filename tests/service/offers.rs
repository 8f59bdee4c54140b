//! What a user is offered.

use berth::domain::base::Base;
use berth::http::hub::list_profiles;
use berth::profiles::User;
use serde_json::{Value, json};

use crate::cluster::{A100, Cluster, GPU, catalogue, mixed, patch};

fn user(groups: &[&str]) -> User {
    User { name: "ada".into(), groups: groups.iter().map(|g| (*g).to_owned()).collect(), admin: false }
}

fn offered(cluster: &Cluster, config: &str, user: &User, base: &Base) -> Vec<Value> {
    let view = cluster.view(&catalogue(config));
    let list = list_profiles(&view, "/services/berth/", user, "", base).expect("a list");
    serde_json::to_value(list.profiles).expect("JSON").as_array().expect("a list").clone()
}

pub fn offers(cluster: &Cluster, config: &str) -> Vec<Value> {
    offered(cluster, config, &user(&[]), &Base::default())
}

fn slugs(offers: &[Value]) -> Vec<&str> {
    offers.iter().map(|offer| offer["slug"].as_str().expect("a slug")).collect()
}

pub fn by_slug<'a>(offers: &'a [Value], slug: &str) -> &'a Value {
    offers.iter().find(|offer| offer["slug"] == slug).unwrap_or_else(|| panic!("no {slug}"))
}

pub const GPU_PROFILE: &str = "profiles:\n- {slug: gpu, title: GPU, image: ml-gpu, gpu: {counts: [1, 2, 4]}}\n";

#[test]
fn the_seeds_profiles_and_one_for_each_gpu_node_are_offered() {
    let offers = offers(&mixed(), "");
    assert_eq!(slugs(&offers), ["cpu", "gpu", "fine-tuning", "agent-dev", "gpu-on-gpu-a", "gpu-on-gpu-b"]);
    let defaults: Vec<bool> = offers.iter().map(|offer| offer["default"] == true).collect();
    assert_eq!(defaults, [true, false, false, false, false, false]);
    assert_eq!(by_slug(&offers, "gpu-on-gpu-a")["display_name"], "💻 GPU on gpu-a");
}

#[test]
fn nothing_in_a_profile_overrides_the_patch() {
    let text = serde_json::to_string(&offers(&mixed(), "")).expect("JSON");
    assert!(!text.contains("kubespawner_override"));
}

#[test]
fn free_and_total_are_those_of_the_kinds_that_an_offer_allows() {
    let offers = offers(&mixed(), "");
    for (slug, free, total) in
        [("cpu", 0, 0), ("gpu", 5, 10), ("fine-tuning", 3, 8), ("gpu-on-gpu-a", 3, 8), ("gpu-on-gpu-b", 2, 2)]
    {
        let berth = &by_slug(&offers, slug)["berth"];
        assert_eq!((&berth["free"], &berth["total"]), (&json!(free), &json!(total)), "{slug}");
        assert_eq!(berth["availability"], "now", "{slug}");
    }
}

#[test]
fn choices_say_what_is_free_and_the_first_is_the_default() {
    let offers = offers(&mixed(), GPU_PROFILE);
    assert_eq!(
        by_slug(&offers, "gpu")["profile_options"],
        json!({
            "gpu-kind": {"display_name": "GPU", "choices": {
                "any": {"display_name": "Any, 5 of 10 free", "default": true},
                "nvidia-a100-sxm4-80gb": {"display_name": "NVIDIA A100 80 GB, 3 of 8 free", "default": false},
                "tesla-t4": {"display_name": "Tesla T4 15 GB, 2 of 2 free", "default": false}
            }},
            "gpus": {"display_name": "Number of GPUs", "choices": {
                "1": {"display_name": "1 GPU, free now on 2 nodes", "default": true},
                "2": {"display_name": "2 GPUs, free now on 2 nodes", "default": false},
                "4": {"display_name": "4 GPUs, in use now", "default": false}
            }}
        })
    );
}

#[test]
fn a_count_that_no_node_has_is_not_offered() {
    let offers = offers(&Cluster::default().gpu_node("a", A100, 81920, 2), GPU_PROFILE);
    let choices = &by_slug(&offers, "gpu")["profile_options"]["gpus"]["choices"];
    assert_eq!(choices.as_object().expect("a map").keys().collect::<Vec<_>>(), ["1", "2"]);
}

#[test]
fn more_than_one_share_is_never_offered() {
    let shared = Cluster::default().gpu_node("t4", "Tesla-T4-SHARED", 15360, 1).change(|n| {
        n["metadata"]["labels"]["nvidia.com/gpu.replicas"] = json!("4");
        n["status"]["capacity"][GPU] = json!("4");
        n["status"]["allocatable"][GPU] = json!("4");
    });
    let offers = offers(&shared, GPU_PROFILE);
    assert!(by_slug(&offers, "gpu").get("profile_options").is_none(), "one count is no choice");
}

#[test]
fn a_full_cluster_is_busy_and_says_how_long_a_server_waits() {
    let full = Cluster::default().gpu_node("a", A100, 81920, 2).pod("x/y", "a", 2);
    let offers = offers(&full, "");
    let gpu = by_slug(&offers, "gpu");
    assert_eq!(gpu["berth"]["availability"], "busy");
    assert_eq!(
        gpu["description"],
        "Finds a free GPU by itself · 0 of 2 GPUs free: full now: all of them are in use; a server waits for up to 20m"
    );
}

#[test]
fn a_profile_that_no_node_can_serve_is_never_with_the_reason() {
    let offers = offers(&Cluster::default().node("cpu-1"), "");
    assert_eq!(slugs(&offers), ["cpu", "gpu", "fine-tuning", "agent-dev"]);
    let gpu = &by_slug(&offers, "gpu")["berth"];
    assert_eq!(
        (&gpu["availability"], &gpu["reasons"]),
        (&json!("never"), &json!(["no node has a GPU that this profile allows"]))
    );
}

#[test]
fn a_node_that_is_not_usable_has_no_offer_of_its_own() {
    let cluster = mixed().gpu_node("gpu-c", A100, 81920, 8).change(|n| n["spec"]["unschedulable"] = json!(true));
    assert!(!slugs(&offers(&cluster, "")).contains(&"gpu-on-gpu-c"));
}

#[test]
fn many_nodes_become_one_offer_with_a_choice_the_freest_first() {
    let config = "profiles:\n- {slug: on, title: 'On {node}', image: ml-gpu, gpu: {}, perNode: {maxEntries: 1}}\n";
    let offers = offers(&mixed(), config);
    assert_eq!(slugs(&offers), ["on"]);
    assert_eq!(offers[0]["display_name"], "On a node of your choice");
    let choices = offers[0]["profile_options"]["node"]["choices"].as_object().expect("choices").clone();
    assert_eq!(choices.keys().collect::<Vec<_>>(), ["gpu-a", "gpu-b"]);
    assert_eq!(choices["gpu-a"], json!({"display_name": "gpu-a, 3 of 8 free", "default": true}));
}

#[test]
fn the_default_node_is_one_where_it_would_start_and_then_the_freest() {
    let zone =
        |name: &'static str| move |node: &mut Value| node["metadata"]["labels"]["topology.kubernetes.io/zone"] = json!(name);
    let cluster = Cluster::default()
        .gpu_node("gpu-a", A100, 81920, 8)
        .change(zone("north"))
        .gpu_node("gpu-b", A100, 81920, 2)
        .change(zone("south"))
        .gpu_node("gpu-c", A100, 81920, 4)
        .change(zone("south"))
        .pod("x/y", "gpu-c", 4);
    let base: Base = serde_json::from_value(json!({"node_selector": {"topology.kubernetes.io/zone": "south"}})).expect("a base");
    let config = "profiles:\n- {slug: on, title: 'On {node}', image: ml-gpu, gpu: {}, perNode: {maxEntries: 1}}\n";
    let offers = offered(&cluster, config, &user(&[]), &base);
    let choices = &offers[0]["profile_options"]["node"]["choices"];
    assert_eq!(choices.as_object().expect("choices").keys().collect::<Vec<_>>(), ["gpu-b", "gpu-c", "gpu-a"]);
    assert_eq!(choices["gpu-b"]["default"], true);
    let answer = patch(&cluster.view(&catalogue(config)), "", &user(&[]), &base, &json!({"profile": "on"})).expect("a patch");
    assert_eq!(answer.profile, "on-gpu-b");
}

#[test]
fn groups_decide_who_is_offered_what() {
    let config = "profiles:\n- {slug: open, title: Open, image: ml-cpu}\n- {slug: closed, title: Closed, image: ml-cpu, access: {groups: [lab]}}\n";
    let list = |groups: &[&str]| {
        let offers = offered(&mixed(), config, &user(groups), &Base::default());
        slugs(&offers).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(list(&[]), ["open"]);
    assert_eq!(list(&["other", "lab"]), ["open", "closed"]);
}

#[test]
fn who_may_use_nothing_is_told_so_and_gets_no_empty_list() {
    let config = "profiles:\n- {slug: closed, title: Closed, image: ml-cpu, access: {groups: [lab]}}\n";
    let view = mixed().view(&catalogue(config));
    let problem = list_profiles(&view, "", &user(&[]), "", &Base::default()).expect_err("a refusal");
    assert_eq!((problem.status, problem.reason), (403, "not-allowed"));
}

#[test]
fn names_and_descriptions_are_safe_html_and_the_block_is_raw() {
    let config = "profiles:\n- {slug: a, title: '<b>A & \"B\"</b>', description: '<script>', image: ml-cpu}\n";
    let offers = offers(&mixed(), config);
    assert_eq!(offers[0]["display_name"], "&lt;b&gt;A &amp; &quot;B&quot;&lt;/b&gt;");
    assert_eq!(offers[0]["description"], "&lt;script&gt;");
    assert_eq!(offers[0]["berth"]["title"], "<b>A & \"B\"</b>");
}

#[test]
fn the_hubs_own_rules_count_in_availability_and_not_in_free() {
    let base: Base =
        serde_json::from_value(json!({"node_selector": {"pool": "users"}, "requests": {"cpu": "1"}})).expect("a base");
    let offers = offered(&mixed(), "", &user(&[]), &base);
    let gpu = &by_slug(&offers, "gpu")["berth"];
    assert_eq!((&gpu["availability"], &gpu["free"]), (&json!("never"), &json!(5)));
}

#[test]
fn a_gpu_without_cpu_beside_it_is_busy() {
    let cluster = Cluster::default()
        .gpu_node("gpu-a", A100, 81920, 2)
        .pod("x/y", "gpu-a", 0)
        .change(|p| p["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "15500m"}}));
    let offers = offers(&cluster, "");
    let gpu = &by_slug(&offers, "gpu")["berth"];
    assert_eq!((&gpu["availability"], &gpu["free"]), (&json!("busy"), &json!(2)));
    assert_eq!(gpu["reasons"], json!(["GPU free but not enough CPU left on gpu-a"]));
}

#[test]
fn memory_and_sharing_leave_kinds_out() {
    let config = "profiles:\n- {slug: big, title: Big, image: ml-gpu, gpu: {minMemory: 40Gi}}\n- {slug: a100, title: A, image: ml-gpu, gpu: {kinds: ['*a100*']}}\n- {slug: mig, title: M, image: ml-gpu, gpu: {sharing: [mig]}}\n";
    let offers = offers(&mixed(), config);
    let totals: Vec<u64> = offers.iter().map(|offer| offer["berth"]["total"].as_u64().expect("a number")).collect();
    assert_eq!(totals, [8, 8, 0]);
}

#[test]
fn an_inventory_that_was_never_seen_makes_offers_of_unknown_availability() {
    let view = berth::http::View { snapshot: None, ..mixed().view(&catalogue("")) };
    let list = list_profiles(&view, "", &user(&[]), "", &Base::default()).expect("a list");
    let list = serde_json::to_value(list).expect("JSON");
    assert_eq!(list["generation"], 0);
    let offers = list["profiles"].as_array().expect("a list");
    assert_eq!(slugs(offers), ["cpu", "gpu", "fine-tuning", "agent-dev"]);
    assert!(offers.iter().all(|offer| offer["berth"]["availability"] == "unknown"));
}

#[test]
fn the_default_count_is_the_first_that_some_node_could_serve() {
    let config = "profiles:\n- {slug: gpu, title: GPU, image: ml-gpu, gpu: {counts: [4, 2, 1]}}\n";
    let offers = offers(&Cluster::default().gpu_node("a", A100, 81920, 2), config);
    assert_eq!(offers[0]["berth"]["availability"], "now");
    let choices = &offers[0]["profile_options"]["gpus"]["choices"];
    assert_eq!((&choices["2"]["default"], &choices["1"]["default"], choices.get("4")), (&json!(true), &json!(false), None));
}

#[test]
fn who_has_only_nodes_to_choose_from_is_told_when_there_are_none() {
    let config = "profiles:\n- {slug: on, title: 'On {node}', image: ml-gpu, gpu: {}, perNode: {}}\n";
    let none = Cluster::default().node("cpu-1").view(&catalogue(config));
    let unseen = berth::http::View { snapshot: None, ..mixed().view(&catalogue(config)) };
    for (view, status) in [(none, 409), (unseen, 503)] {
        assert_eq!(list_profiles(&view, "", &user(&[]), "", &Base::default()).expect_err("a refusal").status, status);
    }
}

#[test]
fn an_old_picture_is_offered_with_its_age() {
    let mut view = mixed().view(&catalogue(""));
    view.freshness.stale = true;
    view.freshness.observed_at = "2026-01-31T12:00:00Z".to_owned();
    let list = list_profiles(&view, "", &user(&[]), "", &Base::default()).expect("a list");
    assert_eq!((list.stale, list.observed_at.as_str()), (true, "2026-01-31T12:00:00Z"));
    let gpu = list.profiles.iter().find(|offer| offer.slug == "gpu").expect("gpu");
    assert!(gpu.description.ends_with("5 of 10 GPUs free (as of 2026-01-31T12:00:00Z)"), "{}", gpu.description);
}

#[test]
fn a_base_that_tolerates_opens_the_nodes_it_tolerates() {
    let cluster =
        Cluster::default().node("cpu-1").change(|n| n["spec"]["taints"] = json!([{"key": "team", "effect": "NoSchedule"}]));
    let tolerating: Base =
        serde_json::from_value(json!({"tolerations": [{"key": "team", "operator": "Exists"}]})).expect("a base");
    let requesting: Base = serde_json::from_value(json!({"requests": {"cpu": "15500m"}})).expect("a base");
    let cpu =
        |cluster: &Cluster, base: &Base| by_slug(&offered(cluster, "", &user(&[]), base), "cpu")["berth"]["availability"].clone();
    assert_eq!([cpu(&cluster, &Base::default()), cpu(&cluster, &tolerating)], ["never", "now"]);
    assert_eq!(cpu(&Cluster::default().node("cpu-1"), &requesting), "never", "the hub's other containers take the room");
}
