//! The page of profiles: everybody's own, and for administrators anyone's, with what is left out of it and why.

use actix_web::web;
use berth::http::{Access, Service};
use serde_json::{Value, json};

use crate::board::{PROFILES, berth_over, check_page};
use crate::cluster::{A100, Cluster, T4, catalogue, mixed};
use crate::http_routes::{check_schema, post, service_with};
use crate::login_hub::{Browser, Hub, SERVICE_TOKEN};

#[actix_web::test]
async fn profiles_are_a_page_for_browsers_and_json_for_programs() {
    let hub = Hub::start();
    let service = berth_over(&hub, &mixed(), "");
    let mut browser = Browser::new(&service, "ada");
    let page = browser.log_in(&hub, PROFILES, "ada").await;
    check_page(&page);
    assert!(page.text.contains("GPU on gpu-a") && !page.text.contains("Dry run"), "{}", page.text);
    for accept in ["application/json", "*/*"] {
        let list = browser.clone().with(&[("accept", accept)]).get(PROFILES).await;
        assert_eq!((list.status.as_u16(), list.header("content-type")), (200, "application/json"), "{accept}");
        let list: Value = serde_json::from_str(&list.text).expect("JSON");
        check_schema("ProfileList", &list);
        assert!(list.get("hidden").is_none());
    }
}

const TWO: &str = "profiles: [{slug: open, title: Open, image: ml-cpu}, \
    {slug: lab, title: For the lab, image: ml-gpu, access: {groups: [lab, staff]}, gpu: {counts: [1, 2]}}, \
    {slug: on, title: 'On {node}', image: ml-gpu, gpu: {}, perNode: {maxEntries: 1}}]";

#[actix_web::test]
async fn an_administrator_sees_anyones_list_what_is_hidden_and_the_exact_patch() {
    let hub = Hub::start();
    hub.state.lock().expect("a lock").users = json!([{"name": "grace", "groups": ["lab"]}]);
    let service = berth_over(&hub, &mixed(), TWO);
    let mut browser = Browser::new(&service, "root");
    let page = browser.log_in(&hub, &format!("{PROFILES}?user=grace&from=typed&groups=guests"), "root").await;
    check_page(&page);
    for text in [
        "Only for members of lab or staff.",
        "Its 2 nodes are more than perNode.maxEntries (1)",
        "<option value=\"grace\">",
        "Dry run",
    ] {
        assert!(page.text.contains(text), "{text} is not in {}", page.text);
    }
    let page = browser.get(&format!("{PROFILES}?user=grace&from=hub&groups=")).await;
    assert!(page.text.contains("in lab") && !page.text.contains("Only for members"), "{}", page.text);

    let page = browser.get(&format!("{PROFILES}?user=grace&from=hub&try.profile=lab&try.gpus=2")).await;
    let program = browser.clone().with(&[("accept", "application/json")]);
    let path = "/services/berth/api/v1/explain?user=grace&groups=lab&options=%7B%22profile%22:%22lab%22,%22gpus%22:%222%22%7D";
    let explained: Value = serde_json::from_str(&program.clone().get(path).await.text).expect("JSON");
    check_schema("Explanation", &explained);
    let patch = serde_json::to_string_pretty(&explained["answer"]["patch"]).expect("JSON").replace('"', "&quot;");
    assert!(patch.contains("&quot;nvidia.com/gpu&quot;: &quot;2&quot;"), "{patch}");
    assert!(page.text.contains(&patch), "{patch} is not in {}", page.text);

    let list: Value =
        serde_json::from_str(&program.clone().get(&format!("{PROFILES}?user=grace&groups=guests")).await.text).expect("JSON");
    check_schema("ProfileList", &list);
    assert_eq!(list["hidden"][0], json!({"slug": "lab", "title": "For the lab", "reason": "only for members of lab or staff"}));
    let refused = program.clone().get("/services/berth/api/v1/explain?user=x&options=%7B%22profile%22:%22lab%22%7D").await;
    assert_eq!(refused.status, 403, "{}", refused.text);
}

/// Kinds and counts of every fate.
const PICKY: &str = "profiles: [{slug: gpu, title: GPU, image: ml-gpu, whenFull: refuse, \
    gpu: {counts: [1, 4, 16], sharing: [exclusive], minMemory: 30Gi, kinds: ['nvidia-*', 'tesla-*']}}, \
    {slug: wide, title: Wide, image: ml-gpu, waitUpTo: 20m, gpu: {counts: [1]}}]";

