//! One job: in or out, and what becomes of it.

use fleet_model::{AllowFailure, Environment, PlannedJob, Scheduling, Variable, When};

use super::event::{Around, Event, Scope};
use super::workflow::Pipeline;
use super::{LeftOut, cache, downstream, policy, rules};
use crate::Diagnostic;
use crate::config::{self, Job, Need, Rule, RuleWhen};
use crate::variables::predefined::{self, JobFacts};
use crate::variables::{self, Unknown, slug};

/// That a job is in, and what its rule says.
pub(super) struct Decision<'c> {
    job: &'c Job,
    /// None: no rule was asked.
    pub(super) rule: Option<&'c Rule>,
    pub(super) when: When,
    /// Without the variables of the rule; taken when the job is planned.
    own: Own,
}

/// What is known of a job before it runs that no other job has, lowest precedence
/// first.
#[derive(Default)]
struct Own {
    variables: Vec<Variable>,
    /// Where it deploys, which only they tell.
    place: Option<Place>,
}

impl<'c> Decision<'c> {
    /// None: it waits for the stages before it. A rule's empty list takes the
    /// job's needs away, but does not change how it is scheduled.
    pub(super) fn needs(&self) -> Option<&'c [Need]> {
        match self.rule.and_then(|rule| rule.needs.as_deref()) {
            Some([]) if self.job.needs.is_none() => None,
            Some(needs) => Some(needs),
            None => self.job.needs.as_deref(),
        }
    }

    /// Manual jobs without rules are optional unless they say otherwise.
    pub(super) fn allow_failure(&self) -> AllowFailure {
        let yes = |allowed| {
            if allowed {
                AllowFailure::Yes
            } else {
                AllowFailure::No
            }
        };
        match (
            self.rule.and_then(|rule| rule.allow_failure),
            &self.job.allow_failure,
        ) {
            (Some(allowed), _) => yes(allowed),
            (None, Some(stated)) => stated.clone(),
            (None, None) => yes(self.rule.is_none() && self.when == When::Manual),
        }
    }
}

/// Asks the job's rules, or else its `only` and `except`.
pub(super) fn decide<'c>(
    job: &'c Job,
    pipeline: &Pipeline,
    around: &Around<'_>,
    event: &Event<'_>,
) -> Result<Decision<'c>, LeftOut> {
    let left_out = |why: String, rule: Option<&Rule>| LeftOut {
        job: job.name.clone(),
        why: format!("is left out: {why}"),
        span: rule.map_or(job.span, |rule| rule.span),
    };
    let own = own_variables(job, None, job.when, pipeline, around, event);
    let scope = Scope::of_job(&own.variables, around, event);
    let Some(rules) = &job.rules else {
        let unmet = job
            .only
            .as_ref()
            .and_then(|only| policy::unmet(only, &scope));
        let met = || job.except.as_ref().and_then(|it| policy::met(it, &scope));
        return match unmet.or_else(met) {
            Some(why) => Err(left_out(why, None)),
            None => Ok(Decision {
                job,
                rule: None,
                when: job.when,
                own,
            }),
        };
    };
    let Some((index, rule)) = rules::first_match(rules, &job.name, &scope) else {
        return Err(left_out("none of its rules matches".to_owned(), None));
    };
    let when = match rule.when {
        Some(RuleWhen::Never) => {
            let why = format!("{} says `when: never`", rules::describe(index + 1, rule));
            return Err(left_out(why, Some(rule)));
        }
        Some(RuleWhen::Run(when)) => when,
        None => job.when,
    };
    Ok(Decision {
        job,
        rule: Some(rule),
        when,
        own,
    })
}

