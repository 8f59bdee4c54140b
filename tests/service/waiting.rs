//! Why a server waits, in plain words: from the snapshot, and from the kubelet's events.

use std::time::Duration;

use berth::catalogue::Catalogue;
use berth::profiles::waiting::{Queue, reasons};
use serde_json::{Value, json};

use crate::board::{berth_over, busy, server};
use crate::cluster::{A100, Cluster, GPU, T4, catalogue, mixed};
use crate::http_routes::{check_schema, get};
use crate::login_hub::{Browser, Hub};

/// Why `ada`'s server `large` waits, at noon.
fn waits(cluster: &Cluster, catalogue: &Catalogue) -> Vec<String> {
    let snapshot = cluster.view(catalogue).snapshot.expect("a snapshot");
    let server = snapshot.servers.iter().find(|server| server.owner() == ("ada", "large")).expect("the server");
    let age = |since: &str| Some(Duration::from_secs(3600 * (12 - since.get(11..13)?.parse::<u64>().ok()?)));
    reasons(server, "yours", &Queue::new(&snapshot), catalogue, &age)
}

#[test]
fn waiting_is_explained_in_plain_words() {
    let catalogue = catalogue("");
    let only =
        |product: &'static str| move |pod: &mut Value| pod["spec"]["nodeSelector"] = json!({"nvidia.com/gpu.product": product});
    assert_eq!(
        waits(&busy().change(only(A100)), &catalogue),
        [
            "7 of 8 NVIDIA A100 80 GB are in use",
            "1 request is ahead of yours",
            "the oldest GPU server has run for 6 h",
            "only 1 of the 4 asked for are free",
        ]
    );
    let gated = busy().change(|pod| {
        pod["spec"]["schedulingGates"] = json!([{"name": "kueue.x-k8s.io/admission"}]);
        pod["status"]["conditions"][0]["reason"] = json!("SchedulingGated");
    });
    assert_eq!(waits(&gated, &catalogue), ["a queue of the cluster has not let it through to the scheduler yet"]);
    let behind = server(gated, "ada", "small", None, 1, "2026-01-31T11:00:00Z");
    let snapshot = behind.view(&catalogue).snapshot.expect("a snapshot");
    let small = snapshot.servers.iter().find(|server| server.name == "small").expect("the server");
    let told = reasons(small, "yours", &Queue::new(&snapshot), &catalogue, &|_| None);
    assert_eq!(told[1], "1 request is ahead of yours", "that of linus, and not the one that is held back");
    let chosen = |pod: &mut Value| pod["status"]["nominatedNodeName"] = json!("gpu-a");
    let room = ["it goes to gpu-a as soon as its volume is made there, or other pods have made room for it"];
    assert_eq!(waits(&busy().change(chosen), &catalogue), room, "others are evicted for it");
    let volume = |pod: &mut Value| pod["status"] = json!({"phase": "Pending", "nominatedNodeName": "gpu-a"});
    assert_eq!(waits(&busy().change(volume), &catalogue), room, "its volume is being made");
    let behind = server(busy().change(chosen), "ada", "small", None, 1, "2026-01-31T11:00:00Z").change(only(A100));
    let snapshot = behind.view(&catalogue).snapshot.expect("a snapshot");
    let small = snapshot.servers.iter().find(|server| server.name == "small").expect("the server");
    let told = reasons(small, "yours", &Queue::new(&snapshot), &catalogue, &|_| None);
    assert_eq!(told[..2], ["8 of 8 NVIDIA A100 80 GB are in use", "1 request is ahead of yours"], "{told:?}");
    let foreign = busy().change(only(A100)).pod("other/training", "", 3).pod("other/more", "", 1);
    assert_eq!(
        waits(&foreign, &catalogue)[1..3],
        ["1 request is ahead of yours", "4 such GPUs are asked for by other pods of the cluster",]
    );
    let two = busy().change(only(T4)).change(|pod| pod["spec"]["containers"][0]["resources"]["limits"][GPU] = json!("2"));
    assert_eq!(
        waits(&two, &catalogue)[..3],
        ["1 of 2 Tesla T4 15 GB are in use", "1 request is ahead of yours", "the oldest GPU server has run for 4 h"]
    );
    let mut unbound = busy().change(only(A100)).claim("berth-datasets", "Pending").change(|claim| {
        claim["spec"] = json!({"storageClassName": "fast"});
    });
    unbound.items.push(json!({"kind": "StorageClass", "metadata": {"name": "fast"}, "volumeBindingMode": "Immediate"}));
    let reasons = waits(&unbound, &catalogue);
    assert!(reasons.contains(&"the storage claim berth-datasets is not bound yet".to_owned()), "{reasons:?}");
    let without_gpu = server(mixed(), "ada", "large", None, 0, "2026-01-31T10:00:00Z")
        .change(|pod| pod["spec"]["containers"][0]["resources"]["limits"] = json!({"cpu": "15"}));
    let full = without_gpu
        .pod("a/b", "cpu-1", 0)
        .change(|pod| pod["spec"]["containers"][0]["resources"]["limits"] = json!({"cpu": "9"}));
    assert!(!waits(&full, &catalogue).iter().any(|reason| reason.contains("GPU") || reason.contains("ahead")));
}

