//! The routes, asked without a socket: who is let in, what comes back, in which shape.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use actix_web::middleware::from_fn;
use actix_web::{App, test, web};
use berth::catalogue::Catalogue;
use berth::http::holds::Holds;
use berth::http::identity::{Identities, KEEP_KNOWN};
use berth::http::login::Login;
use berth::http::manage::{self, Stopping};
use berth::http::openapi::Document;
use berth::http::{self, Access, Service};
use berth::inventory;
use berth::metrics::{Metrics, count_requests, scrape};
use serde_json::{Value, json};
use tokio::sync::watch;
use utoipa::OpenApi;

use crate::cluster::{Cluster, catalogue, mixed};

const TOKEN: &str = "the-hub's-token";

fn service(cluster: Option<&Cluster>, access: Access) -> web::Data<Service> {
    service_with(cluster, access, catalogue(""))
}

pub fn service_with(cluster: Option<&Cluster>, access: Access, catalogue: Catalogue) -> web::Data<Service> {
    let (mut publisher, inventory) = inventory::new();
    if let Some(cluster) = cluster {
        publisher.publish_dump(&cluster.text(), &catalogue.namespace, &catalogue.policy()).expect("a dump");
    }
    let (_, catalogue) = watch::channel(Arc::new(catalogue));
    let holds = Arc::new(Holds::new(inventory.snapshot()));
    let prefix = "/services/berth/".into();
    web::Data::new(Service {
        inventory,
        holds,
        catalogue,
        access,
        bases: Default::default(),
        streams: Arc::default(),
        directory: Default::default(),
        prefix,
    })
}

pub fn tokens(api: &str) -> Access {
    tokens_kept_for(api, KEEP_KNOWN)
}

/// An answer of the hub holds for so long.
pub fn tokens_kept_for(api: &str, keep: Duration) -> Access {
    berth::app::install_crypto();
    let login = Login { client_id: "service-berth".into(), base_url: "/".into() };
    let identities = Identities::new(api, keep).expect("a client");
    Access::Tokens { hub: watch::channel(TOKEN.to_owned()).1, identities, login }
}