fn picky() -> Cluster {
    let cluster = Cluster::default().gpu_node("gpu-a", A100, 81920, 8).pod("other/work", "gpu-a", 6);
    cluster.gpu_node("gpu-b", T4, 15360, 2).node_with("gpu-c", &[], &[("gpu.intel.com/i915", 1)])
}

async fn admins_page(service: &web::Data<Service>, path: &str) -> String {
    Browser::new(service, "").get(path).await.text
}

#[actix_web::test]
async fn choices_are_shown_with_their_state_and_what_is_left_out_with_a_reason() {
    let service = service_with(Some(&picky()), Access::Open, catalogue(PICKY));
    let page = admins_page(&service, "/profiles?user=grace").await;
    let gpu = page.split("id=\"choices-gpu\"").nth(1).and_then(|rest| rest.split("</details>").next()).expect("its choices");
    for (choice, state, why) in [
        ("Any, 2 of 8 free", "free now", ""),
        ("NVIDIA A100 80 GB, 2 of 8 free", "free now", ""),
        ("Intel GPU", "not offered", "The profile's kinds do not name it."),
        ("Tesla T4 15 GB", "not offered", "It has 15360 MiB of memory, and the profile's minMemory is 30720 MiB."),
        ("4 GPUs, in use now", "can't be picked", "Only 2 of the 4 asked for are free."),
        ("16 GPUs, not possible here", "not offered", "No node has 16 of them."),
    ] {
        let row = gpu.split("<tr>").find(|row| row.contains(&format!(">{choice}<"))).unwrap_or_default();
        assert!(row.contains(state) && row.contains(why), "{choice} is not {state} because: {why} in {gpu}");
    }
    assert!(gpu.contains("The kind is not asked for") && !gpu.contains("The number of GPUs is not"), "{gpu}");
    for text in ["A whole GPU for one server · does not wait", "waits for up to 20 min"] {
        assert!(page.contains(text), "{text} is not in {page}");
    }
}

#[actix_web::test]
async fn a_list_that_knows_nothing_of_the_hubs_settings_says_so() {
    const UNKNOWN: &str =
        "The hub has not asked for this server&#39;s form since Berth started: judged without the hub&#39;s own settings.";
    let hub = Hub::start();
    let service = berth_over(&hub, &mixed(), TWO);
    let mut browser = Browser::new(&service, "root");
    let before = browser.log_in(&hub, &format!("{PROFILES}?user=grace"), "root").await;
    let call = json!({"user": {"name": "grace", "groups": [], "admin": false}, "server": "", "base": {}});
    assert_eq!(post(&service, "/api/v1/hub/profile-list", Some(SERVICE_TOKEN), call).await.status, 200);
    let after = browser.get(&format!("{PROFILES}?user=grace")).await;
    let other_server = browser.get(&format!("{PROFILES}?user=grace&server=second")).await;
    let shown = [&before, &after, &other_server].map(|page| page.text.replace('\'', "&#39;").contains(UNKNOWN));
    assert_eq!(shown, [true, false, true], "{}", after.text);
    let nobodys = admins_page(&service_with(Some(&mixed()), Access::Open, catalogue("")), "/profiles?user=grace").await;
    assert!(!nobodys.contains("has not asked"), "without a hub there is nothing to know: {nobodys}");
}

#[actix_web::test]
async fn an_administrator_sees_his_own_list_without_his_groups_when_he_types_none() {
    let hub = Hub::start();
    hub.state.lock().expect("a lock").groups = vec!["lab".into()];
    let service = berth_over(&hub, &mixed(), TWO);
    let mut browser = Browser::new(&service, "root");
    let own = browser.log_in(&hub, &format!("{PROFILES}?user=root&groups="), "root").await;
    assert!(own.text.contains("in lab") && !own.text.contains("Only for members"), "{}", own.text);
    let typed = browser.get(&format!("{PROFILES}?user=root&groups=&from=typed")).await;
    assert!(typed.text.contains("in no group") && typed.text.contains("Only for members of lab"), "{}", typed.text);
    let mut ada = Browser::new(&service, "ada");
    assert_eq!(ada.log_in(&hub, &format!("{PROFILES}?user=ada&from=typed"), "ada").await.status, 200);
}
