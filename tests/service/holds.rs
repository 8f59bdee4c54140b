//! Holds: what is promised to one is not promised to another, and never for long.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use berth::domain::node::Policy;
use berth::domain::snapshot::Snapshot;
use berth::http::Service;
use berth::http::holds::Holds;
use berth::inventory;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::cluster::{A100, Cluster, GPU, catalogue};
use crate::http_routes::{Answer, LIST, SPAWN, post, service_with};

const ONE: &str = "profiles:\n- {slug: gpu, title: GPU, image: ml-cpu, gpu: {counts: [1]}, whenFull: refuse}\n\
                   - {slug: cpu, title: CPU, image: ml-cpu}\nvolumes: []\n";

fn one_gpu() -> Cluster {
    Cluster::default().gpu_node("gpu-a", A100, 81920, 1)
}

fn open(cluster: &Cluster) -> web::Data<Service> {
    service_with(Some(cluster), berth::http::Access::Open, catalogue(ONE))
}

async fn spawn_profile(service: &web::Data<Service>, user: &str, server: &str, profile: &str) -> Answer {
    let call = json!({"user": {"name": user}, "server": server, "base": {}, "options": {"profile": profile}});
    post(service, SPAWN, None, call).await
}

async fn spawn(service: &web::Data<Service>, user: &str, server: &str) -> Answer {
    spawn_profile(service, user, server, "gpu").await
}

async fn offered(service: &web::Data<Service>, user: &str) -> Value {
    let answer = post(service, LIST, None, json!({"user": {"name": user}, "server": "", "base": {}})).await;
    answer.json()["profiles"][0]["berth"].clone()
}

#[actix_web::test]
async fn case_35_two_users_cannot_both_be_promised_the_last_gpu() {
    let service = open(&one_gpu());
    let (first, second) = tokio::join!(spawn(&service, "ada", ""), spawn(&service, "bob", ""));
    let refused = match (first.status.as_u16(), second.status.as_u16()) {
        (200, 409) => second,
        (409, 200) => first,
        other => panic!("{other:?}: {} {}", first.text, second.text),
    };
    assert_eq!(refused.json()["reason"], "full");
    assert!(refused.text.contains("1 just taken by others that are about to start"), "{}", refused.text);
}

#[actix_web::test]
async fn what_a_quota_leaves_to_one_is_not_promised_to_two() {
    let mut cluster = Cluster::default().gpu_node("gpu-a", A100, 81920, 4).node("cpu-1");
    cluster.items.push(json!({
        "kind": "ResourceQuota", "metadata": {"name": "team", "namespace": "jupyterhub"},
        "spec": {"hard": {"requests.nvidia.com/gpu": "1"}},
        "status": {"hard": {"requests.nvidia.com/gpu": "1"}, "used": {"requests.nvidia.com/gpu": "0"}},
    }));
    let service = open(&cluster);
    assert_eq!(spawn(&service, "ada", "").await.status, 200);
    assert_eq!(spawn(&service, "ada", "").await.status, 200, "her own retry");
    let refused = spawn(&service, "bob", "").await;
    assert_eq!((refused.status.as_u16(), refused.json()["reason"].clone()), (409, json!("over-quota")));
    assert_eq!(spawn_profile(&service, "ada", "", "cpu").await.status, 200);
    assert_eq!(spawn(&service, "bob", "").await.status, 200);
}

#[actix_web::test]
async fn a_users_own_retry_is_not_blocked_by_her_hold() {
    let service = open(&one_gpu());
    let first = spawn(&service, "ada", "").await.json()["hold"]["id"].clone();
    let again = spawn(&service, "ada", "").await;
    assert_eq!(again.status.as_u16(), 200, "{}", again.text);
    assert_ne!(again.json()["hold"]["id"], first);
    assert_eq!(spawn(&service, "ada", "other").await.status.as_u16(), 409, "another server of hers is another pod");
    let shown = [offered(&service, "ada").await, offered(&service, "bob").await];
    assert_eq!([&shown[0]["free"], &shown[1]["free"]], [&json!(1), &json!(0)]);
}

