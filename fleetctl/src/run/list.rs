//! `fleetctl run --list`: what would run, and what would not.

use std::fmt::Write as _;

use fleet_language::Compiled;
use fleet_model::{Plan, Scheduling};
use serde_json::{Value, json};

use super::select::Selection;
use crate::cli::TextOrJson;
use crate::graph::{names, outline};
use crate::view::clean;
use crate::{Exit, Failure};

/// Prints a selection, with the jobs that the event leaves out.
pub(super) fn print(
    selection: &Selection,
    compiled: &Compiled,
    output: TextOrJson,
) -> Result<Exit, Failure> {
    let mut left_out = selection.left_out.clone();
    left_out.extend(compiled.left_out.iter().map(|job| {
        (
            job.job.clone(),
            job.why.trim_start_matches("is left out: ").to_owned(),
        )
    }));
    let text = match output {
        TextOrJson::Text => text(&selection.plan, &left_out),
        TextOrJson::Json => format!("{}\n", json(&selection.plan, &left_out)),
    };
    crate::print(text.as_bytes())
}

fn text(plan: &Plan, left_out: &[(String, String)]) -> String {
    let mut text = outline(plan);
    if !left_out.is_empty() {
        text.push_str("left out\n");
        for (name, why) in left_out {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {}  {}", clean(name), clean(why));
        }
    }
    text
}

fn json(plan: &Plan, left_out: &[(String, String)]) -> Value {
    let jobs = plan.jobs.iter().map(|job| {
        let needs = match &job.scheduling {
            Scheduling::Stage => Value::Null,
            Scheduling::Dag(needs) => names(plan, needs).into(),
        };
        json!({
            "name": job.name,
            "stage": plan.stages.get(job.stage),
            "needs": needs,
            "environment": job.environment.as_ref().map(|environment| &environment.name),
        })
    });
    let left_out = left_out
        .iter()
        .map(|(name, why)| json!({ "name": name, "why": why }));
    json!({ "jobs": jobs.collect::<Value>(), "left_out": left_out.collect::<Value>() })
}
