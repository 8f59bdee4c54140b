//! The event stream, over a real socket: what comes, when it ends, and how many there may be.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::{App, HttpServer, web};
use berth::catalogue::Catalogue;
use berth::http::holds::Holds;
use berth::http::{self, Access, Service};
use berth::inventory::{self, Publisher};
use serde_json::Value;
use tokio::sync::watch;

use crate::board::server;
use crate::cluster::{Cluster, catalogue, mixed};
use crate::http_routes::{check_schema, tokens_kept_for};
use crate::login_hub::Hub;

const PATIENCE: Duration = Duration::from_secs(30);

/// A Berth on a port, and the hand that changes its cluster.
struct Berth {
    url: String,
    service: web::Data<Service>,
    publisher: Publisher,
    catalogue: Catalogue,
}

impl Berth {
    fn start(access: Access) -> Self {
        berth::app::install_crypto();
        let (publisher, inventory) = inventory::new();
        let (holds, catalogue) = (Arc::new(Holds::new(None)), catalogue(""));
        actix_web::rt::spawn(holds.clone().follow(inventory.snapshots.clone()));
        let service = web::Data::new(Service {
            inventory,
            holds,
            catalogue: watch::channel(Arc::new(catalogue.clone())).1,
            access,
            bases: Default::default(),
            streams: Arc::default(),
            directory: Default::default(),
            prefix: "/services/berth/".into(),
        });
        let shared = service.clone();
        let http = HttpServer::new(move || App::new().configure(|config| http::configure(config, shared.clone())));
        let http = http.workers(1).disable_signals().bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/api/v1/gpus/events", http.addrs().first().expect("an address"));
        actix_web::rt::spawn(http.run());
        Self { url, service, publisher, catalogue }
    }

    fn publish(&mut self, cluster: &Cluster) {
        self.publisher.publish_dump(&cluster.text(), "jupyterhub", &self.catalogue.policy()).expect("a dump");
    }

    async fn open(&self, query: &str, token: &str) -> Stream {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = client.get(format!("{}{query}", self.url)).bearer_auth(token).send().await.expect("an answer");
        Stream { answer, text: String::new() }
    }
}

struct Stream {
    answer: reqwest::Response,
    text: String,
}

impl Stream {
    fn header(&self, name: &str) -> &str {
        self.answer.headers().get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// The next event; `None` when the stream has ended.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                if let (Some(id), Some(data)) = (field("id: "), field("data: ")) {
                    return Some((id, serde_json::from_str(&data).expect("JSON")));
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.answer.chunk()).await.expect("in time").expect("a whole answer")?;
            self.text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }
}

#[actix_web::test]
async fn the_numbers_come_at_once_and_after_each_change() {
    let mut berth = Berth::start(Access::Open);
    berth.publish(&mixed());
    let (mut all, mut some) = (berth.open("", "").await, berth.open("?nodes=false", "").await);
    assert_eq!(all.header("content-type"), "text/event-stream");
    assert_eq!((all.header("cache-control"), all.header("x-accel-buffering")), ("no-store", "no"));
    for (stream, nodes) in [(&mut all, true), (&mut some, false)] {
        let (_, first) = stream.next().await.expect("an event");
        check_schema("Gpus", &first);
        assert_eq!((&first["kinds"][0]["free"], first.get("nodes").is_some()), (&3.into(), nodes));
    }
    berth.publish(&server(mixed(), "grace-the-other", "hidden-server", Some("gpu-a"), 2, "2026-01-31T06:00:00Z"));
    for stream in [&mut all, &mut some] {
        let (id, next) = stream.next().await.expect("an event");
        assert_eq!((&next["kinds"][0]["free"], id), (&1.into(), next["generation"].to_string()));
        let text = next.to_string();
        assert!(!text.contains("grace-the-other") && !text.contains("hidden-server"), "{text}");
    }
}

#[actix_web::test]
async fn many_changes_at_once_are_few_events() {
    let mut berth = Berth::start(Access::Open);
    berth.publish(&mixed());
    let mut stream = berth.open("", "").await;
    stream.next().await.expect("an event");
    let started = Instant::now();
    let mut cluster = mixed();
    for at in 0..50 {
        cluster = cluster.node(&format!("new-{at}"));
        berth.publish(&cluster);
        tokio::task::yield_now().await;
    }
    let mut events = 1;
    while stream.next().await.expect("an event").1["nodes"].as_array().map(Vec::len) != Some(53) {
        events += 1;
    }
    // One at once, and then four in a second; a busy machine takes longer over the changes.
    let most = 2 + started.elapsed().as_millis() / 250;
    assert!(events <= most, "{events} events, where there may be {most}");
}

#[actix_web::test]
async fn a_stream_waits_for_the_first_inventory() {
    let mut berth = Berth::start(Access::Open);
    let mut stream = berth.open("", "").await;
    assert_eq!(stream.answer.status(), 200);
    berth.publish(&mixed());
    assert_eq!(stream.next().await.expect("an event").1["kinds"][0]["free"], 3);
}

#[actix_web::test]
async fn a_stream_ends_when_berth_stops() {
    let mut berth = Berth::start(Access::Open);
    berth.publish(&mixed());
    let mut stream = berth.open("", "").await;
    stream.next().await.expect("an event");
    berth.service.streams.close();
    assert!(stream.next().await.is_none());
    assert!(berth.open("", "").await.next().await.is_none(), "so do those that come later");
}

#[actix_web::test]
async fn a_stream_goes_on_while_its_user_may_look_and_ends_when_he_may_no_more() {
    let hub = Hub::start();
    hub.token("ada-token", "ada");
    let mut berth = Berth::start(tokens_kept_for(&hub.api, Duration::from_millis(200)));
    berth.publish(&mixed());
    let mut stream = berth.open("", "ada-token").await;
    stream.next().await.expect("an event");
    let asked_again = async {
        while hub.state.lock().expect("a lock").asked < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asked_again).await.expect("an open stream asks for its user");
    berth.publish(&mixed().node("new"));
    stream.next().await.expect("an event");
    hub.state.lock().expect("a lock").scopes.clear();
    let withdrawn = Instant::now();
    assert!(stream.next().await.is_none());
    assert!(withdrawn.elapsed() < Duration::from_secs(5), "before the heartbeat: {:?}", withdrawn.elapsed());
    assert_eq!(berth.open("", "ada-token").await.answer.status(), 403);
}

#[actix_web::test]
async fn nobody_takes_all_streams() {
    let mut berth = Berth::start(Access::Open);
    berth.publish(&mixed());
    let mut open = Vec::new();
    for _ in 0..50 {
        let mut stream = berth.open("", "").await;
        stream.next().await.expect("an event");
        open.push(stream);
    }
    let refused = berth.open("", "").await;
    assert_eq!(refused.answer.status(), 503);
    assert!(refused.answer.text().await.expect("text").contains("Too many event streams"));
    drop(open);
    let free = async {
        while berth.open("", "").await.answer.status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, free).await.expect("places are given back");
}
