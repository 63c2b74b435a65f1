//! Trigger jobs: those without a script, which start or mirror a pipeline.

use fleet_model::{AllowFailure, Retry, When};

use super::{
    check::{Checker, Place, kind, present},
    environment, inherit,
    job::{Surroundings, WrittenJob, excluded_by_rules, name, policies, read, stage},
    needs::{self, Needs},
    parallel,
    rules::{self, Owner},
    timing, trigger,
    types::Job,
    variables::{self, Scope},
};
use crate::{Entry, Map, Span, Value, resolve::Size};

/// The keys of a trigger job.
pub(super) const KEYS: &[&str] = &[
    "trigger",
    "parallel",
    "extends",
    "stage",
    "only",
    "except",
    "rules",
    "variables",
    "inherit",
    "allow_failure",
    "when",
    "needs",
    "resource_group",
    "environment",
    "interruptible",
];

/// A job with `trigger` or `needs`, and without a script.
pub(super) fn bridge(
    cx: &mut Checker<'_>,
    jobs: &Place<'_>,
    entry: &Entry,
    around: &Surroundings<'_>,
) -> Option<WrittenJob> {
    let map = entry.value.as_map()?;
    let errors = cx.errors();
    let shown = name(cx, jobs, entry);
    let place = jobs.child(&shown);
    let own = own_keys(cx, &place, map);
    if cx.errors() > errors {
        // GitLab has not looked at the trigger then, and misses it.
        let at = cx.diagnostics.last().and_then(|it| it.span);
        starts_nothing(cx, &place, at.unwrap_or(entry.key.span));
        return None;
    }

    let trigger = read(cx, &place, map, "trigger", trigger::trigger);
    let stage_name = stage(cx, &place, map);
    let (only, except) = policies(cx, &place, map);
    let variables = read(cx, &place, map, "variables", |cx, at, node| {
        variables::variables(cx, at, node, Scope::Job)
    });
    let rules = read(cx, &place, map, "rules", |cx, at, node| {
        rules::rules(cx, at, &at.child("rule"), node, Owner::Job)
    });
    let inherit = read(cx, &place, map, "inherit", inherit::inherit).unwrap_or_default();
    let environment = read(cx, &place, map, "environment", environment::environment);
    let parallel = read(cx, &place, map, "parallel", parallel::matrix);
    let interruptible = read(cx, &place, map, "interruptible", |cx, at, node| {
        cx.boolean_value(at, node)
    });
    let needs = read(cx, &place, map, "needs", |cx, at, node| {
        needs::needs(cx, at, node, needs::Owner::Trigger)
    });
    let upstreams = needs.as_ref().map_or(&[][..], |needs| &needs.upstreams);
    match upstreams {
        [] if present(map, "trigger").is_none() => {
            starts_nothing(cx, &place, entry.key.span);
        }
        [] | [_] => {}
        [_, second, ..] => {
            let problem = "should contain exactly one bridge need";
            cx.problem(kind::VALUE, &place, "config", problem, second.span);
        }
    }
    if !around.workflow_rules
        && let (Some(_), Some(node)) = (&rules, present(map, "rules"))
    {
        rules::warn_about_last(cx, &place, node);
    }
    if cx.errors() > errors {
        return None;
    }

    let by_default = around.defaults.interruptible;
    let interruptible =
        interruptible.or_else(|| by_default.filter(|_| inherit.default.admits("interruptible")));
    let has_rules = map.get("rules").is_some() || around.workflow_rules;
    let (rules, rule_needs) = rules::split(rules);
    let Needs {
        jobs: needed,
        upstreams,
        ..
    } = needs.clone().unwrap_or_default();
    let upstream = upstreams.into_iter().next();
    let job = Job {
        span: entry.key.span,
        name: shown,
        parallel: None,
        trigger,
        // It has that pipeline's status, and waits for its stage.
        stage: stage_name.unwrap_or_else(|| "test".to_owned()),
        script: Vec::new(),
        places: Vec::new(),
        after_script: Vec::new(),
        rules,
        only: only.or_else(|| (!has_rules).then(super::Policy::branches_and_tags)),
        except,
        variables: variables.unwrap_or_default(),
        inherit_variables: inherit.variables,
        when: own.when,
        allow_failure: own.allow_failure,
        needs: None,
        cross_needs: Vec::new(),
        dependencies: None,
        manual_confirmation: None,
        interruptible: interruptible.unwrap_or_default(),
        tags: Vec::new(),
        resource_group: own.resource_group,
        environment,
        coverage: None,
        retry: Retry::default(),
        timeout: None,
        image: None,
        services: Vec::new(),
        artifacts: Vec::new(),
        caches: Vec::new(),
        hooks: Vec::new(),
        upstream: upstream.clone(),
    };
    Some(WrittenJob {
        job,
        stage: present(map, "stage").map_or(entry.key.span, |node| node.span),
        parallel,
        // A job that mirrors a pipeline waits for its stage.
        needs: needs.filter(|_| upstream.is_none()).map(|_| needed),
        rule_needs,
        dependencies: None,
        weight: Size::of(&entry.value).bytes,
    })
}

fn starts_nothing(cx: &mut Checker<'_>, place: &Place<'_>, span: Span) {
    let problem = "should contain either a trigger or a needs:pipeline";
    cx.problem(kind::MISSING_KEY, place, "config", problem, span)
        .help = Some("a job without `trigger` needs a `script`".to_owned());
}

/// The keys that GitLab checks with the job itself.
struct OwnKeys {
    when: When,
    allow_failure: Option<AllowFailure>,
    resource_group: Option<String>,
}

fn own_keys(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map) -> OwnKeys {
    cx.known_keys(place, map, KEYS);
    excluded_by_rules(cx, place, map);
    let when = timing::when_of_trigger(cx, place, map);
    let allow_failure = match cx.boolean(place, map, "allow_failure") {
        None => None,
        Some(true) => Some(AllowFailure::Yes),
        Some(false) => Some(AllowFailure::No),
    };
    let resource_group = cx.string(place, map, "resource_group");
    if let Some(node) = present(map, "rules") {
        rules::check_shape(cx, place, node);
    }
    OwnKeys {
        when,
        allow_failure,
        resource_group,
    }
}

/// Whether an entry is a trigger job, if it has no script.
pub(super) fn is_bridge(entry: &Entry) -> bool {
    match &entry.value.value {
        Value::Map(map) => map.get("trigger").is_some() || map.get("needs").is_some(),
        _ => false,
    }
}
