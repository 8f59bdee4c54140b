//! The watches against an apiserver that misbehaves on demand. A small server stands in for it, since a real one can't
//! be made to send objects that make no sense; the end-to-end tests use the real one.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use berth::domain::node::Policy;
use berth::domain::snapshot::Snapshot;
use berth::inventory::{self, Inventory};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::cluster::{A100, Cluster, GPU, catalogue};

type Lines = mpsc::UnboundedReceiver<String>;

/// What the apiserver answers. Lists come from `objects`; each watch takes the next of the prepared streams.
#[derive(Default)]
struct Script {
    objects: Mutex<HashMap<String, Vec<Value>>>,
    streams: Mutex<HashMap<String, Vec<Lines>>>,
    lists: Mutex<Vec<String>>,
    watches: Mutex<Vec<String>>,
    refused: Mutex<Vec<String>>,
}

struct Apiserver {
    script: web::Data<Script>,
    client: kube::Client,
}

async fn answer(script: web::Data<Script>, request: HttpRequest) -> HttpResponse {
    let path = request.path().to_owned();
    let query = web::Query::<HashMap<String, String>>::from_query(request.query_string()).expect("a query").into_inner();
    if path == "/version" {
        return HttpResponse::Ok().json(json!({
            "major": "1", "minor": "37", "gitVersion": "v1.37.2", "gitCommit": "", "gitTreeState": "", "buildDate": "",
            "goVersion": "", "compiler": "", "platform": ""
        }));
    }
    if script.refused.lock().expect("a lock").contains(&path) {
        let status = json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "message": "no right", "code": 403});
        return HttpResponse::Forbidden().json(status);
    }
    if query.contains_key("watch") {
        script.watches.lock().expect("a lock").push(format!("{path}@{}", query["resourceVersion"]));
        let stream = {
            let mut streams = script.streams.lock().expect("a lock");
            streams.get_mut(&path).filter(|prepared| !prepared.is_empty()).map(|prepared| prepared.remove(0))
        };
        // Without a prepared stream the watch stays open and silent.
        let lines = stream.map_or_else(
            || futures::stream::pending().boxed(),
            |lines| futures::stream::unfold(lines, |mut lines| async { Some((lines.recv().await?, lines)) }).boxed(),
        );
        let bytes = lines.map(|line| Ok::<_, actix_web::Error>(web::Bytes::from(line + "\n")));
        return HttpResponse::Ok().content_type("application/json").streaming(bytes);
    }
    script.lists.lock().expect("a lock").push(path.clone());
    let limit: usize = query["limit"].parse().expect("a limit");
    let from: usize = query.get("continue").map_or(0, |token| token.parse().expect("a token"));
    let objects = script.objects.lock().expect("a lock").get(&path).cloned().unwrap_or_default();
    let page: Vec<&Value> = objects.iter().skip(from).take(limit).collect();
    let next = if from + limit < objects.len() { (from + limit).to_string() } else { String::new() };
    HttpResponse::Ok().json(json!({"metadata": {"resourceVersion": "100", "continue": next}, "items": page}))
}

const NODES: &str = "/api/v1/nodes";
const PODS: &str = "/api/v1/pods";