pub struct Answer {
    pub status: StatusCode,
    pub content_type: String,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

async fn ask(service: &web::Data<Service>, method: Method, path: &str, token: Option<&str>, body: Vec<u8>) -> Answer {
    let app = App::new().configure(|config| http::configure(config, service.clone()));
    let app = test::init_service(app).await;
    let mut request = test::TestRequest::default().method(method).uri(path).set_payload(body);
    if let Some(token) = token {
        request = request.insert_header(("authorization", format!("Bearer {token}")));
    }
    let response = test::call_service(&app, request.to_request()).await;
    let status = response.status();
    let content_type = response.headers().get("content-type").map(|v| v.to_str().expect("text").to_owned()).unwrap_or_default();
    let text = String::from_utf8(test::read_body(response).await.to_vec()).expect("text");
    Answer { status, content_type, text }
}

pub async fn get(service: &web::Data<Service>, path: &str, token: Option<&str>) -> Answer {
    ask(service, Method::GET, path, token, Vec::new()).await
}

pub async fn post(service: &web::Data<Service>, path: &str, token: Option<&str>, body: Value) -> Answer {
    ask(service, Method::POST, path, token, body.to_string().into_bytes()).await
}

pub fn with_hub(api: &str) -> web::Data<Service> {
    service(Some(&mixed()), tokens(api))
}

pub const LIST: &str = "/api/v1/hub/profile-list";
pub const SPAWN: &str = "/api/v1/hub/spawn-options";

fn ada() -> Value {
    json!({"user": {"name": "ada", "groups": [], "admin": false}, "server": "", "base": {}})
}

/// Checks an answer against the schema that the OpenAPI document gives it.
pub fn check_schema(name: &str, answer: &Value) {
    let document = serde_json::to_value(Document::openapi()).expect("JSON");
    let schema = json!({"$ref": format!("#/components/schemas/{name}"), "components": document["components"]});
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let errors: Vec<String> = validator.iter_errors(answer).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{name}: {errors:?}");
}

fn check_problem(answer: &Answer, status: u16, reason: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    assert_eq!(answer.content_type, "application/problem+json");
    let problem = answer.json();
    check_schema("Problem", &problem);
    assert_eq!((&problem["status"], &problem["reason"]), (&json!(status), &json!(reason)));
}

#[actix_web::test]
async fn the_hub_gets_the_list_with_a_fallback() {
    let answer = post(&with_hub("http://127.0.0.1:1"), LIST, Some(TOKEN), ada()).await;
    assert_eq!((answer.status, answer.content_type.as_str()), (StatusCode::OK, "application/json"));
    let list = answer.json();
    check_schema("HubProfileList", &list);
    assert_eq!((&list["generation"], &list["stale"]), (&json!(1), &json!(false)));
    assert_eq!(list["profiles"].as_array().map(Vec::len), Some(6));
    assert_eq!(list["fallback"]["profile"]["slug"], "cpu");
    assert_eq!(list["fallback"]["patch"]["image"], "jupyter-ml-cpu:1.0");
    assert_eq!(list["profiles"][0]["berth"]["prefix"], "/services/berth/");
}

#[actix_web::test]
async fn the_hub_gets_a_patch() {
    let mut call = ada();
    call["options"] = json!({"profile": "gpu"});
    let answer = post(&with_hub("http://127.0.0.1:1"), SPAWN, Some(TOKEN), call).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    check_schema("SpawnOptions", &answer.json());
    let answer = answer.json();
    assert_eq!(answer["profile"], "gpu");
    assert!(answer["hold"]["id"].is_string(), "{answer}");
    assert_eq!(answer["patch"]["extra_annotations"]["berth/hold"], answer["hold"]["id"]);
}

#[actix_web::test]
async fn only_the_hubs_token_opens_the_hubs_calls() {
    let service = with_hub("http://127.0.0.1:1");
    for token in [None, Some(""), Some("wrong"), Some("the-hub's-toke"), Some("the-hub's-token2")] {
        for path in [LIST, SPAWN] {
            check_problem(&post(&service, path, token, ada()).await, 401, "unauthorized");
        }
    }
}

#[actix_web::test]
async fn the_hubs_calls_do_not_answer_below_the_prefix() {
    let service = with_hub("http://127.0.0.1:1");
    check_problem(&post(&service, &format!("/services/berth{LIST}"), Some(TOKEN), ada()).await, 404, "not-found");
}

#[actix_web::test]
async fn a_body_that_is_not_the_hooks_is_a_problem() {
    let service = with_hub("http://127.0.0.1:1");
    for body in
        ["", "{", "[]", "{}", "{\"user\": 1}", "{\"user\": {\"name\": \"a\"}, \"base\": {\"requests\": {\"cpu\": \"x\"}}}"]
    {
        let answer = ask(&service, Method::POST, LIST, Some(TOKEN), body.into()).await;
        check_problem(&answer, 400, "bad-request");
    }
    for options in [format!("{}{}", "[".repeat(5000), "]".repeat(5000)), "\"\\ud800\"".to_owned(), "7".to_owned()] {
        let body = format!("{{\"user\": {{\"name\": \"a\"}}, \"options\": {options}}}");
        let answer = ask(&service, Method::POST, SPAWN, Some(TOKEN), body.into()).await;
        check_problem(&answer, 400, "malformed");
        assert_eq!(answer.json()["detail"], "The spawn options are not a map of words.");
    }
    let huge = vec![b' '; 10 << 20];
    check_problem(&ask(&service, Method::POST, SPAWN, Some(TOKEN), huge).await, 413, "too-large");
}

#[actix_web::test]
async fn null_parts_of_the_base_are_nothing() {
    let mut call = ada();
    call["base"] = json!({"node_selector": null, "node_affinity_required": [{"matchExpressions": [{"key": "a", "operator": "DoesNotExist", "values": null}], "matchFields": null}], "tolerations": null, "requests": null, "scheduler_name": null});
    assert_eq!(post(&with_hub("http://127.0.0.1:1"), LIST, Some(TOKEN), call).await.status, StatusCode::OK);
}

#[actix_web::test]
async fn wrong_paths_and_methods_are_problems() {
    let service = with_hub("http://127.0.0.1:1");
    check_problem(&get(&service, "/nothing", None).await, 404, "not-found");
    check_problem(&get(&service, LIST, Some(TOKEN)).await, 405, "method-not-allowed");
}

#[actix_web::test]
async fn before_the_first_inventory_spawns_wait_and_the_list_is_unknown() {
    let service = service(None, tokens("http://127.0.0.1:1"));
    check_problem(&post(&service, SPAWN, Some(TOKEN), ada()).await, 503, "no-inventory");
    let list = post(&service, LIST, Some(TOKEN), ada()).await.json();
    assert_eq!(list["profiles"][0]["berth"]["availability"], "unknown");
    assert_eq!(list["fallback"]["profile"]["slug"], "cpu", "a Berth that has just started does not take the fallback away");
    assert_eq!(list["fallback"]["patch"]["extra_resource_limits"]["nvidia.com/gpu"], Value::Null);
}

#[actix_web::test]
async fn a_default_profile_that_is_not_for_everyone_at_any_time_is_no_fallback() {
    for (config, has_fallback) in [
        ("profiles: [{slug: a, title: A, image: ml-cpu}]", true),
        ("profiles: [{slug: a, title: A, image: ml-cpu, access: {groups: [lab]}}]", false),
        ("profiles: [{slug: a, title: A, image: ml-gpu, gpu: {}}]", false),
    ] {
        let service = service_with(Some(&mixed().claim("other", "Bound")), Access::Open, catalogue(config));
        let mut call = ada();
        call["user"]["groups"] = json!(["lab"]);
        let list = post(&service, LIST, None, call).await.json();
        assert_eq!(!list["fallback"].is_null(), has_fallback, "{config}");
    }
}

#[actix_web::test]
async fn an_open_form_gets_newer_numbers_for_the_pod_that_the_hub_would_make() {
    let service = service(Some(&mixed()), Access::Open);
    let availability = |list: Value| list["profiles"][1]["berth"]["availability"].clone();
    assert_eq!(availability(get(&service, "/profiles?user=ada", None).await.json()), "now");
    let mut call = ada();
    call["base"]["requests"] = json!({"cpu": "15"});
    assert_eq!(availability(post(&service, LIST, None, call).await.json()), "never");
    assert_eq!(availability(get(&service, "/services/berth/profiles?user=ada", None).await.json()), "never");
}

#[actix_web::test]
async fn without_authentication_everyone_is_hub_and_administrator() {
    let service = service(Some(&mixed()), Access::Open);
    let list = get(&service, "/profiles?user=bob&groups=a,b", None).await;
    assert_eq!(list.status, StatusCode::OK);
    check_schema("ProfileList", &list.json());
    let gpus = get(&service, "/services/berth/api/v1/gpus", None).await.json();
    check_schema("Gpus", &gpus);
    assert_eq!(gpus["kinds"][0]["id"], "nvidia-a100-sxm4-80gb");
    assert_eq!(gpus["kinds"][0]["free"], 3);
    check_problem(&get(&service, "/profiles?who=bob", None).await, 400, "malformed");
}

#[actix_web::test]
async fn the_document_names_every_route() {
    let answer = get(&service(None, Access::Open), "/openapi.json", None).await.json();
    let mut paths: Vec<&String> = answer["paths"].as_object().expect("paths").keys().collect();
    paths.sort();
    let gpus = ["/api/v1/explain", "/api/v1/gpus", "/api/v1/gpus/events"];
    assert_eq!(paths, [&gpus[..], &[LIST, SPAWN, "/api/v1/servers", "/openapi.json", "/profiles"]].concat());
}

#[actix_web::test]
async fn the_second_port_tells_life_readiness_and_numbers() {
    let stopping = web::Data::new(Stopping::default());
    let seen = mixed().node_with("odd", &[], &[("example.org/gpu", 1)]);
    for (cluster, ready) in [(None, 503), (Some(seen), 200)] {
        let service = service(cluster.as_ref(), tokens("http://127.0.0.1:1"));
        let metrics = web::Data::new(Metrics::new().expect("metrics"));
        let app = App::new().app_data(metrics.clone()).wrap(from_fn(count_requests));
        let app = test::init_service(app.configure(|config| http::configure(config, service.clone()))).await;
        for path in ["/services/berth/profiles", "/api/v1/gpus", "/services/berth/api/v1/gpus", "/some/name"] {
            test::call_service(&app, test::TestRequest::get().uri(path).to_request()).await;
        }
        let app = App::new().app_data(service.clone()).app_data(stopping.clone()).app_data(metrics.clone());
        let app = app.configure(manage::routes).route("/metrics", web::get().to(scrape));
        let app = test::init_service(app).await;
        let ask = |path: &'static str| test::call_service(&app, test::TestRequest::get().uri(path).to_request());
        assert_eq!(ask("/livez").await.status(), 200);
        assert_eq!(ask("/readyz").await.status(), ready);
        let text = String::from_utf8(test::read_body(ask("/metrics").await).await.to_vec()).expect("text");
        for line in [
            "berth_http_requests_total{route=\"/profiles\",status=\"401\"} 1",
            "berth_http_requests_total{route=\"/api/v1/gpus\",status=\"401\"} 2",
            "berth_http_requests_total{route=\"unmatched\",status=\"404\"} 1",
            "berth_watch_restarts_total{kind=\"pods\"} 0",
            "berth_skipped_objects_total{kind=\"nodes\"} 0",
            "berth_catalogue_reload_failed 0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        let a100 = "{product=\"NVIDIA-A100-SXM4-80GB\",resource=\"nvidia.com/gpu\",sharing=\"exclusive\"}";
        for (name, value) in [("", 8), ("_free", 3), ("_used", 5), ("_held", 0), ("_unhealthy", 0), ("_unusable", 0)] {
            assert_eq!(text.contains(&format!("berth_gpus{name}{a100} {value}\n")), ready == 200, "{name}\n{text}");
        }
        let unclassified = "berth_unclassified_resources{resource=\"example.org/gpu\"} 1\n";
        assert_eq!(text.contains(unclassified), ready == 200);
        assert_eq!(text.contains("berth_inventory_age_seconds "), ready == 200);
    }
    stopping.0.store(true, std::sync::atomic::Ordering::Relaxed);
    let app = App::new().app_data(service(Some(&mixed()), Access::Open)).app_data(stopping).configure(manage::routes);
    let app = test::init_service(app).await;
    assert_eq!(test::call_service(&app, test::TestRequest::get().uri("/readyz").to_request()).await.status(), 503);
}