#[actix_web::test]
async fn a_server_that_now_asks_for_no_gpu_gives_its_hold_back() {
    let service = open(&one_gpu().node("cpu-1"));
    spawn(&service, "ada", "").await;
    let answer = spawn_profile(&service, "ada", "", "cpu").await;
    assert_eq!(answer.json()["hold"], Value::Null);
    assert_eq!(spawn(&service, "bob", "").await.status.as_u16(), 200);
}

#[actix_web::test]
async fn nothing_is_held_where_nothing_is_free() {
    let waits = catalogue("profiles: [{slug: gpu, title: GPU, image: ml-cpu, gpu: {}}]\nvolumes: []");
    let full = one_gpu().pod("x/y", "gpu-a", 1);
    let service = service_with(Some(&full), berth::http::Access::Open, waits);
    let answer = spawn(&service, "ada", "").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["hold"]), (200, &Value::Null));
    assert_eq!(service.holds.snapshot().expect("a snapshot").kinds[0].held, 0);
}

#[actix_web::test]
async fn what_is_held_is_counted_and_the_total_is_still_the_sum() {
    let service = open(&Cluster::default().gpu_node("gpu-a", A100, 81920, 4).pod("x/y", "gpu-a", 1));
    spawn(&service, "ada", "").await;
    let snapshot = service.holds.snapshot().expect("a snapshot");
    let count = &snapshot.kinds[0];
    assert_eq!((count.total, count.used, count.held, count.free), (4, 1, 1, 2));
}

/// A ledger over an inventory that the test publishes.
struct Followed {
    holds: Arc<Holds>,
    inventory: watch::Sender<Option<Arc<Snapshot>>>,
    /// Far below the minute after which a hold ends anyway.
    patience: Duration,
}

fn snapshot(cluster: &Cluster) -> Arc<Snapshot> {
    let (mut publisher, inventory) = inventory::new();
    let policy = Policy { tolerate: vec![GPU.to_owned()], ..Policy::default() };
    publisher.publish_dump(&cluster.text(), "jupyterhub", &policy).expect("a dump");
    inventory.snapshot().expect("a snapshot")
}

impl Followed {
    fn new(cluster: &Cluster) -> Self {
        let (inventory, changes) = watch::channel(Some(snapshot(cluster)));
        let holds = Arc::new(Holds::new(inventory.borrow().clone()));
        tokio::spawn(holds.clone().follow(changes));
        Self { holds, inventory, patience: Duration::from_secs(20) }
    }

    /// Promises the one GPU; the id of the hold.
    fn promise(&self) -> String {
        let requests = berth::domain::resources::Resources {
            other: [(GPU.into(), 1)].into_iter().collect(),
            ..berth::domain::resources::Resources::default()
        };
        let promise = berth::spawn::Promise { node: Some("gpu-a".into()), requests };
        let decide = |_: Option<&Snapshot>, id: &str| Ok::<_, ()>((id.to_owned(), Some(promise)));
        self.holds.reserve(("ada".into(), String::new()), "jupyterhub", decide).expect("a hold").0
    }

    async fn until_held(&self, gpus: u64) -> Arc<Snapshot> {
        let mut changes = self.holds.changes();
        let wanted = |s: &Option<Arc<Snapshot>>| s.as_ref().is_some_and(|s| s.kinds[0].held == gpus);
        let found = tokio::time::timeout(self.patience, changes.wait_for(wanted)).await;
        found.expect("in time").expect("holds").clone().expect("a snapshot")
    }
}

fn with_pod(hold: &str, node: &str, unschedulable: bool) -> Cluster {
    one_gpu().pod("jupyterhub/jupyter-ada", node, 1).change(|pod| {
        pod["metadata"]["annotations"] = json!({"hub.jupyter.org/username": "ada", "berth/hold": hold});
        pod["status"]["phase"] = json!("Pending");
        if unschedulable {
            pod["status"]["conditions"] = json!([{"type": "PodScheduled", "status": "False", "message": "no room"}]);
        }
    })
}