fn apiserver(cluster: &Cluster) -> Apiserver {
    berth::app::install_crypto();
    let script = web::Data::new(Script::default());
    for item in &cluster.items {
        let path = if item["kind"] == "Node" { NODES } else { PODS };
        script.objects.lock().expect("a lock").entry(path.to_owned()).or_default().push(item.clone());
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let state = script.clone();
    let server = HttpServer::new(move || App::new().app_data(state.clone()).default_service(web::to(answer)));
    actix_web::rt::spawn(server.workers(1).listen(listener).expect("a server").run());
    let client = kube::Client::try_from(kube::Config::new(url.parse().expect("a URL"))).expect("a client");
    Apiserver { script, client }
}

impl Apiserver {
    /// Prepares the next watch of a kind; what is sent here comes out of it.
    fn stream(&self, path: &str) -> mpsc::UnboundedSender<String> {
        let (sender, lines) = mpsc::unbounded_channel();
        self.script.streams.lock().expect("a lock").entry(path.to_owned()).or_default().push(lines);
        sender
    }

    /// Answers 403 to whoever asks for this kind.
    fn refuse(&self, path: &str) {
        self.script.refused.lock().expect("a lock").push(path.to_owned());
    }

    fn follow(&self) -> (Inventory, watch::Sender<Policy>) {
        let (publisher, inventory) = inventory::new();
        let (policies, policy) = watch::channel(Policy { tolerate: vec![GPU.to_owned()], ..Policy::default() });
        let client = self.client.clone();
        actix_web::rt::spawn(async move { publisher.follow_cluster(client, "jupyterhub", policy).await });
        (inventory, policies)
    }
}

fn event(name: &str, object: &Value, version: u32) -> String {
    let mut object = object.clone();
    object["metadata"]["resourceVersion"] = json!(version.to_string());
    json!({"type": name, "object": object}).to_string()
}

/// Waits until a published snapshot is as wanted.
async fn until(inventory: &mut Inventory, wanted: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
    let found = inventory.snapshots.wait_for(|snapshot| snapshot.as_deref().is_some_and(&wanted));
    let found = tokio::time::timeout(Duration::from_secs(20), found).await.expect("in time").expect("a publisher").clone();
    found.expect("a snapshot")
}

fn free(snapshot: &Snapshot) -> u64 {
    snapshot.kinds.iter().map(|count| count.free).sum()
}

fn two_gpus() -> Cluster {
    Cluster::default().gpu_node("gpu-a", A100, 81920, 2)
}

#[actix_web::test]
async fn a_new_rule_reads_the_nodes_anew_that_are_known_already() {
    let server = apiserver(&Cluster::default().node_with("odd", &[], &[("example.org/gpu", 2)]));
    let (mut inventory, policies) = server.follow();
    let first = until(&mut inventory, |s| !s.nodes.is_empty()).await;
    assert_eq!((first.unclassified.len(), first.kinds.len()), (1, 0));
    let rules = "gpuResources: [{resource: example.org/gpu}]\nprofiles: [{slug: a, title: A, image: ml-cpu}]";
    policies.send_replace(Policy { gpu_rules: catalogue(rules).gpu_rules, ..Policy::default() });
    let by_rule = until(&mut inventory, |s| s.unclassified.is_empty()).await;
    assert_eq!(by_rule.kinds[0].kind.id, "example.org-gpu");
    policies.send_replace(Policy::default());
    until(&mut inventory, |s| s.kinds.is_empty() && s.unclassified.len() == 1).await;
}

#[actix_web::test]
async fn events_change_the_snapshot_and_its_generation() {
    let server = apiserver(&two_gpus());
    let pods = server.stream(PODS);
    let (mut inventory, _policies) = server.follow();
    let first = until(&mut inventory, |s| free(s) == 2).await;
    let pod = Cluster::default().pod("x/y", "gpu-a", 1).items.remove(0);
    pods.send(event("ADDED", &pod, 101)).expect("a watch");
    let second = until(&mut inventory, |s| free(s) == 1).await;
    assert!(second.generation > first.generation);
    pods.send(event("DELETED", &pod, 102)).expect("a watch");
    until(&mut inventory, |s| free(s) == 2).await;
}

#[actix_web::test]
async fn case_27_a_node_that_goes_before_its_pods_leaves_no_phantom() {
    let cluster = two_gpus().gpu_node("gpu-b", A100, 81920, 2).pod("x/y", "gpu-a", 2);
    let (node, pod) = (cluster.items[0].clone(), cluster.items[2].clone());
    let server = apiserver(&cluster);
    let (nodes, pods) = (server.stream(NODES), server.stream(PODS));
    let (mut inventory, _policies) = server.follow();
    until(&mut inventory, |s| free(s) == 2).await;
    nodes.send(event("DELETED", &node, 101)).expect("a watch");
    let without = until(&mut inventory, |s| s.nodes.len() == 1).await;
    assert_eq!((without.kinds[0].total, without.kinds[0].used, without.kinds[0].free), (2, 0, 2));
    pods.send(event("MODIFIED", &pod, 102)).expect("a watch");
    pods.send(event("DELETED", &pod, 103)).expect("a watch");
    nodes.send(event("ADDED", &node, 104)).expect("a watch");
    let back = until(&mut inventory, |s| s.nodes.len() == 2 && free(s) == 4).await;
    assert_eq!(back.kinds[0].used, 0);
}

#[actix_web::test]
async fn case_28_a_pod_on_a_node_that_is_not_known_yet_counts_when_the_node_comes() {
    let server = apiserver(&two_gpus());
    let (nodes, pods) = (server.stream(NODES), server.stream(PODS));
    let (mut inventory, _policies) = server.follow();
    until(&mut inventory, |s| free(s) == 2).await;
    let later = Cluster::default().gpu_node("gpu-b", A100, 81920, 2).pod("x/y", "gpu-b", 1);
    pods.send(event("ADDED", &later.items[1], 101)).expect("a watch");
    // Once this one counts, the other has been seen too, before its node.
    pods.send(event("ADDED", &Cluster::default().pod("x/z", "gpu-a", 1).items[0], 102)).expect("a watch");
    until(&mut inventory, |s| free(s) == 1).await;
    nodes.send(event("ADDED", &later.items[0], 103)).expect("a watch");
    let both = until(&mut inventory, |s| s.nodes.len() == 2).await;
    assert_eq!((both.kinds[0].total, both.kinds[0].used, both.kinds[0].free), (4, 2, 2));
}

#[actix_web::test]
async fn an_absurd_pod_that_goes_takes_no_count_with_it() {
    let cluster = two_gpus().pod("x/y", "gpu-a", 1);
    let server = apiserver(&cluster);
    let pods = server.stream(PODS);
    let (mut inventory, _policies) = server.follow();
    until(&mut inventory, |s| free(s) == 1).await;
    let most = json!({"resources": {"limits": {GPU: i64::MAX.to_string(), "cpu": i64::MAX.to_string()}}});
    let absurd =
        Cluster::default().pod("x/absurd", "gpu-a", 0).change(|pod| pod["spec"]["containers"] = json!([most, most, most]));
    let absurd = absurd.items[0].clone();
    pods.send(event("ADDED", &absurd, 101)).expect("a watch");
    until(&mut inventory, |s| free(s) == 0).await;
    pods.send(event("DELETED", &absurd, 102)).expect("a watch");
    let after = until(&mut inventory, |s| free(s) > 0).await;
    assert_eq!((after.kinds[0].used, after.kinds[0].free), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn case_36_numbers_that_nobody_renews_are_called_old() {
    let (mut publisher, inventory) = inventory::new();
    publisher.publish_dump(&two_gpus().text(), "jupyterhub", &Policy::default()).expect("a dump");
    let stale = || inventory.health.freshness().stale;
    publisher.lose_dump();
    tokio::time::advance(Duration::from_secs(30)).await;
    assert!(!stale());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(stale());
    assert!(inventory.snapshot().is_some(), "old numbers are shown with their age, not taken away");
    publisher.confirm_dump();
    assert!(!stale());
}

#[actix_web::test]
async fn an_object_that_makes_no_sense_is_skipped_and_the_watch_goes_on() {
    let server = apiserver(&two_gpus());
    let pods = server.stream(PODS);
    let (mut inventory, _policies) = server.follow();
    until(&mut inventory, |s| free(s) == 2).await;
    let strange = json!({"metadata": {"name": "odd", "namespace": "x"}, "spec": {"containers": "none"}});
    pods.send(event("ADDED", &strange, 101)).expect("a watch");
    pods.send(event("ADDED", &Cluster::default().pod("x/y", "gpu-a", 1).items[0], 102)).expect("a watch");
    until(&mut inventory, |s| free(s) == 1).await;
    let numbers = inventory.health.numbers();
    for numbers in numbers {
        let skipped = u64::from(numbers.kind.name() == "pods");
        assert_eq!((numbers.skipped, numbers.restarts), (skipped, 0), "{}", numbers.kind.name());
    }
}

/// What the numbers are made of is there; quotas are not to be had.
#[actix_web::test]
async fn a_right_that_berth_can_do_without_holds_nothing_up() {
    let server = apiserver(&two_gpus());
    server.refuse("/api/v1/namespaces/jupyterhub/resourcequotas");
    let (mut inventory, _policies) = server.follow();
    let snapshot = until(&mut inventory, |s| free(s) == 2).await;
    assert!(snapshot.quotas.is_empty());
    assert!(!inventory.health.freshness().stale);
}

#[actix_web::test]
async fn a_heartbeat_of_a_node_makes_no_new_snapshot() {
    let server = apiserver(&two_gpus());
    let (nodes, pods) = (server.stream(NODES), server.stream(PODS));
    let (mut inventory, _policies) = server.follow();
    let first = until(&mut inventory, |s| free(s) == 2).await;
    let mut beat = two_gpus().items.remove(0);
    beat["status"]["conditions"][0]["lastHeartbeatTime"] = json!("2026-01-01T00:00:00Z");
    nodes.send(event("MODIFIED", &beat, 101)).expect("a watch");
    pods.send(event("ADDED", &Cluster::default().pod("x/y", "gpu-a", 1).items[0], 102)).expect("a watch");
    let next = until(&mut inventory, |s| free(s) == 1).await;
    assert_eq!(next.generation, first.generation + 1);
}

#[actix_web::test]
async fn a_watch_that_ends_is_resumed_from_the_last_version_seen() {
    let server = apiserver(&two_gpus());
    let (first, second) = (server.stream(PODS), server.stream(PODS));
    let (mut inventory, _policies) = server.follow();
    until(&mut inventory, |s| free(s) == 2).await;
    first.send(event("BOOKMARK", &json!({"metadata": {}}), 150)).expect("a watch");
    drop(first);
    second.send(event("ADDED", &Cluster::default().pod("x/y", "gpu-a", 2).items[0], 151)).expect("a watch");
    until(&mut inventory, |s| free(s) == 0).await;
    let watches = server.script.watches.lock().expect("a lock").clone();
    assert!(watches.contains(&"/api/v1/pods@100".to_owned()) && watches.contains(&"/api/v1/pods@150".to_owned()), "{watches:?}");
    assert_eq!(server.script.lists.lock().expect("a lock").iter().filter(|path| *path == PODS).count(), 1);
}

#[actix_web::test]
async fn a_history_that_is_gone_makes_a_new_list() {
    let server = apiserver(&two_gpus().pod("x/old", "gpu-a", 2));
    let pods = server.stream(PODS);
    let (mut inventory, _policies) = server.follow();
    until(&mut inventory, |s| free(s) == 0).await;
    server.script.objects.lock().expect("a lock").insert(PODS.to_owned(), Vec::new());
    let gone = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old resource version"}});
    pods.send(gone.to_string()).expect("a watch");
    until(&mut inventory, |s| free(s) == 2).await;
    assert_eq!(inventory.health.numbers()[1].restarts, 1);
}

#[actix_web::test]
async fn a_server_that_forgets_at_once_is_not_asked_for_list_after_list() {
    let server = apiserver(&two_gpus());
    let gone = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}).to_string();
    for _ in 0..1000 {
        server.stream(PODS).send(gone.clone()).expect("a watch");
    }
    let (mut inventory, _policies) = server.follow();
    until(&mut inventory, |s| free(s) == 2).await;
    let second_restart = async {
        while inventory.health.numbers()[1].restarts < 2 {
            tokio::task::yield_now().await;
        }
    };
    let began = std::time::Instant::now();
    tokio::time::timeout(Duration::from_secs(20), second_restart).await.expect("in time");
    assert!(began.elapsed() > Duration::from_millis(400), "two lists within {:?}", began.elapsed());
}

#[actix_web::test]
async fn an_error_that_is_not_410_resumes_and_counts_as_a_loss() {
    let server = apiserver(&two_gpus());
    let (first, second) = (server.stream(PODS), server.stream(PODS));
    let (mut inventory, _policies) = server.follow();
    until(&mut inventory, |s| free(s) == 2).await;
    first
        .send(json!({"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "no"}}).to_string())
        .expect("a watch");
    second.send(event("ADDED", &Cluster::default().pod("x/y", "gpu-a", 1).items[0], 102)).expect("a watch");
    until(&mut inventory, |s| free(s) == 1).await;
    assert_eq!(server.script.lists.lock().expect("a lock").iter().filter(|path| *path == PODS).count(), 1);
    assert_eq!(inventory.health.numbers()[1].restarts, 1);
}

#[actix_web::test]
async fn a_nominated_pod_holds_its_place_until_it_is_bound() {
    let server = apiserver(&two_gpus());
    let pods = server.stream(PODS);
    let (mut inventory, _policies) = server.follow();
    until(&mut inventory, |s| free(s) == 2).await;
    let waiting =
        Cluster::default().pod("x/y", "", 1).change(|p| p["status"] = json!({"phase": "Pending", "nominatedNodeName": "gpu-a"}));
    pods.send(event("ADDED", &waiting.items[0], 101)).expect("a watch");
    until(&mut inventory, |s| s.kinds[0].held == 1 && free(s) == 1).await;
    pods.send(event("MODIFIED", &Cluster::default().pod("x/y", "gpu-a", 1).items[0], 102)).expect("a watch");
    until(&mut inventory, |s| s.kinds[0].held == 0 && s.kinds[0].used == 1 && free(s) == 1).await;
}

#[actix_web::test]
async fn a_new_list_forgets_what_is_not_in_it() {
    let server = apiserver(&two_gpus().gpu_node("gpu-b", A100, 81920, 4));
    let nodes = server.stream(NODES);
    let (mut inventory, _policies) = server.follow();
    until(&mut inventory, |s| free(s) == 6).await;
    server.script.objects.lock().expect("a lock").insert(NODES.to_owned(), two_gpus().items);
    nodes
        .send(json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "gone"}}).to_string())
        .expect("a watch");
    until(&mut inventory, |s| free(s) == 2 && s.nodes.len() == 1).await;
}

#[actix_web::test]
async fn a_long_list_is_read_page_by_page() {
    let mut cluster = Cluster::default().gpu_node("gpu-a", A100, 81920, 2000);
    for number in 0..1201 {
        cluster = cluster.pod(&format!("x/p{number}"), "gpu-a", 1);
    }
    let server = apiserver(&cluster);
    let (mut inventory, _policies) = server.follow();
    until(&mut inventory, |s| free(s) == 799).await;
    assert_eq!(server.script.lists.lock().expect("a lock").iter().filter(|path| *path == PODS).count(), 3);
}

#[actix_web::test]
async fn a_new_policy_counts_every_node_anew() {
    let server = apiserver(&two_gpus());
    let (mut inventory, policies) = server.follow();
    until(&mut inventory, |s| free(s) == 2).await;
    policies.send_replace(Policy::default());
    until(&mut inventory, |s| free(s) == 0).await;
}
