//! Log-in of a browser through the hub. The end-to-end tests use real hubs; here is what a real one never does.

use actix_web::test::TestRequest;
use serde_json::Value;

use crate::login_hub::{Browser, HUB_SESSION, Hub, Page, SERVICE_TOKEN, berth, query};

const GPUS: &str = "/services/berth/api/v1/gpus";
const SESSION: &str = "berth-session";
const SCRIPT: [(&str, &str); 3] = [("accept", "application/json"), ("sec-fetch-mode", "cors"), ("sec-fetch-site", "same-origin")];

fn json(page: &Page) -> Value {
    serde_json::from_str(&page.text).unwrap_or_else(|error| panic!("{error}: {}", page.text))
}

fn begun(browser: &Browser) -> Vec<&String> {
    browser.cookies.keys().filter(|name| name.starts_with("berth-login-")).collect()
}

/// A page that says what to do next, and leads nowhere by itself.
fn check_refusal(page: &Page, status: u16, link: &str) {
    assert_eq!((page.status.as_u16(), page.location()), (status, ""), "{}", page.text);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(page.text.contains(&format!("<a href=\"{link}\">Try again</a>")), "{}", page.text);
    assert!(!page.set_cookies().iter().any(|cookie| cookie.starts_with(SESSION)));
}

#[actix_web::test]
async fn a_browser_is_sent_round_and_comes_back_to_its_page() {
    let hub = Hub::start();
    for (base, path) in [("/", "profiles?user=ada"), ("/jupyter/", "api/v1/gpus")] {
        let service = berth(&hub, base, SERVICE_TOKEN);
        let mut browser = Browser::new(&service, "one");
        let path = format!("{base}services/berth/{path}");
        let away = browser.get(&path).await;
        assert!(away.location().starts_with(&format!("{base}hub/api/oauth2/authorize?")), "{}", away.location());
        let asked = query(away.location());
        assert_eq!(asked["redirect_uri"], format!("{base}services/berth/oauth_callback"));
        let back = browser.get(&hub.authorize(away.location(), "ada", "one")).await;
        assert_eq!((back.status.as_u16(), back.location()), (302, path.as_str()), "{}", back.text);
        assert_eq!(browser.get(&path).await.status, 200);
        assert!(begun(&browser).is_empty(), "the log-in's own cookie is gone");
    }
}

#[actix_web::test]
async fn cookies_are_hidden_bound_to_the_path_and_secure_behind_https() {
    let hub = Hub::start();
    let service = berth(&hub, "/jupyter/", SERVICE_TOKEN);
    for (proto, secure) in [("http", false), ("https", true), ("https,http", true)] {
        let mut browser = Browser::new(&service, "one");
        browser.headers.push(("x-forwarded-proto", proto));
        let away = browser.get("/jupyter/services/berth/profiles").await;
        let back = browser.get(&hub.authorize(away.location(), "ada", "one")).await;
        for (page, name, age) in [(&away, "berth-login-", Some(600)), (&back, SESSION, None)] {
            let cookies = page.set_cookies();
            let text = cookies.iter().find(|cookie| cookie.starts_with(name)).expect("the cookie");
            let cookie = cookie::Cookie::parse(text).expect("a cookie");
            assert_eq!(cookie.path(), Some("/jupyter/services/berth/"), "{text}");
            assert_eq!((cookie.http_only(), cookie.same_site()), (Some(true), Some(cookie::SameSite::Lax)), "{text}");
            assert_eq!(cookie.secure().unwrap_or(false), secure, "{text}");
            assert_eq!((cookie.max_age().map(|age| age.whole_seconds()), cookie.domain()), (age, None), "{text}");
            assert!(!text.contains("token-"), "the hub's token is not to be read: {text}");
        }
    }
}