#[actix_web::test]
async fn a_hold_ends_when_its_pod_is_bound_unschedulable_or_gone() {
    for (bound, unschedulable, used) in [("gpu-a", false, 1), ("", true, 0)] {
        let followed = Followed::new(&one_gpu());
        let id = followed.promise();
        assert_eq!(followed.until_held(1).await.kinds[0].free, 0);
        followed.inventory.send_replace(Some(snapshot(&with_pod(&id, "", false))));
        assert_eq!(followed.until_held(1).await.kinds[0].free, 0, "the pod is there, and waits for the scheduler");
        followed.inventory.send_replace(Some(snapshot(&with_pod(&id, bound, unschedulable))));
        let after = followed.until_held(0).await;
        assert_eq!((after.kinds[0].used, after.kinds[0].free), (used, 1 - used), "never counted twice, never not at all");
    }
    let followed = Followed::new(&one_gpu());
    let id = followed.promise();
    followed.inventory.send_replace(Some(snapshot(&with_pod(&id, "", false))));
    let mut changes = followed.holds.changes();
    let seen = |s: &Option<Arc<Snapshot>>| s.as_ref().is_some_and(|s| s.servers.iter().any(|server| !server.pod.is_empty()));
    changes.wait_for(seen).await.expect("holds");
    followed.inventory.send_replace(Some(snapshot(&one_gpu())));
    assert_eq!(followed.until_held(0).await.kinds[0].free, 1);
}

/// Since Kubernetes 1.35 the scheduler nominates a pod whose volume it has made: then it is neither bound nor refused.
#[actix_web::test]
async fn a_hold_and_the_nomination_of_its_own_pod_count_once() {
    let followed = Followed::new(&one_gpu());
    let id = followed.promise();
    let pod = with_pod(&id, "", false).change(|pod| pod["status"]["nominatedNodeName"] = json!("gpu-a"));
    followed.inventory.send_replace(Some(snapshot(&pod)));
    let mut changes = followed.holds.changes();
    let seen = |s: &Option<Arc<Snapshot>>| s.as_ref().is_some_and(|s| s.servers.iter().any(|server| !server.pod.is_empty()));
    let after = changes.wait_for(seen).await.expect("holds").clone().expect("a snapshot");
    let count = &after.kinds[0];
    assert_eq!((count.total, count.used, count.held, count.free), (1, 0, 1, 0));
    assert_eq!(after.servers.len(), 1);
}

/// The clock of the test runs by itself whenever nothing else is left to do.
#[tokio::test(start_paused = true)]
async fn a_hold_without_a_pod_ends_after_a_minute() {
    let followed = Followed { patience: Duration::from_secs(100), ..Followed::new(&one_gpu()) };
    followed.promise();
    let begun = tokio::time::Instant::now();
    followed.until_held(0).await;
    let took = begun.elapsed();
    assert!((Duration::from_secs(60)..Duration::from_secs(61)).contains(&took), "{took:?}");
}

#[actix_web::test]
async fn a_promise_counts_towards_the_limit_beside_the_old_pod_of_the_same_server() {
    let old = Cluster::default().gpu_node("gpu-a", A100, 81920, 8).pod("jupyterhub/jupyter-ada", "gpu-a", 1).change(|pod| {
        pod["metadata"]["annotations"] = json!({"hub.jupyter.org/username": "ada", "hub.jupyter.org/servername": ""});
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    });
    let config = "profiles: [{slug: gpu, title: G, image: ml-gpu, gpu: {counts: [1, 2]}}]\nvolumes: []\nlimits: {gpusPerUser: 2}";
    let service = service_with(Some(&old), berth::http::Access::Open, catalogue(config));
    let ask = |server: &'static str, gpus: &'static str| {
        let options = json!({"profile": "gpu", "gpus": gpus});
        post(&service, SPAWN, None, json!({"user": {"name": "ada"}, "server": server, "base": {}, "options": options}))
    };
    assert_eq!(ask("", "2").await.status.as_u16(), 200, "its own old pod is not in its way");
    let refused = ask("b", "1").await;
    assert_eq!((refused.status.as_u16(), refused.json()["reason"].clone()), (403, json!("over-limit")));
    assert!(refused.text.contains("in use: 2 by your default server"), "{}", refused.text);
}

#[actix_web::test]
async fn every_snapshot_that_is_served_has_a_higher_generation() {
    let service = open(&Cluster::default().gpu_node("gpu-a", A100, 81920, 4));
    let mut last = service.holds.snapshot().expect("a snapshot").generation;
    for user in ["ada", "bob", "ada"] {
        spawn(&service, user, "").await;
        let next = service.holds.snapshot().expect("a snapshot").generation;
        assert!(next > last, "{next} after {last}");
        last = next;
    }
}
