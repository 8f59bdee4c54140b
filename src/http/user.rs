//! Routes for people and their programs: offers, as JSON or as a page, and the inventory as JSON.

use actix_web::http::StatusCode;
use actix_web::http::header::SET_COOKIE;
use actix_web::{HttpRequest, HttpResponse, Responder, web};
use maud::html;
use serde_json::{Map, Value};

use super::auth::admit_user;
use super::explain::dry_run;
use super::hub::{ProfileList, list_profiles};
use super::login::{SESSION, show, wants_page};
use super::pages::offers::{self, Asked};
use super::pages::{Page, hub_of};
use super::people::Which;
use super::problem::Problem;
use super::session::Cookies;
use super::{Access, Service, json, openapi};
use crate::domain::report::GpuReport;
use crate::profiles::User;
use crate::profiles::hidden::hidden;
use crate::profiles::refusal::Refusal;

/// Whose offers; none of it asks for the caller's own.
#[derive(Debug, Default)]
struct Whose {
    user: Option<String>,
    /// Separated by commas.
    groups: Option<String>,
    admin: Option<bool>,
    server: String,
    /// Groups as the hub has them, if it knows the user.
    from_hub: bool,
    /// The user of the page that asks; an answer for anyone else would be shown as this one's.
    page_of: Option<String>,
    /// Groups as they are given, none where none are.
    typed: bool,
    /// Options for a dry run, by a page's form: `try.gpus=2`.
    tried: Map<String, Value>,
}

impl Whose {
    fn read(query: &str) -> Result<Self, Problem> {
        let wrong = |what: String| {
            let takes = "It takes user, groups, admin, server, from and as.";
            Problem::new(400, "malformed", format!("The query is not understood: {what}. {takes}"))
        };
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).map_err(|error| wrong(error.to_string()))?;
        let mut whose = Self::default();
        for (key, value) in pairs {
            match key.as_str() {
                "user" => whose.user = Some(value),
                "groups" => whose.groups = Some(value),
                "admin" => {
                    whose.admin = Some(value.parse().map_err(|_| wrong(format!("admin is {value:?}, not true or false")))?)
                }
                "server" => whose.server = value,
                "as" => whose.page_of = Some(value),
                "from" if ["hub", "typed"].contains(&value.as_str()) => {
                    (whose.from_hub, whose.typed) = (value == "hub", value == "typed")
                }
                "from" => return Err(wrong(format!("from is {value:?}, not hub or typed"))),
                other => match other.strip_prefix("try.") {
                    Some(option) => drop(whose.tried.insert(option.to_owned(), value.into())),
                    None => return Err(wrong(format!("{other:?} is nothing"))),
                },
            }
        }
        Ok(whose)
    }

    fn other_user(&self) -> Option<User> {
        let filled = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        if !filled(&self.user) && !filled(&self.groups) && self.admin.is_none() {
            return None;
        }
        Some(User {
            name: self.user.clone().unwrap_or_default(),
            groups: split_groups(self.groups.as_deref().unwrap_or_default()),
            admin: self.admin.unwrap_or(false),
        })
    }
}

/// `a,b` as groups, empty words left out.
pub fn split_groups(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|group| !group.is_empty()).map(str::to_owned).collect()
}

