//! What jobs say of each other: stages, needs, dependencies, `on_stop`, cycles.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    check::{Checker, kind, shortened},
    multiply::Placed,
    trigger::{ChildFile, Downstream},
    types::{Job, Need},
};
use crate::{Span, Value};
use fleet_model::EnvironmentAction;

const MAX_NAME: usize = 255;

/// Checks the jobs against each other. Each job tells its first mistake; cycles
/// are looked for only where nothing else is wrong.
///
/// `wrong` names the jobs that are not among them, as they are wrong in themselves.
pub(super) fn check(
    cx: &mut Checker<'_>,
    stages: &[String],
    jobs: &[Placed],
    wrong: &BTreeSet<String>,
) {
    let graph = Graph::new(stages, jobs, wrong);
    let errors = cx.errors();
    // Of the instances of one job one tells.
    let mut told = BTreeSet::new();
    for job in jobs {
        let name = base_name(&job.job);
        // The first mistake of a job stops its checks.
        if !told.contains(name) && cx.of_job(name, |cx| graph.check_job(cx, job)).is_err() {
            told.insert(name);
        }
    }
    if cx.errors() == errors {
        graph.check_cycles(cx);
    }
}

/// A mistake was told.
struct Told;

struct Graph<'a> {
    stages: BTreeMap<&'a str, usize>,
    stage_names: String,
    names: BTreeMap<&'a str, usize>,
    jobs: &'a [Placed],
    wrong: &'a BTreeSet<String>,
}

fn base_name(job: &Job) -> &str {
    let parallel = job.parallel.as_ref();
    parallel.map_or(&job.name, |parallel| &parallel.base_name)
}

/// A word for one kind of reference to a job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Need,
    OptionalNeed,
    Dependency,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Need | Kind::OptionalNeed => "need",
            Kind::Dependency => "dependency",
        }
    }
}

/// Who needs something, and the index of its stage.
#[derive(Clone, Copy)]
struct User<'j> {
    job: &'j Job,
    stage: usize,
}

impl<'a> Graph<'a> {
    fn new(stages: &'a [String], jobs: &'a [Placed], wrong: &'a BTreeSet<String>) -> Graph<'a> {
        let mut indexes = BTreeMap::new();
        for (index, stage) in stages.iter().enumerate() {
            indexes.entry(stage.as_str()).or_insert(index);
        }
        let names = jobs
            .iter()
            .enumerate()
            .map(|(index, placed)| (placed.job.name.as_str(), index));
        Graph {
            stages: indexes,
            stage_names: shortened(stages.join(", ")),
            names: names.collect(),
            jobs,
            wrong,
        }
    }

    /// Whether a name is that of a job that is wrong in itself, or of an instance of
    /// one.
    fn is_wrong(&self, name: &str) -> bool {
        let base = name.split_once(": [").map(|(base, _)| base);
        let base = base.or_else(|| name.rsplit_once(' ').map(|(base, _)| base));
        self.wrong.contains(name) || base.is_some_and(|base| self.wrong.contains(base))
    }

    fn job(&self, name: &str) -> Option<&'a Job> {
        let place = self.names.get(name)?;
        self.jobs.get(*place).map(|placed| &placed.job)
    }

    fn check_job(&self, cx: &mut Checker<'_>, placed: &Placed) -> Result<(), Told> {
        let job = &placed.job;
        let Some(stage) = self.stages.get(job.stage.as_str()) else {
            let message = format!(
                "{} job: chosen stage {} does not exist; available stages are {}",
                job.name, job.stage, self.stage_names
            );
            let near = cx.nearest.find(&job.stage, self.stages.keys().copied());
            cx.error("unknown-stage", message, placed.stage).help =
                near.map(|near| format!("did you mean `{near}`?"));
            return Err(Told);
        };
        let user = User { job, stage: *stage };
        let dependencies = job.dependencies.iter().flatten();
        for (name, span) in dependencies.zip(&placed.dependencies) {
            self.reference(cx, user, name, Kind::Dependency, *span)?;
        }
        self.check_needs(cx, user, job.needs.as_deref())?;
        for rule in job.rules.iter().flatten() {
            self.check_needs(cx, user, rule.needs.as_deref())?;
        }
        if let Some(Downstream::Child(files)) = job.trigger.as_ref().map(|it| &it.downstream) {
            for file in files {
                if let ChildFile::Artifact { job, span, .. } = file {
                    self.reference(cx, user, job, Kind::Dependency, *span)?;
                }
            }
        }
        self.check_on_stop(cx, job)
    }

