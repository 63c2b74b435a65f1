//! Host coupling: jobs that count on the Docker engine of the host an earlier job ran on.
//!
//! `docker tag $IMAGE ...` works where an earlier job has built `$IMAGE`, and nowhere
//! else: by luck on one host, not at all on two. Here such lines are found in the
//! scripts of a pipeline's jobs, and mended where an earlier job has pushed the image.
//!
//! ```text
//! script --shell--> simple commands --docker--> what they do to images --facts--> of a job
//!   -> couplings between jobs of which one runs after the other -> mends, pins, diagnostics
//! ```
//!
//! What cannot be read (loops, functions, other scripts, names from commands) is left
//! alone: nothing is said that may be wrong.

mod docker;
mod facts;
mod image;
mod mend;
mod order;
mod shell;

use std::collections::BTreeMap;

use fleet_model::{PlannedJob, Scheduling, Service, Variable};

use crate::Diagnostic;
use crate::config::{Config, Job};
use facts::{Facts, Provided, Use};
use order::Order;

/// The code of what is said where an earlier job pushed the image.
const PUSHED: &str = "host-coupling";
/// The code of what is said where no earlier job pushed the image.
const UNPUSHED: &str = "host-coupling-unpushed";

/// What is done about host coupling: a project's setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HostCoupling {
    /// A pull is put before the line; a job whose image was never pushed is pinned to
    /// the agent that has it.
    #[default]
    Mend,
    /// It is said.
    Warn,
    /// There is no pipeline.
    Deny,
    /// Nothing: all jobs share one engine, as in `fleetctl run`.
    OneHost,
}

/// A job whose script is looked at.
struct Subject<'a> {
    script: &'a [String],
    /// Lowest precedence first.
    variables: Vec<Variable>,
    services: &'a [Service],
}

/// A line that counts on another job's host.
struct Coupling {
    /// The job with the line.
    job: usize,
    /// The job that has put the image there.
    from: usize,
    /// An earlier job that pushed it; none: nobody did.
    pushed_by: Option<usize>,
    need: Use,
}

/// Finds the couplings of a plan's jobs and does about them what is asked.
///
/// `jobs` and `planned` are the same jobs; `all` gives what a job sees, its own variables
/// and those around them, lowest precedence first.
pub(crate) fn resolve(
    jobs: &[&Job],
    planned: &mut [PlannedJob],
    all: impl Fn(&[Variable]) -> Vec<Variable>,
    wanted: HostCoupling,
) -> Vec<Diagnostic> {
    if wanted == HostCoupling::OneHost {
        return Vec::new();
    }
    let subjects: Vec<Option<Subject<'_>>> = jobs
        .iter()
        .zip(planned.iter())
        .map(|(job, planned)| {
            subject(job, || {
                let mut all = all(&planned.variables);
                all.extend_from_slice(&planned.overriding);
                all
            })
        })
        .collect();
    let order = planned.iter().map(|job| (job.stage, &job.scheduling));
    let couplings = find(&subjects, Order::new(order));
    let mut diagnostics = Vec::new();
    let mut inserted: BTreeMap<usize, Vec<&Use>> = BTreeMap::new();
    for coupling in &couplings {
        let (from, by) = (jobs[coupling.from], coupling.pushed_by.map(|by| jobs[by]));
        let mut held = None;
        if wanted == HostCoupling::Mend {
            let pin = &mut planned[coupling.job].pinned_to;
            match coupling.pushed_by {
                Some(_) => inserted
                    .entry(coupling.job)
                    .or_default()
                    .push(&coupling.need),
                None => held = Some(*pin.get_or_insert(coupling.from)),
            }
        }
        let pinned = held.is_none_or(|held| held == coupling.from);
        let words = mend::Words {
            job: base_name(jobs[coupling.job]),
            from: base_name(from),
            pushed_by: by.map(base_name),
            need: &coupling.need,
            pinned,
        };
        let place = jobs[coupling.job].places.get(coupling.need.entry).copied();
        diagnostics.push(words.diagnostic(wanted, place));
    }
    for (job, needs) in inserted {
        planned[job].script = mend::script(&planned[job].script, &needs);
    }
    diagnostics
}

/// What can be said of a configuration, for whatever event.
pub(crate) fn lint(config: &Config) -> Vec<Diagnostic> {
    let jobs: Vec<&Job> = config.jobs.iter().collect();
    let index: BTreeMap<&str, usize> = jobs
        .iter()
        .enumerate()
        .map(|(index, job)| (job.name.as_str(), index))
        .collect();
    let scheduling: Vec<Scheduling> = jobs
        .iter()
        .map(|job| {
            let rules = job.rules.iter().flatten();
            let needs = if rules.clone().any(|rule| rule.needs.is_some()) {
                // Which of them count, the event says.
                Some(Vec::new())
            } else {
                job.needs.as_ref().map(|needs| {
                    let known = needs.iter().filter_map(|need| index.get(need.job.as_str()));
                    known.copied().collect()
                })
            };
            needs.map_or(Scheduling::Stage, Scheduling::Dag)
        })
        .collect();
    let stage = |job: &Job| config.stages.iter().position(|it| *it == job.stage);
    let subjects: Vec<Option<Subject<'_>>> = jobs
        .iter()
        .map(|job| {
            subject(job, || {
                let global = config.variables.iter();
                let global = global.filter(|it| job.inherit_variables.admits(&it.key));
                global.chain(&job.variables).cloned().collect()
            })
        })
        .collect();
    let stages = jobs.iter().map(|job| stage(job).unwrap_or(0));
    let couplings = find(&subjects, Order::new(stages.zip(&scheduling)));
    let diagnostics = couplings.iter().map(|coupling| {
        let words = mend::Words {
            job: base_name(jobs[coupling.job]),
            from: base_name(jobs[coupling.from]),
            pushed_by: coupling.pushed_by.map(|by| base_name(jobs[by])),
            need: &coupling.need,
            pinned: true,
        };
        let place = jobs[coupling.job].places.get(coupling.need.entry).copied();
        words.diagnostic(HostCoupling::Mend, place)
    });
    diagnostics.collect()
}