/// What the caller may choose now; for administrators, what anyone may
#[utoipa::path(
    get, path = "/profiles", security(("user" = []), ("session" = [])),
    params(
        ("user" = Option<String>, Query, description = "A user's name"),
        ("groups" = Option<String>, Query, description = "The user's groups, separated by commas"),
        ("admin" = Option<bool>, Query, description = "Whether the user is an administrator"),
        ("server" = Option<String>, Query, description = "The name of the server; the default one where it is not said"),
        ("from" = Option<String>, Query, description = "hub: groups as the hub has them, if it knows the user"),
        ("as" = Option<String>, Query, description = "Who must be asking, or the answer is 401: a page sends its own user"),
    ),
    responses(
        (status = 200, body = openapi::ProfileList),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn profiles(service: web::Data<Service>, request: HttpRequest) -> actix_web::Result<HttpResponse> {
    let caller = admit_user(&service, &request).await?.user;
    let as_page = wants_page(&request);
    let whose = match Whose::read(request.query_string()) {
        Ok(whose) => whose,
        Err(problem) => return Ok(show(&request, &problem, "profiles")),
    };
    if let (Access::Tokens { hub, .. }, Some(name)) = (&service.access, &whose.page_of)
        && *name != caller.name
    {
        let token = hub.borrow().clone();
        return Ok(somebody_else(&Cookies::new(&token, &service.prefix, &request), &request));
    }
    let other = whose.other_user();
    let mut user = match &other {
        None => caller.clone(),
        Some(user) if user.name == caller.name && user.groups.is_empty() && !user.admin && !(caller.admin && whose.typed) => {
            caller.clone()
        }
        Some(_) if !caller.admin => {
            let problem = Problem::new(403, "forbidden", "Only administrators may see what others are offered.");
            return Ok(show(&request, &problem, "profiles"));
        }
        Some(user) => user.clone(),
    };
    let people = if caller.admin && (as_page || whose.from_hub) { service.people(Which::Everybody).await } else { None };
    let known = people.as_ref().filter(|_| whose.from_hub).and_then(|people| people.person(&user.name));
    if let Some(person) = known {
        user.groups.clone_from(&person.groups);
    }
    let owner = (user.name.clone(), whose.server.clone());
    let view = service.view_of(&owner);
    let base = service.bases.of(&owner, &view.catalogue.base);
    let list = list_profiles(&view, &service.prefix, &user, &whose.server, &base);
    let settings_known = service.bases.knows(&owner);
    let list = if settings_known { list } else { list.map(ProfileList::without_hub_settings) };
    if !as_page {
        let list = list?;
        return Ok(json(&if other.is_some() && caller.admin { list.with_hidden(&view, &user) } else { list }));
    }
    let page = Page { title: "Profiles", user: &caller, hub: hub_of(&service), live: false, freshness: &view.freshness };
    let offers = list.map(|list| list.profiles);
    if !caller.admin {
        return Ok(page.respond(StatusCode::OK, &offers::list(&offers, None)));
    }
    let options = Value::Object(whose.tried);
    let tried = options.as_object().is_some_and(|options| !options.is_empty());
    let tried = tried.then(|| (&options, dry_run(&service, &user, &whose.server, &options)));
    let from_hub = other.is_none() || known.is_some();
    let unknown = whose.from_hub && other.is_some() && known.is_none() && people.is_some();
    let settings_known = settings_known || page.hub.is_none();
    let asked = Asked { user: &user, server: &whose.server, from_hub, unknown, settings_known, tried };
    let context = view.context("", &whose.server);
    let hidden = hidden(&context, &user);
    let content = html! {
        (offers::form(&asked, people.as_deref()))
        (offers::for_admin(&asked, &offers, &hidden, &context))
    };
    Ok(page.respond(StatusCode::OK, &content))
}

/// The page is of another user than the log-in: somebody else has logged in to the hub in this browser since one of them
/// was made. The log-in is ended, so that the next request begins one as whoever is in the hub now.
fn somebody_else(cookies: &Cookies<'_>, request: &HttpRequest) -> HttpResponse {
    let detail = "This page is of another user than the one who is logged in now. Reload it.";
    let mut response = show(request, &Problem::new(401, "other-user", detail), "profiles");
    if let Ok(removal) = cookies.removal(SESSION).to_string().try_into() {
        response.headers_mut().append(SET_COOKIE, removal);
    }
    response
}

/// The GPUs of the cluster by kind and by node
#[utoipa::path(
    get, path = "/api/v1/gpus", security(("user" = []), ("session" = [])),
    responses(
        (status = 200, body = openapi::Gpus),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn gpus(service: web::Data<Service>, request: HttpRequest) -> actix_web::Result<impl Responder> {
    admit_user(&service, &request).await?;
    let view = service.view();
    let snapshot = view.snapshot.as_deref().ok_or_else(|| Problem::from(Refusal::NoInventory))?;
    Ok(json(&GpuReport::new(snapshot, &view.freshness)))
}