/// The job as the queue gets it; what it waits for is filled in later, when all
/// jobs are known.
pub(super) fn planned(
    decision: &mut Decision<'_>,
    stage: usize,
    pipeline: &Pipeline,
    around: &Around<'_>,
    event: &Event<'_>,
) -> (PlannedJob, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let job = decision.job;
    let allow_failure = decision.allow_failure();
    let says_more = |rule: &Rule| !rule.variables.is_empty() || decision.when != job.when;
    let Own { variables, place } = if decision.rule.is_some_and(says_more) {
        own_variables(job, decision.rule, decision.when, pipeline, around, event)
    } else {
        std::mem::take(&mut decision.own)
    };
    let scope = Scope::of_job(&variables, around, event);
    let tags = job
        .tags
        .iter()
        .map(|tag| scope.expand_once(tag, Unknown::Keep))
        .collect();
    let resource_group = job
        .resource_group
        .as_deref()
        .map(|group| scope.expand(group, Unknown::Empty))
        .filter(|group| !group.is_empty());
    let environment = job
        .environment
        .as_ref()
        .zip(place)
        .map(|(written, place)| environment(written, place, &scope));
    let overriding = environment.as_ref().map(slug_and_url).unwrap_or_default();
    let mut all = scope.variables();
    all.extend(&overriding);
    if let Err(error) = variables::check_for_job(&all) {
        let code = match error {
            variables::Error::Circular(_) => "circular-variables",
            variables::Error::TooLarge => "variables-too-large",
        };
        diagnostics.push(Diagnostic::error(
            code,
            format!("{}: {error}", job.name),
            Some(job.span),
        ));
    }
    let planned = PlannedJob {
        name: job.name.clone(),
        stage,
        scheduling: Scheduling::Stage,
        artifacts_from: Vec::new(),
        cross_needs: downstream::cross_needs(&job.cross_needs),
        when: decision.when,
        allow_failure,
        retry: job.retry.clone(),
        timeout: job.timeout,
        tags,
        interruptible: decision
            .rule
            .and_then(|rule| rule.interruptible)
            .unwrap_or(job.interruptible),
        resource_group,
        environment,
        coverage: job.coverage.clone(),
        manual_confirmation: job.manual_confirmation.clone(),
        variables,
        overriding,
        image: job.image.clone(),
        services: job.services.clone(),
        script: job.script.clone(),
        pinned_to: None,
        after_script: job.after_script.clone(),
        artifacts: job.artifacts.clone(),
        caches: cache::planned(&job.caches, event),
        hooks: job.hooks.clone(),
        trigger: match (&job.trigger, &job.upstream) {
            (Some(trigger), _) => {
                let yaml = yaml_variables(job, decision.rule, pipeline);
                Some(downstream::planned(trigger, yaml))
            }
            (None, Some(upstream)) => Some(downstream::mirrored(upstream)),
            (None, None) => None,
        },
    };
    (planned, diagnostics)
}

/// The variables that the file gives a job.
fn yaml_variables(job: &Job, rule: Option<&Rule>, pipeline: &Pipeline) -> Vec<Variable> {
    let yaml = variables::inherit(&pipeline.global, &job.variables, |name| {
        job.inherit_variables.admits(name)
    });
    match rule {
        Some(rule) => variables::merge(&yaml, &rule.variables),
        None => yaml,
    }
}

/// What a job's rules see beside what is around it.
pub(super) fn variables_for_rules(
    job: &Job,
    pipeline: &Pipeline,
    around: &Around<'_>,
    event: &Event<'_>,
) -> Vec<Variable> {
    own_variables(job, None, job.when, pipeline, around, event).variables
}

fn own_variables(
    job: &Job,
    rule: Option<&Rule>,
    when: When,
    pipeline: &Pipeline,
    around: &Around<'_>,
    event: &Event<'_>,
) -> Own {
    let mut all = predefined::for_job(JobFacts {
        name: &job.name,
        stage: &job.stage,
        node: job
            .parallel
            .as_ref()
            .map(|parallel| (parallel.index, parallel.total)),
        manual: matches!(when, When::Manual | When::Delayed(_)),
    });
    let facts = all.len();
    all.extend(yaml_variables(job, rule, pipeline));
    let place = job
        .environment
        .as_ref()
        .map(|written| Place::of(written, &Scope::of_job(&all, around, event)));
    if let Some((place, written)) = place.as_ref().zip(job.environment.as_ref()) {
        let known = predefined::for_environment(&place.name, &place.tier, written.action);
        all.splice(facts..facts, known);
    }
    Own {
        variables: all,
        place,
    }
}

/// An environment, as far as the job's other variables tell.
struct Place {
    name: String,
    tier: String,
}

impl Place {
    fn of(written: &config::Environment, scope: &Scope<'_>) -> Place {
        const TIERS: [&str; 5] = ["production", "staging", "testing", "development", "other"];
        let name = scope.expand(&written.name, Unknown::Empty);
        let tier = written
            .deployment_tier
            .as_deref()
            .map(|tier| scope.expand(tier, Unknown::Empty))
            .filter(|tier| TIERS.contains(&tier.as_str()))
            .unwrap_or_else(|| slug::deployment_tier(&name).to_owned());
        Place { name, tier }
    }
}

/// Nothing stands over these two.
fn slug_and_url(environment: &Environment) -> Vec<Variable> {
    let slug = Variable::new("CI_ENVIRONMENT_SLUG", environment.slug.as_str());
    let url = environment.url.as_deref();
    let url = url.map(|url| Variable::new("CI_ENVIRONMENT_URL", url));
    std::iter::once(slug).chain(url).collect()
}

fn environment(written: &config::Environment, place: Place, scope: &Scope<'_>) -> Environment {
    let slug = slug::environment(&place.name);
    let url = written.url.as_deref().map(|url| {
        // Its own variables are the only ones the set does not hold yet.
        let slugged = variables::expand(url, Unknown::Keep, |reference| {
            (reference == "CI_ENVIRONMENT_SLUG").then_some(slug.as_str())
        });
        scope.expand(&slugged, Unknown::Keep)
    });
    Environment {
        slug,
        url,
        action: written.action,
        on_stop: written.on_stop.clone(),
        auto_stop_in: written
            .auto_stop_in
            .as_deref()
            .map(|text| scope.expand(text, Unknown::Empty)),
        deployment_tier: place.tier,
        name: place.name,
    }
}
