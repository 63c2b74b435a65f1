//! `workflow`: whether there is a pipeline, its name and its variables.

use fleet_model::{AutoCancel, Variable};

use super::event::{Event, Scope};
use super::{FILTERED, rules};
use crate::Diagnostic;
use crate::config::{Config, Rule, RuleWhen};
use crate::variables::{self, Unknown, predefined};

/// GitLab's limit, in characters.
const MAX_NAME: usize = 255;

/// What is decided for all jobs at once.
pub(super) struct Pipeline {
    pub(super) name: Option<String>,
    pub(super) auto_cancel: AutoCancel,
    /// Predefined variables of the pipeline.
    pub(super) predefined: Vec<Variable>,
    /// Global variables under those of the workflow's rule.
    pub(super) global: Vec<Variable>,
    /// Who started it: over YAML.
    pub(super) user: Vec<Variable>,
    /// What stands over all that: the project's settings, the pipeline's own
    /// variables.
    pub(super) settings: Vec<Variable>,
}

/// Asks the workflow's rules.
///
/// # Errors
/// They want no pipeline; what there is to say about it.
pub(super) fn decide(config: &Config, event: &Event<'_>) -> Result<Pipeline, Diagnostic> {
    let mut pipeline = undecided(config, event);
    if let Some(rules) = &config.workflow.rules {
        let variables = pipeline.variables();
        let scope = Scope::new(&variables, event);
        let Some((index, rule)) = rules::first_match(rules, "workflow", &scope) else {
            return Err(filtered("none of the rules matches", rules.first()));
        };
        if rule.when == Some(RuleWhen::Never) {
            let why = format!("{} says `when: never`", rules::describe(index + 1, rule));
            return Err(filtered(&why, Some(rule)));
        }
        pipeline.global = variables::merge(&pipeline.global, &rule.variables);
        pipeline.auto_cancel = rule.auto_cancel.unwrap_or(pipeline.auto_cancel);
    }

    if let Some(name) = &config.workflow.name {
        let expanded = Scope::new(&pipeline.variables(), event).expand(name, Unknown::Empty);
        let name: String = expanded.trim().chars().take(MAX_NAME).collect();
        if !name.is_empty() {
            pipeline
                .predefined
                .push(Variable::new("CI_PIPELINE_NAME", name.as_str()).raw());
            pipeline.name = Some(name);
        }
    }
    Ok(pipeline)
}

/// What the workflow's rules see.
pub(super) fn before(config: &Config, event: &Event<'_>) -> Vec<Variable> {
    undecided(config, event).variables()
}

fn undecided(config: &Config, event: &Event<'_>) -> Pipeline {
    let context = event.context;
    Pipeline {
        name: None,
        auto_cancel: config.workflow.auto_cancel,
        predefined: predefined::for_pipeline(context),
        global: config.variables.clone(),
        user: predefined::for_user(context),
        settings: context.settings(),
    }
}

fn filtered(why: &str, rule: Option<&Rule>) -> Diagnostic {
    Diagnostic::error(
        FILTERED,
        "The pipeline did not run. Review the workflow:rules configuration for the pipeline.",
        rule.map(|rule| rule.span),
    )
    .help(why)
}

impl Pipeline {
    /// All variables outside of jobs, lowest precedence first.
    fn variables(&self) -> Vec<Variable> {
        [&self.predefined, &self.global, &self.user, &self.settings]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }
}