#[test]
fn what_a_server_on_its_node_waits_for_is_told_from_the_kubelets_events() {
    let catalogue = catalogue("");
    let image = "registry.example.org/library/jupyter-ml-gpu:1.0";
    let starting = server(mixed(), "ada", "large", Some("gpu-a"), 1, "2026-01-31T10:00:00Z").change(|pod| {
        pod["status"]["phase"] = json!("Pending");
    });
    let pod = starting.items.last().expect("a pod")["metadata"]["name"].clone();
    let event = |mut cluster: Cluster, pod: &Value, reason: &str, message: &str, second: u32| {
        cluster.items.push(json!({
            "kind": "Event", "metadata": {"name": format!("{}.{}", pod.as_str().expect("a name"), cluster.items.len()), "namespace": "jupyterhub"},
            "involvedObject": {"kind": "Pod", "namespace": "jupyterhub", "name": pod},
            "reason": reason, "message": message, "lastTimestamp": format!("2026-01-31T10:00:{second:02}Z"), "eventTime": null
        }));
        cluster
    };
    assert_eq!(waits(&starting, &catalogue), ["its container is being made"]);
    let pulling = event(starting.clone(), &pod, "Pulling", &format!("Pulling image \"{image}\""), 2);
    assert_eq!(waits(&pulling, &catalogue), [format!("its image {image} is being pulled")]);
    // Somebody else pulled it before.
    let pulled = format!("Successfully pulled image \"{image}\" in 2m3s (2m3s including waiting). Image size: 6240000000 bytes.");
    let known = event(pulling.clone(), &json!("other"), "Pulled", &pulled, 1);
    assert_eq!(waits(&known, &catalogue), [format!("its image {image} is being pulled, 6.2 GB")]);
    // Both within a second, listed the wrong way round.
    let done = event(starting.clone(), &pod, "Pulled", &pulled, 2);
    let done = event(done, &pod, "Pulling", &format!("Pulling image \"{image}\""), 2);
    assert_eq!(waits(&done, &catalogue), ["its container is being made"]);
    let failed = event(pulling.clone(), &pod, "BackOff", &format!("Back-off pulling image \"{image}\""), 9);
    assert_eq!(waits(&failed, &catalogue), [format!("its image {image} could not be pulled, and the node tries again")]);
    for (reason, message, sentence) in [
        (
            "FailedMount",
            "MountVolume.SetUp failed for volume \"pvc-secret\"",
            "a volume of it can't be mounted yet, and the node tries again",
        ),
        (
            "FailedCreatePodSandBox",
            "Failed to create pod sandbox: rpc error: no runtime for \"nvidia\" is configured",
            "its node could not set up a place for its container, and tries again",
        ),
        ("Failed", "Error: secret \"hidden\" not found", "its container could not be made or started, and the node tries again"),
        // Said beside the sentence that names the image.
        ("Failed", "Error: ErrImagePull", "its container is being made"),
    ] {
        let told = event(starting.clone(), &pod, reason, message, 9);
        assert_eq!(waits(&told, &catalogue), [sentence]);
    }
    // The image is there, and what comes after it fails, all within a second.
    let bad = event(starting.clone(), &pod, "Failed", "Error: secret \"hidden\" not found", 9);
    let bad = event(bad, &pod, "Pulled", &pulled, 9);
    assert_eq!(waits(&bad, &catalogue), ["its container could not be made or started, and the node tries again"]);
    let running = failed.change(|event| event["involvedObject"]["name"] = json!("another"));
    let mut running = event(running, &pod, "Pulling", &format!("Pulling image \"{image}\""), 3);
    running
        .items
        .iter_mut()
        .filter(|item| item["metadata"]["name"] == pod)
        .for_each(|item| item["status"]["phase"] = json!("Running"));
    assert_eq!(waits(&running, &catalogue), [""; 0]);
}

#[test]
fn how_large_an_image_is_is_known_from_the_nodes_that_have_it() {
    let catalogue = catalogue("");
    let image = "registry.example.org/library/jupyter-ml-gpu:1.0";
    let size = |bytes: Value| {
        let has = |node: &mut Value| {
            node["status"]["images"] = json!([{"names": ["registry.example.org/x@sha256:0", image], "sizeBytes": bytes}])
        };
        let cluster = Cluster { items: [mixed().items, Cluster::default().node("cpu-2").change(has).items].concat() };
        let cluster = server(cluster, "ada", "large", Some("gpu-a"), 1, "2026-01-31T10:00:00Z");
        let mut cluster = cluster.change(|pod| pod["status"]["phase"] = json!("Pending"));
        let name = cluster.items.last().expect("a pod")["metadata"]["name"].clone();
        cluster.items.push(json!({
            "kind": "Event", "metadata": {"name": "pulling", "namespace": "jupyterhub"},
            "involvedObject": {"kind": "Pod", "namespace": "jupyterhub", "name": name},
            "reason": "Pulling", "message": format!("Pulling image \"{image}\""),
        }));
        waits(&cluster, &catalogue)
    };
    assert_eq!(size(json!(6_240_000_000_u64)), [format!("its image {image} is being pulled, 6.2 GB")]);
    for unknown in [json!(null), json!("large"), json!(-1)] {
        assert_eq!(size(unknown), [format!("its image {image} is being pulled")]);
    }
}

