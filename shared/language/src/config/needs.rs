//! `needs`, before the names of parallel jobs are resolved.

use super::{
    check::{Checker, Place, is_blank, kind, present},
    parallel::{self, Matrix},
    script,
    trigger::Upstream,
    types::{CrossNeed, CrossSource},
};
use crate::{Node, Span, Value};

/// The keys of a need of a job of another pipeline.
pub(super) const PIPELINE_KEYS: &[&str] = &["pipeline", "job", "artifacts", "optional"];

/// The keys of a need of a job of another project.
pub(super) const PROJECT_KEYS: &[&str] = &["project", "ref", "job", "artifacts"];

/// The keys of a need of a job of this pipeline.
pub(super) const KEYS: &[&str] = &["job", "artifacts", "optional", "parallel"];

/// Needs of other pipelines in one job, at most.
const MAX_CROSS_PIPELINE: usize = 5;

/// Where needs stand; decides which kinds are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A job: jobs of this pipeline, and artifacts of others.
    Job,
    /// A trigger job: jobs of this pipeline, and a project whose status it has.
    Trigger,
    /// A rule: only jobs of this pipeline.
    Rule,
}

/// One need as written.
#[derive(Clone, Debug)]
pub(super) struct WrittenNeed {
    pub(super) span: Span,
    pub(super) job: String,
    pub(super) artifacts: bool,
    pub(super) optional: bool,
    /// Which instances of a parallel job; none: all.
    pub(super) matrix: Option<Matrix>,
}

/// All that a job needs.
#[derive(Clone, Debug, Default)]
pub(super) struct Needs {
    /// Jobs of this pipeline.
    pub(super) jobs: Vec<WrittenNeed>,
    /// Jobs of other pipelines.
    pub(super) cross: Vec<CrossNeed>,
    /// Projects whose status the job has.
    pub(super) upstreams: Vec<Upstream>,
}

/// `needs`: a map, or a list of names and maps.
pub(super) fn needs(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    node: &Node,
    owner: Owner,
) -> Option<Needs> {
    let errors = cx.errors();
    let mut items = Vec::new();
    match &node.value {
        Value::Map(map) if map.entries.is_empty() => {
            cx.problem(
                kind::BLANK,
                place,
                "config",
                "can not be an empty hash",
                node.span,
            );
        }
        Value::Map(_) => items.push(node),
        Value::Seq(_) => {
            // Accepts everything, so nesting is the only limit and it has none.
            let _ = script::flatten(node, &mut items, usize::MAX, &|_| true);
            items.retain(|item| item.value != Value::Null);
        }
        _ => {
            cx.problem(
                kind::TYPE,
                place,
                "config",
                "can only be a hash or an array",
                node.span,
            )
            .help = Some("write a list: `needs: [job]`".to_owned());
        }
    }
    let numbered = |item: &&Node| {
        let parallel = item.as_map().and_then(|map| present(map, "parallel"));
        parallel
            .filter(|node| node.as_map().is_none())
            .map(|node| node.span)
    };
    if let Some(span) = items.iter().find_map(numbered) {
        let problem = "cannot use \"parallel: <number>\".";
        cx.problem(kind::VALUE, place, "config", problem, span);
    }
    if cx.errors() > errors {
        return None;
    }

    let below = place.child("need");
    let mut needs = Needs::default();
    let mut elsewhere = Elsewhere::default();
    for item in items {
        match Kind::of(item) {
            Kind::Job => needs.jobs.extend(need(cx, &below, item)),
            Kind::CrossPipeline | Kind::CrossProject => elsewhere.cross.push(item),
            Kind::Upstream => elsewhere.upstreams.push(item),
        }
    }
    elsewhere.check(cx, place, owner);
    if cx.errors() > errors {
        return None;
    }
    for item in elsewhere.cross {
        needs.cross.extend(cross_need(cx, &below, item));
    }
    for item in elsewhere.upstreams {
        needs.upstreams.extend(upstream(cx, &below, item));
    }
    (cx.errors() == errors).then_some(needs)
}

/// What a need is of.
enum Kind {
    Job,
    CrossPipeline,
    CrossProject,
    Upstream,
}

impl Kind {
    fn of(node: &Node) -> Kind {
        let has = |key: &str| node.as_map().is_some_and(|map| map.get(key).is_some());
        if has("project") {
            Kind::CrossProject
        } else if !has("pipeline") {
            Kind::Job
        } else if has("job") {
            Kind::CrossPipeline
        } else {
            Kind::Upstream
        }
    }
}