    fn check_needs(
        &self,
        cx: &mut Checker<'_>,
        user: User<'_>,
        needs: Option<&[Need]>,
    ) -> Result<(), Told> {
        let job = user.job;
        let needs = needs.unwrap_or_default();
        for need in needs {
            let kind = if need.optional {
                Kind::OptionalNeed
            } else {
                Kind::Need
            };
            self.reference(cx, user, &need.job, kind, need.span)?;
            if need.job.chars().count() > MAX_NAME {
                let message = format!(
                    "{} job: need `{}` name is too long (maximum is {MAX_NAME} characters)",
                    job.name, need.job
                );
                cx.error(kind::LIMIT, message, need.span);
                return Err(Told);
            }
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for need in needs {
            *counts.entry(&need.job).or_default() += 1;
        }
        let mut twice: Vec<&Need> = Vec::new();
        for need in needs {
            // Zero once it was told.
            if let Some(count) = counts.get_mut(need.job.as_str())
                && *count > 1
            {
                twice.push(need);
                *count = 0;
            }
        }
        if let Some(first) = twice.first() {
            let names: Vec<&str> = twice.iter().map(|need| need.job.as_str()).collect();
            let names = names.join(", ");
            let message = format!("{} has the following needs duplicated: {names}.", job.name);
            cx.error(kind::VALUE, message, first.span);
            return Err(Told);
        }
        Ok(())
    }

    /// A need or dependency: the job is there, and not in a later stage.
    fn reference(
        &self,
        cx: &mut Checker<'_>,
        user: User<'_>,
        name: &str,
        kind: Kind,
        span: Span,
    ) -> Result<(), Told> {
        let User { job, stage } = user;
        let word = kind.word();
        let Some(target) = self.job(name) else {
            if kind == Kind::OptionalNeed || self.is_wrong(name) {
                return Ok(());
            }
            let message = format!("{} job: undefined {word}: {name}", job.name);
            let near = cx.nearest.find(name, self.names.keys().copied());
            cx.error("unknown-job", message, span).help =
                near.map(|near| format!("a job named `{near}` exists"));
            return Err(Told);
        };
        // A stage that does not exist is told at its own job.
        if self
            .stages
            .get(target.stage.as_str())
            .is_some_and(|of_target| *of_target > stage)
        {
            let message = format!(
                "{} job: {word} {name} is not defined in current or prior stages",
                job.name
            );
            cx.error("later-stage", message, span).help = Some(format!(
                "`{name}` is in the stage {}, `{}` in {}",
                target.stage, job.name, job.stage
            ));
            return Err(Told);
        }
        Ok(())
    }

    fn check_on_stop(&self, cx: &mut Checker<'_>, job: &Job) -> Result<(), Told> {
        let Some(environment) = &job.environment else {
            return Ok(());
        };
        let Some(on_stop) = &environment.on_stop else {
            return Ok(());
        };
        let problem = match self.job(on_stop).map(|stop| &stop.environment) {
            None if self.is_wrong(on_stop) => return Ok(()),
            None => "is not defined",
            Some(None) => "does not have environment defined",
            Some(Some(stop)) if stop.name != environment.name => "have different environment name",
            Some(Some(stop)) if stop.action != EnvironmentAction::Stop => {
                "needs to have action stop defined"
            }
            Some(Some(_)) => return Ok(()),
        };
        let message = format!("{} job: on_stop job {on_stop} {problem}", job.name);
        cx.error("on-stop", message, environment.span);
        Err(Told)
    }

    /// Tarjan's components, with a stack of its own: chains are thousands long.
    fn check_cycles(&self, cx: &mut Checker<'_>) {
        let needs: Vec<Vec<usize>> = self
            .jobs
            .iter()
            .map(|placed| {
                let needs = placed.job.needs.iter().flatten();
                needs
                    .filter_map(|need| self.names.get(need.job.as_str()).copied())
                    .collect()
            })
            .collect();
        let mut search = Search::new(&needs);
        for start in 0..self.jobs.len() {
            let Some(cycle) = search.cycle_from(start) else {
                continue;
            };
            let jobs: Vec<&Job> = cycle
                .iter()
                .filter_map(|at| self.jobs.get(*at).map(|placed| &placed.job))
                .collect();
            let Some(job) = jobs.first() else { return };
            let circle = match jobs[..] {
                [job] => format!("self-dependency: {}", job.name),
                _ => {
                    let names = jobs
                        .iter()
                        .map(|job| Value::String(job.name.clone()).inspect());
                    let names = names.collect::<Vec<_>>().join(", ");
                    format!("topological sort failed: [{names}]")
                }
            };
            let message = format!("The pipeline has circular dependencies: {circle}");
            cx.error("needs-cycle", message, job.span);
            return;
        }
    }
}

/// The state of the search for cycles.
struct Search<'a> {
    needs: &'a [Vec<usize>],
    /// When each node was found, from 1; 0: not yet.
    found: Vec<usize>,
    low: Vec<usize>,
    clock: usize,
    open: Vec<usize>,
    is_open: Vec<bool>,
}

