//! `berth explain`: one choice, judged node by node.

use serde::Serialize;
use serde_json::Value;

use crate::app;
use crate::domain::fit::{Availability, judge};
use crate::http::View;
use crate::profiles::User;
use crate::profiles::refusal::Refusal;
use crate::spawn::{self, SpawnAnswer};

#[derive(Debug, Serialize)]
pub struct Explanation {
    profile: String,
    availability: Availability,
    reasons: Vec<String>,
    nodes: Vec<NodeAnswer>,
    /// The answer that the hub would get.
    answer: Option<SpawnAnswer>,
    /// Why the hub would be refused.
    refusal: Option<String>,
}

#[derive(Debug, Serialize)]
struct NodeAnswer {
    name: String,
    availability: Availability,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub fn explain(view: &View, user: &User, options: &Value) -> Result<Explanation, String> {
    let context = view.context(app::DEFAULT_PREFIX, "");
    let base = &view.catalogue.base;
    let snapshot = view.snapshot.as_deref().ok_or_else(|| Refusal::NoInventory.to_string())?;
    let (profile, plan) = spawn::plan_of(&context, user, base, options).map_err(|refusal| refusal.to_string())?;
    let nodes = snapshot.nodes.iter().map(|node| {
        let verdict = judge(node, &plan.shape);
        NodeAnswer {
            name: node.name().to_owned(),
            availability: verdict.availability,
            reason: verdict.obstacle.map(|obstacle| obstacle.to_string()),
        }
    });
    let answer = spawn::answer(&context, user, base, options, None).map(|(answer, _)| answer);
    Ok(Explanation {
        profile,
        availability: plan.assessment.availability,
        reasons: plan.assessment.reasons,
        nodes: nodes.collect(),
        refusal: answer.as_ref().err().map(ToString::to_string),
        answer: answer.ok(),
    })
}
