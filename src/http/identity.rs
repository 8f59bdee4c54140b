//! Whose token is this: asks the hub at `/hub/api/user` and remembers the answer for a minute.
//!
//! The scope is part of the answer and is looked at on each use. Groups come from the hub alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;
use reqwest::header::ACCEPT;
use serde::Deserialize;
use subtle::ConstantTimeEq;
use tracing::warn;

use crate::profiles::User;

/// How long a user stays admitted after the hub has said so.
pub const KEEP_KNOWN: Duration = Duration::from_secs(60);
const KEEP_FAILED: Duration = Duration::from_secs(5);
/// Tokens remembered at most; the least used go first.
const MOST_TOKENS: u64 = 10_000;
const HUB_TIMEOUT: Duration = Duration::from_secs(5);

/// A user of the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub user: User,
    /// From then on the hub is asked again.
    pub until: Instant,
}

impl Identity {
    /// Who everybody is without authentication.
    pub fn anyone() -> Self {
        let user = User { name: "anyone".to_owned(), groups: Vec::new(), admin: true };
        Self { user, until: Instant::now() + KEEP_KNOWN }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityError {
    Invalid,
    NotAUser,
    NoScope,
    /// The browser has left the hub session in which its token was made.
    LoggedOut,
    HubUnreachable,
}

/// What the hub says of a token. Source: JupyterHub's REST API, `GET /user`.
#[derive(Debug, Deserialize)]
struct Owner {
    #[serde(default)]
    kind: String,
    name: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    admin: bool,
    #[serde(default)]
    scopes: Vec<String>,
    /// The browser session in which the token was made by a log-in.
    session_id: Option<String>,
}

/// What the hub has said, and until when that holds.
#[derive(Debug)]
struct Known {
    owner: Owner,
    until: Instant,
}

impl Known {
    fn admit(&self) -> Result<Identity, IdentityError> {
        Ok(Identity { user: self.owner.admit()?, until: self.until })
    }
}

impl Owner {
    fn admit(&self) -> Result<User, IdentityError> {
        if self.kind != "user" {
            return Err(IdentityError::NotAUser);
        }
        let may_access = |scope: &String| ["access:services", "access:services!service=berth"].contains(&scope.as_str());
        if !self.scopes.iter().any(may_access) {
            return Err(IdentityError::NoScope);
        }
        Ok(User { name: self.name.clone(), groups: self.groups.clone(), admin: self.admin })
    }

    /// Whether the browser is still in the hub session of this token.
    fn is_in(&self, hub_sessions: &[String]) -> bool {
        let Some(mine) = self.session_id.as_deref().filter(|id| !id.is_empty()) else { return false };
        hub_sessions.iter().any(|session| session.as_bytes().ct_eq(mine.as_bytes()).into())
    }
}

type Answer = Result<Arc<Known>, IdentityError>;

#[derive(Debug)]
pub struct Identities {
    client: reqwest::Client,
    /// The hub's API, such as `http://hub:8081/hub/api`.
    api: String,
    keep_known: Duration,
    answers: Cache<String, Answer>,
}

struct ByOutcome;

impl Expiry<String, Answer> for ByOutcome {
    fn expire_after_create(&self, _: &String, answer: &Answer, now: Instant) -> Option<Duration> {
        Some(answer.as_ref().map_or(KEEP_FAILED, |known| known.until.saturating_duration_since(now)))
    }
}

impl Identities {
    /// `keep_known`: how long an answer of the hub holds.
    pub fn new(api: &str, keep_known: Duration) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().timeout(HUB_TIMEOUT).redirect(reqwest::redirect::Policy::none()).build()?;
        let answers = Cache::builder().max_capacity(MOST_TOKENS).expire_after(ByOutcome).build();
        Ok(Self { client, api: api.trim_end_matches('/').to_owned(), keep_known, answers })
    }

    /// The user behind a token that he made. It may be a narrow one, for a script: it is an administrator's only if the
    /// hub itself would let it list the users. The token of a log-in never does.
    pub async fn resolve(&self, token: &str) -> Result<Identity, IdentityError> {
        let known = self.known(token).await?;
        let mut identity = known.admit()?;
        identity.user.admin &= known.owner.scopes.iter().any(|scope| scope == "list:users");
        Ok(identity)
    }

    /// The user behind the token of a log-in, as long as the browser is in the hub session in which he logged in. The hub
    /// takes that cookie away at log-out, so a log-out is seen before the token is asked about again.
    pub async fn resolve_session(&self, token: &str, hub_sessions: &[String]) -> Result<Identity, IdentityError> {
        match self.known(token).await {
            Ok(known) if known.owner.is_in(hub_sessions) => known.admit(),
            Ok(_) | Err(IdentityError::Invalid) => Err(IdentityError::LoggedOut),
            Err(error) => Err(error),
        }
    }

    /// One lookup per token is in flight at a time.
    async fn known(&self, token: &str) -> Answer {
        self.answers.get_with_by_ref(token, self.ask(token)).await
    }

    /// Asks the hub's API with a token, for an answer of a type.
    pub async fn get(&self, path: &str, token: &str, accept: &str) -> Result<reqwest::Response, IdentityError> {
        let request = self.client.get(format!("{}{path}", self.api)).bearer_auth(token).header(ACCEPT, accept);
        request.send().await.map_err(unreachable)
    }

    /// Sends a form to the hub's API.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Result<reqwest::Response, IdentityError> {
        let request = self.client.post(format!("{}{path}", self.api)).form(form);
        request.send().await.map_err(unreachable)
    }

    async fn ask(&self, token: &str) -> Answer {
        let until = Instant::now() + self.keep_known;
        let response = self.get("/user", token, "application/json").await?;
        match response.status().as_u16() {
            200 => response.json().await.map(|owner| Arc::new(Known { owner, until })).map_err(unreachable),
            401 | 403 => Err(IdentityError::Invalid),
            status => {
                warn!(status, "the hub gave no answer about a user");
                Err(IdentityError::HubUnreachable)
            }
        }
    }
}

fn unreachable(error: reqwest::Error) -> IdentityError {
    warn!(error = %error.without_url(), "the hub could not be asked about a user");
    IdentityError::HubUnreachable
}