#[actix_web::test]
async fn a_wrong_missing_or_used_state_ends_in_a_page() {
    let hub = Hub::start();
    let service = berth(&hub, "/", SERVICE_TOKEN);
    let mut browser = Browser::new(&service, "one");
    let away = browser.get(GPUS).await;
    let callback = hub.authorize(away.location(), "ada", "one");
    let state = query(&callback)["state"].clone();
    let twisted = format!("{}{}", &state[..42], if state.ends_with('A') { 'B' } else { 'A' });
    for wrong in ["", "x", "ä-ä-ä-ä-ä", twisted.as_str()] {
        let wrong = serde_urlencoded::to_string([("code", "code-0"), ("state", wrong)]).expect("a query");
        let page = browser.clone().get(&format!("/services/berth/oauth_callback?{wrong}")).await;
        check_refusal(&page, 400, "/services/berth/");
    }
    for without in ["", "?code=code-0", "?state=a&state=b"] {
        check_refusal(&browser.clone().get(&format!("/services/berth/oauth_callback{without}")).await, 400, "/services/berth/");
    }
    // Somebody else's browser, sent here to be logged in as another user.
    check_refusal(&Browser::new(&service, "two").get(&callback).await, 400, "/services/berth/");
    let mut kept = browser.clone();
    assert_eq!(browser.get(&callback).await.status, 302);
    check_refusal(&browser.get(&callback).await, 400, "/services/berth/");
    check_refusal(&kept.get(&callback).await, 400, GPUS);
    assert!(begun(&kept).is_empty(), "a refused log-in is over too");
}

#[actix_web::test]
async fn a_code_that_another_browser_was_given_is_refused_by_its_challenge() {
    let hub = Hub::start();
    let service = berth(&hub, "/", SERVICE_TOKEN);
    let (mut mine, mut theirs) = (Browser::new(&service, "one"), Browser::new(&service, "two"));
    let (away, stolen) = (mine.get(GPUS).await, theirs.get(GPUS).await);
    let stolen = query(&hub.authorize(stolen.location(), "root", "one"))["code"].clone();
    let state = query(away.location())["state"].clone();
    let page = mine.get(&format!("/services/berth/oauth_callback?code={stolen}&state={state}")).await;
    check_refusal(&page, 400, GPUS);
}

#[actix_web::test]
async fn tabs_log_in_beside_each_other_and_leave_few_cookies() {
    let hub = Hub::start();
    let service = berth(&hub, "/", SERVICE_TOKEN);
    let mut browser = Browser::new(&service, "one");
    let (first, second) = (browser.get(GPUS).await, browser.get("/services/berth/profiles").await);
    for (away, page) in [(&second, "/services/berth/profiles"), (&first, GPUS)] {
        let back = browser.get(&hub.authorize(away.location(), "ada", "one")).await;
        assert_eq!((back.status.as_u16(), back.location()), (302, page));
    }
    browser.cookies.remove(SESSION);
    for _ in 0..20 {
        browser.get(GPUS).await;
    }
    assert_eq!(begun(&browser).len(), 5);
}

#[actix_web::test]
async fn a_session_ends_with_the_hubs() {
    let hub = Hub::start();
    let service = berth(&hub, "/", SERVICE_TOKEN);
    let mut browser = Browser::new(&service, "one");
    assert_eq!(browser.log_in(&hub, GPUS, "ada").await.status, 200);
    for session in ["two", ""] {
        let mut other = browser.clone();
        other.cookies.insert(HUB_SESSION.into(), session.into());
        assert_eq!(other.get(GPUS).await.status, 302, "{session:?}");
        assert_eq!(other.with(&[("accept", "application/json"), ("sec-fetch-site", "cross-site")]).get(GPUS).await.status, 401);
    }
    browser.cookies.remove(HUB_SESSION);
    assert_eq!(browser.get(GPUS).await.status, 302);
    assert_eq!(browser.with(&SCRIPT).get(GPUS).await.status, 401, "a script is not led to the hub's log-in page");
}

#[actix_web::test]
async fn a_session_of_another_log_in_beside_ones_own_is_passed_over() {
    let hub = Hub::start();
    let service = berth(&hub, "/", SERVICE_TOKEN);
    let (mut mine, mut theirs) = (Browser::new(&service, "one"), Browser::new(&service, "two"));
    mine.log_in(&hub, GPUS, "ada").await;
    theirs.log_in(&hub, GPUS, "mallory").await;
    let (own, foreign) = (mine.cookies[SESSION].clone(), theirs.cookies[SESSION].clone());
    for (first, second) in [(&foreign, &own), (&own, &foreign)] {
        mine.cookies.insert(SESSION.into(), format!("{first}; {SESSION}={second}"));
        let page = mine.get("/services/berth/").await;
        assert_eq!(page.status, 200, "{}", page.location());
        assert!(page.text.contains(">ada<") && !page.text.contains("mallory"), "{}", page.text);
    }
}