/// Needs of other pipelines and projects.
#[derive(Default)]
struct Elsewhere<'n> {
    cross: Vec<&'n Node>,
    upstreams: Vec<&'n Node>,
}

impl Elsewhere<'_> {
    /// Whether these kinds may stand there, and as many.
    fn check(&self, cx: &mut Checker<'_>, place: &Place<'_>, owner: Owner) {
        let cross = self.cross.first().filter(|_| owner != Owner::Job);
        let upstream = self.upstreams.first().filter(|_| owner != Owner::Trigger);
        let foreign: Vec<(&str, Span)> = [("cross_dependency", cross), ("bridge", upstream)]
            .into_iter()
            .filter_map(|(name, node)| Some((name, node?.span)))
            .collect();
        if let Some((_, span)) = foreign.first() {
            let names: Vec<&str> = foreign.iter().map(|(name, _)| *name).collect();
            let problem = format!("uses invalid types: {}", names.join(", "));
            cx.problem(kind::VALUE, place, "config", problem, *span);
        }
        if let Some(over) = self.cross.get(MAX_CROSS_PIPELINE) {
            let problem = format!("must be less than or equal to {MAX_CROSS_PIPELINE}");
            cx.problem(kind::LIMIT, place, "config", problem, over.span);
        }
    }
}

/// `{pipeline, job}` or `{project, ref, job}`.
fn cross_need(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<CrossNeed> {
    let map = node.as_map()?;
    let errors = cx.errors();
    let source = if map.get("project").is_some() {
        cx.known_keys(place, map, PROJECT_KEYS);
        let project = cx.required_string(place, map, "project", node);
        let reference = cx.required_string(place, map, "ref", node);
        CrossSource::Project {
            project: project.unwrap_or_default(),
            reference: reference.unwrap_or_default(),
        }
    } else {
        cx.known_keys(place, map, PIPELINE_KEYS);
        let pipeline = cx.required_string(place, map, "pipeline", node);
        CrossSource::Pipeline(pipeline.unwrap_or_default())
    };
    let job = cx.required_string(place, map, "job", node);
    let artifacts = cx.boolean(place, map, "artifacts").unwrap_or(true);
    let optional = cx.boolean(place, map, "optional").unwrap_or_default();
    (cx.errors() == errors).then_some(CrossNeed {
        span: node.span,
        source,
        job: job?,
        artifacts,
        optional,
    })
}

/// `{pipeline: group/project}`.
fn upstream(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<Upstream> {
    let map = node.as_map()?;
    let errors = cx.errors();
    cx.known_keys(place, map, &["pipeline"]);
    let project = cx.required_string(place, map, "pipeline", node);
    (cx.errors() == errors).then_some(Upstream {
        span: node.span,
        project: project?,
    })
}

fn need(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<WrittenNeed> {
    if let Some(job) = node.as_str() {
        if is_blank(node) {
            cx.problem(kind::BLANK, place, "config", "can't be blank", node.span);
        }
        let job = job.to_owned();
        let need = WrittenNeed {
            span: node.span,
            job,
            artifacts: true,
            optional: false,
            matrix: None,
        };
        return Some(need);
    }
    let Some((map, job)) = node.as_map().and_then(|map| Some((map, map.get("job")?))) else {
        cx.problem(kind::TYPE, place, "", "has an unsupported type", node.span)
            .help = Some("a need is a job's name, or a map with the key `job`".to_owned());
        return None;
    };
    cx.known_keys(place, map, KEYS);
    if job.as_str().is_none() {
        cx.problem(kind::TYPE, place, "job", "should be a string", job.span);
    }
    if is_blank(job) {
        cx.problem(kind::BLANK, place, "job", "can't be blank", job.span);
    }
    let artifacts = cx.boolean(place, map, "artifacts").unwrap_or(true);
    let optional = cx.boolean(place, map, "optional").unwrap_or_default();
    let matrix = present(map, "parallel")
        .and_then(|node| parallel::needed_matrix(cx, &place.child("parallel"), node));
    let name = job.as_str().unwrap_or_default().to_owned();
    Some(WrittenNeed {
        span: job.span,
        job: name,
        artifacts,
        optional,
        matrix,
    })
}