#[test]
fn a_server_has_run_since_it_got_its_node_and_not_since_it_was_asked_for() {
    let bound = |status: Value| {
        let cluster = server(mixed(), "bob", "", Some("gpu-b"), 2, "2026-01-31T01:00:00Z").change(|pod| pod["status"] = status);
        let waiting = server(cluster, "ada", "large", None, 1, "2026-01-31T10:00:00Z");
        let only_t4 = |pod: &mut Value| pod["spec"]["nodeSelector"] = json!({"nvidia.com/gpu.product": T4});
        waits(&waiting.change(only_t4), &catalogue("")).swap_remove(2)
    };
    let condition = json!([{"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-31T07:00:00Z"}]);
    for (status, run) in [
        (json!({"phase": "Running", "startTime": "2026-01-31T08:00:00Z", "conditions": condition}), "5 h"),
        (json!({"phase": "Running", "startTime": "2026-01-31T08:00:00Z"}), "4 h"),
        (json!({"phase": "Running"}), "11 h"),
    ] {
        assert_eq!(bound(status), format!("the oldest GPU server has run for {run}"));
    }
}

#[actix_web::test]
async fn a_pod_on_its_way_out_is_not_the_server_that_starts_anew() {
    let hub = Hub::start();
    hub.token("ada-token", "ada");
    let old = server(mixed(), "ada", "", Some("gpu-b"), 1, "2026-01-31T08:00:00Z")
        .change(|pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-31T09:00:00Z"));
    let servers = async |cluster: &Cluster| {
        let answer = get(&berth_over(&hub, cluster, ""), "/api/v1/servers", Some("ada-token")).await.json();
        check_schema("ServerList", &answer);
        answer["servers"].clone()
    };
    let reasons = ["it is being stopped, and keeps what it has until its pod is gone"];
    assert_eq!(servers(&old).await, json!([{"name": "", "state": "ending", "node": "gpu-b", "reasons": reasons}]));
    let board = Browser::new(&berth_over(&hub, &old, ""), "ada").log_in(&hub, "/services/berth/", "ada").await;
    assert!(board.text.contains(">ending<") && !board.text.contains(">starting<"), "{}", board.text);
    let anew = servers(&server(old, "ada", "", Some("gpu-a"), 1, "2026-01-31T09:00:00Z")).await;
    assert_eq!(anew, json!([{"name": "", "state": "running", "node": "gpu-a", "reasons": []}]));
}

#[actix_web::test]
async fn the_route_tells_a_user_of_their_own_servers_and_administrators_of_anyones() {
    let hub = Hub::start();
    let service = berth_over(&hub, &busy(), "");
    for user in ["ada", "linus-the-other", "root", "nobody"] {
        hub.token(&format!("{user}-token"), user);
    }
    let mine = get(&service, "/api/v1/servers", Some("ada-token")).await;
    assert!(!mine.text.contains("-the-other") && !mine.text.contains("secret-node"), "{}", mine.text);
    let mine = mine.json();
    check_schema("ServerList", &mine);
    assert_eq!(mine["servers"][0], json!({"name": "", "state": "running", "node": "gpu-b", "reasons": []}));
    let large = &mine["servers"][1];
    assert_eq!((&large["name"], &large["state"], large.get("node")), (&json!("large"), &json!("waiting"), None));
    assert_eq!(large["reasons"][1], "1 request is ahead of yours");
    assert_eq!(mine["servers"].as_array().map(Vec::len), Some(2));
    for (path, token, status) in [
        ("/api/v1/servers?user=ada", "ada-token", 200),
        ("/api/v1/servers?user=ada", "linus-the-other-token", 403),
        ("/services/berth/api/v1/servers?user=ada", "root-token", 200),
        ("/api/v1/servers?name=ada", "root-token", 400),
        ("/api/v1/servers", "no-token", 401),
    ] {
        assert_eq!(get(&service, path, Some(token)).await.status, status, "{path} {token}");
    }
    let seen = get(&service, "/api/v1/servers?user=ada", Some("root-token")).await.json();
    assert_eq!(seen["servers"][1]["reasons"][1], "1 request is ahead of this one");
    assert_eq!(get(&service, "/api/v1/servers", Some("nobody-token")).await.json()["servers"], json!([]));
}