#[actix_web::test]
async fn a_browser_that_shows_no_hub_session_is_told_so_and_not_sent_round_for_ever() {
    let hub = Hub::start();
    let service = berth(&hub, "/", SERVICE_TOKEN);
    let mut browser = Browser::new(&service, "one");
    browser.cookies.clear();
    let away = browser.get(GPUS).await;
    check_refusal(&browser.get(&hub.authorize(away.location(), "ada", "one")).await, 401, GPUS);
}

#[actix_web::test]
async fn access_that_is_withdrawn_is_refused_and_not_sent_round() {
    let hub = Hub::start();
    let service = berth(&hub, "/", SERVICE_TOKEN);
    let mut browser = Browser::new(&service, "one");
    assert_eq!(browser.log_in(&hub, GPUS, "ada").await.status, 200);
    hub.state.lock().expect("a lock").scopes = vec!["self".into()];
    // Another Berth stands for the minute after which this one asks again.
    browser.service = berth(&hub, "/", SERVICE_TOKEN);
    check_refusal(&browser.get(GPUS).await, 403, GPUS);
    let refused = browser.clone().with(&SCRIPT).get(GPUS).await;
    assert_eq!((refused.status.as_u16(), refused.header("content-type")), (403, "application/problem+json"));
    browser.cookies.remove(SESSION);
    let away = browser.get(GPUS).await;
    check_refusal(&browser.get(&hub.authorize(away.location(), "ada", "one")).await, 403, GPUS);
}

#[actix_web::test]
async fn a_session_of_another_key_or_changed_is_none() {
    let hub = Hub::start();
    let service = berth(&hub, "/", SERVICE_TOKEN);
    let mut browser = Browser::new(&service, "one");
    assert_eq!(browser.log_in(&hub, GPUS, "ada").await.status, 200);
    browser.service = berth(&hub, "/", SERVICE_TOKEN);
    assert_eq!(browser.get(GPUS).await.status, 200, "a restarted Berth or a second one takes it");
    let session = browser.cookies[SESSION].clone();
    let mut other = browser.clone();
    other.service = berth(&hub, "/", "a-new-token-of-the-service");
    assert_eq!(other.get(GPUS).await.status, 302, "a new token of the service ends it");
    let flipped = if session.as_bytes()[30] == b'A' { "B" } else { "A" };
    let changed = format!("{}{flipped}{}", &session[..30], &session[31..]);
    let away = Browser::new(&service, "one").get(GPUS).await;
    let begun = cookie::Cookie::parse(away.set_cookies()[0].clone()).expect("a cookie").value().to_owned();
    for value in [changed.as_str(), &session[..20], "", "token-0-of-ada", "%00", begun.as_str()] {
        browser.cookies.insert(SESSION.into(), value.to_owned());
        assert_eq!(browser.get(GPUS).await.status, 302, "{value}");
    }
}

#[actix_web::test]
async fn scripts_of_the_hubs_pages_are_sent_round_and_programs_are_not() {
    let hub = Hub::start();
    let service = berth(&hub, "/", SERVICE_TOKEN);
    let mut script = Browser::new(&service, "one").with(&SCRIPT);
    let page = script.log_in(&hub, GPUS, "ada").await;
    assert_eq!((page.status.as_u16(), json(&page)["stale"].clone()), (200, Value::Bool(false)));
    // Without https there are no such headers.
    assert_eq!(Browser::new(&service, "one").with(&[("accept", "*/*")]).get(GPUS).await.status, 302);
    let mut program = Browser::new(&service, "");
    for headers in [
        &[("accept", "*/*")][..],
        &[("accept", "application/json")],
        &[],
        &SCRIPT,
        &[("accept", "text/html"), ("authorization", "Bearer wrong")],
        &[("accept", "text/html"), ("authorization", "Basic YTpi")],
    ] {
        let answer = program.clone().with(headers).get(GPUS).await;
        assert_eq!(answer.status, 401, "{headers:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    // At the root nobody is sent anywhere, and no cookie counts.
    program.cookies = script.cookies.clone();
    for path in ["/api/v1/gpus", "/profiles"] {
        let answer = program.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.location()), (401, ""), "{path}");
    }
}