impl<'a> Search<'a> {
    fn new(needs: &'a [Vec<usize>]) -> Search<'a> {
        let zeros = vec![0; needs.len()];
        let is_open = vec![false; needs.len()];
        Search {
            needs,
            found: zeros.clone(),
            low: zeros,
            clock: 0,
            open: Vec::new(),
            is_open,
        }
    }

    /// The first cycle that can be reached from a node and was not seen before.
    fn cycle_from(&mut self, start: usize) -> Option<Vec<usize>> {
        if self.found[start] != 0 {
            return None;
        }
        // Each node with the place in its needs where the search goes on.
        let mut path = vec![(start, 0)];
        if self.enter(start) == Needs::Itself {
            return Some(vec![start]);
        }
        while let Some((node, next)) = path.last_mut() {
            let node = *node;
            if let Some(&to) = self.needs[node].get(*next) {
                *next += 1;
                if self.found[to] == 0 {
                    if self.enter(to) == Needs::Itself {
                        return Some(vec![to]);
                    }
                    path.push((to, 0));
                } else if self.is_open[to] {
                    self.low[node] = self.low[node].min(self.found[to]);
                }
                continue;
            }
            path.pop();
            if let Some((parent, _)) = path.last() {
                self.low[*parent] = self.low[*parent].min(self.low[node]);
            }
            if self.low[node] == self.found[node] {
                let at = self
                    .open
                    .iter()
                    .rposition(|open| *open == node)
                    .unwrap_or(0);
                let component = self.open.split_off(at);
                for member in &component {
                    self.is_open[*member] = false;
                }
                if component.len() > 1 {
                    return Some(component);
                }
            }
        }
        None
    }

    fn enter(&mut self, node: usize) -> Needs {
        self.clock += 1;
        self.found[node] = self.clock;
        self.low[node] = self.clock;
        self.open.push(node);
        self.is_open[node] = true;
        if self.needs[node].contains(&node) {
            Needs::Itself
        } else {
            Needs::Others
        }
    }
}

/// Whether a job needs itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Itself,
    Others,
}
