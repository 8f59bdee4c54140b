//! The pages: who sees which names, that nothing foreign gets into them, and that every number has its place.

use std::time::Duration;

use actix_web::web;
use berth::http::explain::explain;
use berth::http::{Access, Service};
use berth::profiles::User;
use serde_json::json;

use crate::cluster::{A100, Cluster, T4, catalogue, mixed};
use crate::http_routes::{get, service_with, tokens};
use crate::login_hub::{Browser, Hub, Page};

pub const BOARD: &str = "/services/berth/";
pub const PROFILES: &str = "/services/berth/profiles";
const HOSTILE: &str = "<script>alert('x')</script>\"&";

/// A pod that KubeSpawner made; without a node it waits.
pub fn server(cluster: Cluster, user: &str, name: &str, node: Option<&str>, gpus: u32, since: &str) -> Cluster {
    let pod = format!("jupyterhub/jupyter-{}", cluster.items.len());
    cluster.pod(&pod, node.unwrap_or_default(), gpus).change(|pod| {
        pod["metadata"]["creationTimestamp"] = json!(since);
        pod["metadata"]["annotations"] = json!({"hub.jupyter.org/username": user, "hub.jupyter.org/servername": name});
        pod["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
        if node.is_none() {
            pod["status"] = json!({"phase": "Pending", "conditions": [
                {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available: secret-node is full"}
            ]});
        }
    })
}

/// Two users hold GPUs, one waits; `ada` and `root` are those who look.
pub fn busy() -> Cluster {
    let cluster = server(mixed(), "grace-the-other", "hidden-server", Some("gpu-a"), 2, "2026-01-31T06:00:00Z");
    let cluster = server(cluster, "ada", "", Some("gpu-b"), 1, "2026-01-31T08:00:00Z");
    let cluster = server(cluster, "linus-the-other", "", None, 4, "2026-01-31T09:00:00Z");
    server(cluster, "ada", "large", None, 4, "2026-01-31T10:00:00Z")
}

/// A Berth over a cluster, in front of a hub that stands in for the real one.
pub fn berth_over(hub: &Hub, cluster: &Cluster, config: &str) -> web::Data<Service> {
    service_with(Some(cluster), tokens(&hub.api), catalogue(config))
}

pub async fn page(service: &web::Data<Service>, hub: &Hub, user: &str, path: &str) -> Page {
    Browser::new(service, user).log_in(hub, path, user).await
}

pub fn check_page(page: &Page) {
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8", "{}", page.text);
    let policy = page.header("content-security-policy");
    for part in ["default-src 'none'", "style-src 'self'", "script-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"] {
        assert!(policy.split("; ").any(|found| found == part), "{part} is not in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!((page.header("cache-control"), page.header("referrer-policy")), ("no-store", "no-referrer"));
    for inline in ["<style", " style=", " onclick=", " onload=", "javascript:", "<script>"] {
        assert!(!page.text.contains(inline), "{inline} in {}", page.text);
    }
}

#[actix_web::test]
async fn who_is_no_administrator_sees_no_other_name() {
    let hub = Hub::start();
    let service = berth_over(&hub, &busy(), "");
    let mine = page(&service, &hub, "ada", BOARD).await;
    check_page(&mine);
    assert_eq!(mine.status, 200);
    assert!(mine.text.contains("Your servers") && mine.text.contains("gpu-b") && mine.text.contains("large"), "{}", mine.text);
    let mut browser = Browser::new(&service, "ada");
    let mut seen = vec![mine, browser.log_in(&hub, PROFILES, "ada").await];
    seen.push(browser.get("/services/berth/api/v1/gpus").await);
    for page in &seen {
        assert_eq!(page.status, 200);
        for secret in ["grace-the-other", "hidden-server", "linus-the-other", "secret-node", "hub/admin", "Not on the list"] {
            assert!(!page.text.contains(secret), "{secret} is in {}", page.text);
        }
    }
    for path in ["/services/berth/profiles?user=grace-the-other", "/services/berth/api/v1/explain?user=ada"] {
        assert_eq!(browser.get(path).await.status, 403, "{path}");
    }
}

#[actix_web::test]
async fn hostile_names_are_text() {
    let hub = Hub::start();
    let cluster = Cluster::default().gpu_node(HOSTILE, HOSTILE, 81920, 8).change(|node| {
        node["spec"]["taints"] = json!([{"key": HOSTILE, "value": HOSTILE, "effect": "NoSchedule"}]);
    });
    let cluster = cluster.gpu_node("gpu-b", T4, 15360, 2).node_with("odd", &[], &[("example.org/gpu-<b>", 1)]);
    let cluster = server(cluster, HOSTILE, HOSTILE, Some("gpu-b"), 1, HOSTILE);
    let cluster = server(cluster, "root", HOSTILE, None, 9, "2026-01-31T08:00:00Z").change(|pod| {
        pod["status"]["conditions"][0]["message"] = json!(HOSTILE);
    });
    let config = format!(
        "profiles: [{{slug: gpu, title: {0}, description: {0}, image: ml-gpu, gpu: {{}}}}, \
         {{slug: lab, title: {0}, image: ml-gpu, access: {{groups: [{0}]}}}}]",
        json!(HOSTILE)
    );
    let service = berth_over(&hub, &cluster, &config);
    let mut browser = Browser::new(&service, "root");
    let board = browser.log_in(&hub, BOARD, "root").await;
    let attack = serde_urlencoded::to_string([
        ("user", HOSTILE),
        ("groups", HOSTILE),
        ("server", HOSTILE),
        ("try.profile", "gpu"),
        ("try.image", HOSTILE),
    ]);
    let profiles = browser.get(&format!("{PROFILES}?{}", attack.expect("a query"))).await;
    for page in [&board, &profiles] {
        check_page(page);
        assert!(!page.text.contains("<script>") && !page.text.contains("alert('x')</script>"), "{}", page.text);
        assert!(page.text.contains("&lt;script&gt;alert("), "it is shown: {}", page.text);
    }
    let wrong = browser.get(&format!("{PROFILES}?%3Cscript%3E=1")).await;
    assert_eq!(wrong.status, 400);
    assert!(!wrong.text.contains("<script>"), "{}", wrong.text);
}

#[actix_web::test]
async fn the_prefix_without_a_slash_leads_on_and_the_root_is_for_tokens() {
    let hub = Hub::start();
    let service = berth_over(&hub, &mixed(), "");
    let page = Browser::new(&service, "ada").get("/services/berth").await;
    assert_eq!((page.status.as_u16(), page.location()), (302, BOARD));
    assert_eq!(get(&service, "/", None).await.status, 401);
    assert_eq!(get(&service_with(Some(&mixed()), Access::Open, catalogue("")), "/", None).await.status, 200);
}

#[actix_web::test]
async fn files_are_kept_by_browsers_for_as_long_as_they_are_the_same() {
    let hub = Hub::start();
    let service = berth_over(&hub, &mixed(), "");
    let board = page(&service, &hub, "ada", BOARD).await.text;
    let mut browser = Browser::new(&service, "nobody");
    for (name, kind) in
        [("board.css", "text/css; charset=utf-8"), ("board.js", "text/javascript; charset=utf-8"), ("icon.svg", "image/svg+xml")]
    {
        let at = board.find(&format!("static/{name}?v=")).expect("an address");
        let address = board[at..].split('"').next().expect("an address");
        let file = browser.get(&format!("{BOARD}{address}")).await;
        assert_eq!((file.status.as_u16(), file.header("content-type")), (200, kind));
        assert!(file.header("cache-control").contains("immutable"));
        let other = browser.get(&format!("{BOARD}static/{name}?v=another")).await;
        assert_eq!(other.header("cache-control"), "no-cache", "another version's address does not keep this one");
    }
    assert_eq!(browser.get("/services/berth/static/..%2fhttp.rs").await.status, 404);
}

#[actix_web::test]
async fn two_hundred_nodes_make_a_page_of_bounded_size() {
    let mut cluster = mixed();
    for at in 0..1_000 {
        cluster = cluster.gpu_node(&format!("gpu-{at:04}"), A100, 81920, 8);
        if at % 50 == 0 {
            cluster = cluster.change(|node| node["spec"]["unschedulable"] = json!(true));
        }
    }
    let page = get(&service_with(Some(&cluster), Access::Open, catalogue("")), "/", None).await;
    assert!(page.text.len() < 400_000, "{} bytes", page.text.len());
    assert!(page.text.contains("<details id=\"nodes-trouble\" open>") && page.text.contains("gpu-0950"));
    assert!(page.text.contains("<details id=\"nodes-nvidia-a100-sxm4-80gb\"><summary>"), "folded");
    assert!(page.text.contains("And 731 more"), "the rest is counted");
}

#[actix_web::test]
async fn a_node_says_in_words_what_its_bar_shows() {
    let cluster = Cluster::default().gpu_node("gpu-a", A100, 81920, 8).pod("other/work", "gpu-a", 3);
    let cluster = cluster.gpu_node("gpu-b", T4, 15360, 2).change(|node| node["spec"]["unschedulable"] = json!(true));
    let page = get(&service_with(Some(&cluster), Access::Open, catalogue("")), "/", None).await.text;
    for text in ["<strong>5</strong> of 8 free, 3 used<", "<strong>0</strong> of 2 free, 2 unusable<"] {
        assert!(page.contains(text), "{text} is not in {page}");
    }
}

#[actix_web::test]
async fn before_the_first_inventory_the_board_says_so() {
    let page = get(&service_with(None, Access::Open, catalogue("")), "/", None).await;
    assert_eq!(page.status, 503);
    assert!(page.text.contains("Berth has no picture of the cluster yet.") && page.text.contains("data-live"));
}

#[actix_web::test]
async fn old_numbers_say_how_old_they_are() {
    let service = service_with(Some(&mixed()), Access::Open, catalogue(""));
    assert!(!get(&service, "/", None).await.text.contains("role=\"alert\""));
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(240)).await;
    let page = get(&service, "/", None).await;
    assert!(page.text.contains("The cluster has not answered for 4 min. These numbers are old."), "{}", page.text);
}

#[actix_web::test]
async fn a_long_queue_is_told_in_part_and_stays_quick() {
    let mut cluster = mixed();
    for at in 0..500 {
        cluster = cluster.gpu_node(&format!("gpu-{at:03}"), A100, 81920, 8).pod(
            &format!("other/work-{at}"),
            &format!("gpu-{at:03}"),
            8,
        );
        let since = format!("2026-01-31T{:02}:{:02}:00Z", at / 60, at % 60);
        cluster = server(cluster, &format!("user-{at:03}"), "", None, 8, &since);
    }
    let service = service_with(Some(&cluster), Access::Open, catalogue(""));
    let begun = std::time::Instant::now();
    let page = get(&service, "/", None).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!((page.text.matches("ahead of this one").count(), page.text.matches("class=\"waiting\"").count()), (50, 500));
    assert!(
        page.text.contains("No other request of this hub is ahead of this one.") && page.text.contains("49 requests are ahead"),
        "in their order"
    );
}

#[actix_web::test]
async fn the_route_explains_as_the_command_does_and_holds_nothing() {
    let service = service_with(Some(&mixed()), Access::Open, catalogue(""));
    let answer = get(&service, "/api/v1/explain?user=ada&options=%7B%22profile%22:%22gpu%22%7D", None).await.json();
    let view = mixed().view(&catalogue(""));
    let ada = User { name: "ada".into(), ..User::default() };
    let printed = explain(&view, "/services/berth/", (&ada, ""), &view.catalogue.base, &json!({"profile": "gpu"}));
    let printed = serde_json::to_value(printed.expect("an explanation")).expect("JSON");
    assert_eq!(answer, printed);
    assert_eq!(get(&service, "/api/v1/gpus", None).await.json()["kinds"][0]["held"], 0);
    for (path, status) in
        [("/api/v1/explain", 400), ("/api/v1/explain?user=a&options=%7B", 400), ("/api/v1/explain?user=a&x=1", 400)]
    {
        assert_eq!(get(&service, path, None).await.status, status, "{path}");
    }
}