#[actix_web::test]
async fn a_session_opens_no_route_that_writes() {
    let hub = Hub::start();
    let service = berth(&hub, "/", SERVICE_TOKEN);
    let mut browser = Browser::new(&service, "one");
    assert_eq!(browser.log_in(&hub, GPUS, "root").await.status, 200);
    for (path, status) in [
        ("/services/berth/profiles", 405),
        (GPUS, 405),
        ("/services/berth/oauth_callback", 405),
        ("/services/berth/api/v1/hub/profile-list", 404),
        ("/api/v1/hub/profile-list", 401),
    ] {
        assert_eq!(browser.send(TestRequest::post().uri(path)).await.status, status, "{path}");
    }
    let document: Value = json(&browser.get("/services/berth/openapi.json").await);
    let mut with_session = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            if operation["security"].to_string().contains("session") {
                with_session.push(format!("{method} {path}"));
            }
        }
    }
    let all = ["get /api/v1/explain", "get /api/v1/gpus", "get /api/v1/gpus/events", "get /api/v1/servers", "get /profiles"];
    assert_eq!(with_session, all);
    assert_eq!(document["components"]["securitySchemes"]["session"]["in"], "cookie");
}

#[actix_web::test]
async fn nothing_in_an_address_leads_elsewhere() {
    let hub = Hub::start();
    let service = berth(&hub, "/", SERVICE_TOKEN);
    let long = format!("{GPUS}?{}", "x".repeat(600));
    for (path, next) in [
        (format!("{GPUS}?next=https://evil.example/"), format!("{GPUS}?next=https://evil.example/")),
        (format!("http://evil.example{GPUS}?a=%2F"), format!("{GPUS}?a=%2F")),
        (long, "/services/berth/".to_owned()),
    ] {
        let mut browser = Browser::new(&service, "one");
        let away = browser.get(&path).await;
        let mut callback = hub.authorize(away.location(), "ada", "one");
        callback.push_str("&next=https://evil.example/&redirect_uri=https://evil.example/");
        assert_eq!(browser.get(&callback).await.location(), next);
    }
    for path in ["//evil.example/services/berth/profiles", "/services/berth/../evil", "/services/berth//evil.example/profiles"] {
        assert_eq!(Browser::new(&service, "one").get(path).await.status, 404, "{path}");
    }
}

#[actix_web::test]
async fn what_goes_wrong_at_the_hub_is_a_page_with_a_way_on() {
    let hub = Hub::start();
    let service = berth(&hub, "/", SERVICE_TOKEN);
    let mut browser = Browser::new(&service, "one");
    let away = browser.get(GPUS).await;
    let state = query(away.location())["state"].clone();
    let denied = format!("/services/berth/oauth_callback?error=access_denied&error_description=%3Cb%3E&state={state}");
    let page = browser.clone().get(&denied).await;
    check_refusal(&page, 403, GPUS);
    assert!(!page.text.contains("<b>"));
    let script = browser.clone().with(&SCRIPT).get(&denied).await;
    assert_eq!((script.status.as_u16(), json(&script)["reason"].clone()), (403, "login-denied".into()));
    hub.state.lock().expect("a lock").fails = true;
    check_refusal(&browser.get(&hub.authorize(away.location(), "ada", "one")).await, 503, GPUS);
}

#[test]
fn settings_of_the_hub_that_can_not_be_are_named() {
    let refused = |variables: &[(&str, &str)]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_berth"));
        command.args(["serve", "--from", "/nothing"]).envs(variables.iter().copied());
        let output = command.output().expect("a run");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).expect("text")
    };
    for (variables, sentence) in [
        (&[("JUPYTERHUB_BASE_URL", "jupyter")][..], "JUPYTERHUB_BASE_URL is \"jupyter\", not a path such as /"),
        (&[("JUPYTERHUB_BASE_URL", "//evil.example/")], "JUPYTERHUB_BASE_URL is \"//evil.example/\", not a path"),
        (&[("JUPYTERHUB_SERVICE_PREFIX", "/a;b/")], "not a path such as /services/berth/"),
        (
            &[("JUPYTERHUB_BASE_URL", "/jupyter/"), ("JUPYTERHUB_SERVICE_PREFIX", "/services/berth/")],
            "which is not below JUPYTERHUB_BASE_URL, \"/jupyter/\"",
        ),
        (
            &[("JUPYTERHUB_CLIENT_ID", "berth")],
            "JUPYTERHUB_CLIENT_ID is \"berth\"; the hub's services have names such as service-",
        ),
    ] {
        let error = refused(variables);
        assert!(error.contains(sentence), "{variables:?}: {error}");
    }
}