/// The job, if its script may have anything to do with Docker.
fn subject<'a>(job: &'a Job, variables: impl FnOnce() -> Vec<Variable>) -> Option<Subject<'a>> {
    let docker = job.script.iter().any(|entry| entry.contains("docker"));
    docker.then(|| Subject {
        script: &job.script,
        variables: normal(variables()),
        services: &job.services,
    })
}

fn base_name(job: &Job) -> &str {
    let parallel = job.parallel.as_ref();
    parallel.map_or(&job.name, |parallel| &parallel.base_name)
}

/// The commit stays a reference, and has one name: so it can be seen in an image's
/// name, whatever was expanded.
fn normal(mut variables: Vec<Variable>) -> Vec<Variable> {
    const FIXED: [&str; 3] = ["CI_COMMIT_SHA", "CI_COMMIT_SHORT_SHA", "CI_PIPELINE_IID"];
    const ALIASES: [(&str, &str); 5] = [
        ("CI_BUILD_REF", "$CI_COMMIT_SHA"),
        ("CI_BUILD_BEFORE_SHA", "$CI_COMMIT_BEFORE_SHA"),
        ("CI_BUILD_REF_NAME", "$CI_COMMIT_REF_NAME"),
        ("CI_BUILD_REF_SLUG", "$CI_COMMIT_REF_SLUG"),
        ("CI_BUILD_TAG", "$CI_COMMIT_TAG"),
    ];
    variables.retain(|variable| {
        let key = variable.key.as_str();
        !FIXED.contains(&key) && !ALIASES.iter().any(|(alias, _)| *alias == key)
    });
    variables.extend(ALIASES.map(|(alias, value)| Variable::new(alias, value)));
    variables
}

/// All couplings, in order of jobs and lines.
fn find(subjects: &[Option<Subject<'_>>], mut order: Order<'_>) -> Vec<Coupling> {
    let facts: Vec<Option<Facts>> = subjects
        .iter()
        .map(|job| {
            let job = job.as_ref()?;
            Some(facts::of(job.script, &job.variables, job.services))
        })
        .collect();
    // Who has to do with an image, so that nobody else is asked.
    let mut providers: BTreeMap<&image::Image, Vec<usize>> = BTreeMap::new();
    let mut pushers: BTreeMap<&image::Image, Vec<usize>> = BTreeMap::new();
    let mut unsure: BTreeMap<Option<&image::Image>, Vec<usize>> = BTreeMap::new();
    for (index, facts) in facts.iter().enumerate() {
        let Some(facts) = facts else { continue };
        for (image, how) in &facts.provides {
            providers.entry(image).or_default().push(index);
            if *how == Provided::Pulled {
                pushers.entry(image).or_default().push(index);
            }
        }
        for image in facts.pushed.iter().chain(&facts.pushed_all) {
            pushers.entry(image).or_default().push(index);
        }
        for image in &facts.maybe_pushed {
            unsure.entry(Some(image)).or_default().push(index);
        }
        if facts.opaque {
            unsure.entry(None).or_default().push(index);
        }
    }
    let mut couplings = Vec::new();
    for (job, facts_) in facts.iter().enumerate() {
        let uses = facts_.iter().flat_map(|facts| &facts.uses);
        let mut before = None;
        for need in uses {
            let Some(candidates) = providers.get(&need.image) else {
                continue;
            };
            let before = before.get_or_insert_with(|| order.before(job));
            let last = |all: Option<&Vec<usize>>| -> Option<usize> {
                let mut all = all?.iter().rev();
                all.find(|&&other| other != job && order.is_in(before, other))
                    .copied()
            };
            let Some(from) = last(Some(candidates)) else {
                continue;
            };
            let untagged = image::untagged(&need.image);
            let pushed_by = last(pushers.get(&need.image)).or_else(|| last(pushers.get(&untagged)));
            let made = |other: usize| {
                let facts = facts[other].as_ref();
                facts.and_then(|it| it.provides.get(&need.image)) == Some(&Provided::Made)
            };
            if need.pulls_itself && !candidates.iter().any(|&other| made(other)) {
                // Nobody made it: docker gets it from where the others got it.
                continue;
            }
            if pushed_by.is_none()
                && (last(unsure.get(&Some(&need.image))).is_some()
                    || last(unsure.get(&None)).is_some())
            {
                continue;
            }
            couplings.push(Coupling {
                job,
                from,
                pushed_by,
                need: need.clone(),
            });
        }
    }
    couplings
}

#[cfg(test)]
mod tests;
