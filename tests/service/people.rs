//! What the hub says of its users, on an administrator's board: who it is, since when they are idle, and what it did not say.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::web;
use berth::http::Service;
use berth::http::people::Directory;
use serde_json::{Value, json};

use crate::board::{BOARD, PROFILES, berth_over, busy, check_page, page, server};
use crate::cluster::mixed;
use crate::login_hub::{Browser, Hub};

#[actix_web::test]
async fn administrators_see_who_holds_what_and_where_to_stop_it() {
    let hub = Hub::start();
    hub.state.lock().expect("a lock").users = json!([
        {"name": "grace-the-other", "groups": ["lab"], "servers": {"hidden-server": {"last_activity": "2026-01-31T07:00:00.000000Z"}}},
        {"name": "ada", "groups": []},
        {"name": "stray", "groups": [], "servers": {}},
    ]);
    let cluster = server(busy(), "stray", "second", Some("gpu-a"), 1, "2026-01-31T06:00:00Z");
    let page = page(&berth_over(&hub, &cluster, ""), &hub, "root", BOARD).await;
    check_page(&page);
    assert_eq!(hub.state.lock().expect("a lock").lists, ["state=active&offset=0&limit=200", "state=active&offset=1&limit=1"]);
    for text in [
        "grace-the-other",
        "hidden-server",
        "2026-01-31T06:00:00Z",
        "2026-01-31T07:00:00.000000Z",
        "secret-node is full",
        "href=\"/hub/admin#/?name_filter=grace-the-other\"",
        "other pods of the cluster 5",
        "You have none in the cluster",
    ] {
        assert!(page.text.contains(text), "{text} is not in {}", page.text);
    }
    // Of ada's servers the hub says nothing, and it knows no such server of stray's.
    assert_eq!((page.text.matches(">unknown<").count(), page.text.matches(">not running<").count()), (1, 1), "{}", page.text);
    // Those that wait have done nothing yet.
    assert_eq!(page.text.matches("data-label=\"Idle\"></td>").count(), 2, "{}", page.text);
    for label in ["Stop the server hidden-server of grace-the-other in the hub", "Stop the default server of ada in the hub"] {
        assert!(page.text.contains(&format!("aria-label=\"{label}\"")), "{label} is not in {}", page.text);
    }
}

#[actix_web::test]
async fn a_hub_that_lists_nobody_leaves_the_board_whole() {
    let hub = Hub::start();
    let page = page(&berth_over(&hub, &busy(), ""), &hub, "root", BOARD).await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("did not say since when") && page.text.contains("grace-the-other"), "{}", page.text);
}

/// What the board says to an administrator of the servers' last use.
async fn idle(service: &web::Data<Service>, browser: &mut Browser) -> Vec<String> {
    browser.service = service.clone();
    let page = browser.get(BOARD).await.text;
    let cells = page.split("data-label=\"Idle\">").skip(1).map(|rest| rest.split("</td>").next().expect("a cell").to_owned());
    cells.collect()
}

#[actix_web::test]
async fn a_hub_of_more_users_than_are_read_is_not_said_to_lack_a_server() {
    let hub = Hub::start();
    let many: Vec<Value> = (0..6_000).map(|at| json!({"name": format!("user-{at}"), "servers": {"": {}}})).collect();
    (hub.state.lock().expect("a lock").users, hub.state.lock().expect("a lock").part) = (many.into(), 2_600);
    let page = page(&berth_over(&hub, &busy(), ""), &hub, "root", BOARD).await;
    assert!(page.text.contains(">unknown<") && !page.text.contains("not running"), "{}", page.text);
}

#[actix_web::test]
async fn a_server_younger_than_the_hubs_answer_is_not_said_to_be_gone() {
    let hub = Hub::start();
    hub.state.lock().expect("a lock").users = json!([]);
    let cluster = server(mixed(), "ada", "", Some("gpu-b"), 1, "2099-01-01T00:00:00Z");
    let page = page(&berth_over(&hub, &cluster, ""), &hub, "root", BOARD).await;
    assert!(page.text.contains(">unknown<") && !page.text.contains("not running"), "{}", page.text);
}

#[actix_web::test]
async fn the_hubs_last_word_serves_while_it_is_asked_anew() {
    let hub = Hub::start();
    let one = json!([{"name": "ada", "servers": {"": {"last_activity": "2026-01-31T07:00:00.000000Z"}}}]);
    hub.state.lock().expect("a lock").users = one;
    let service = berth_over(&hub, &server(mixed(), "ada", "", Some("gpu-b"), 1, "2026-01-31T06:00:00Z"), "");
    let service = Arc::into_inner(service.into_inner()).expect("nobody else has it");
    let service = web::Data::new(Service { directory: Directory::keeping(Duration::ZERO), ..service });
    let mut browser = Browser::new(&service, "root");
    browser.log_in(&hub, PROFILES, "root").await;
    let first = idle(&service, &mut browser).await;
    assert!(first.len() == 1 && first[0].contains("2026-01-31T07:00:00.000000Z"), "{first:?}");
    hub.state.lock().expect("a lock").stalled = true;
    let begun = Instant::now();
    let second = idle(&service, &mut browser).await;
    assert!(second[0].contains("2026-01-31T07:00:00.000000Z"), "{second:?}");
    assert!(begun.elapsed() < Duration::from_millis(900), "the page does not wait: {:?}", begun.elapsed());
}
