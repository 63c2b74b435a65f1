//! `parallel` carried out: one job for each instance, and needs and
//! dependencies that name the instances.

use std::{borrow::Cow, collections::BTreeMap, sync::LazyLock};

use fleet_model::Variable;
use regex::{Captures, Regex};

use super::{
    check::{Checker, kind},
    job::WrittenJob,
    needs::WrittenNeed,
    parallel::{self, Matrix, Parallel},
    types,
    types::{Job, Need},
};

/// Jobs of one configuration, at most.
const MAX_JOBS: usize = 5000;

/// Needs and dependencies of all jobs together, at most; without it a few big
/// matrices that need each other would take gigabytes.
const MAX_EDGES: usize = 500_000;

/// Text of all jobs together, in bytes, at most.
const MAX_BYTES: usize = 64 << 20;

static MATRIX_BLOCK: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\$\[\[\s*matrix\.([^\s\]]+)\s*\]\]").expect("the pattern is constant")
});

/// One instance to come.
struct Instance {
    name: String,
    parallel: Option<types::Parallel>,
}

/// Multiplies the jobs. A name that comes twice has one place, the first, and
/// the last content, as in GitLab.
pub(super) fn multiply(cx: &mut Checker<'_>, written: Vec<WrittenJob>) -> Vec<Job> {
    let count = |job: &WrittenJob| job.parallel.as_ref().map_or(1, Parallel::count);
    let total: usize = written.iter().map(count).fold(0, usize::saturating_add);
    let bytes = written
        .iter()
        .fold(0, |sum: usize, job| sum.saturating_add(job.weight.saturating_mul(count(job))));
    let Some(first) = written.first() else { return Vec::new() };
    if total > MAX_JOBS {
        let message = format!(
            "The number of jobs has exceeded the limit of {MAX_JOBS}. Try splitting the \
             configuration with parent-child-pipelines"
        );
        cx.error(kind::LIMIT, message, first.job.span);
        return Vec::new();
    }
    if bytes > MAX_BYTES {
        let message = format!("the jobs together hold more than {} MiB", MAX_BYTES >> 20);
        cx.error(kind::LIMIT, message, first.job.span);
        return Vec::new();
    }

    let instances: Vec<Vec<Instance>> = written.iter().map(instances).collect();
    let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (job, instances) in written.iter().zip(&instances) {
        if job.parallel.is_some() {
            let all = instances.iter().map(|it| it.name.as_str()).collect();
            names.insert(&job.job.name, all);
        }
    }
    let mut resolver = Resolver { names, edges: 0 };
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut jobs: Vec<Job> = Vec::with_capacity(total);
    for (written, instances) in written.iter().zip(&instances) {
        for instance in instances {
            let Some(job) = resolver.instance(cx, written, instance) else { return Vec::new() };
            match places.get(instance.name.as_str()).and_then(|at| jobs.get_mut(*at)) {
                Some(have) => *have = job,
                None => {
                    places.insert(&instance.name, jobs.len());
                    jobs.push(job);
                }
            }
        }
    }
    jobs
}

fn instances(written: &WrittenJob) -> Vec<Instance> {
    let base_name = &written.job.name;
    let instance = |name, index: usize, total: usize, matrix| Instance {
        name,
        parallel: Some(types::Parallel {
            base_name: base_name.clone(),
            // Both are at most 200.
            index: u32::try_from(index).unwrap_or(u32::MAX),
            total: u32::try_from(total).unwrap_or(u32::MAX),
            matrix,
        }),
    };
    match &written.parallel {
        None => vec![Instance { name: base_name.clone(), parallel: None }],
        Some(Parallel::Number(total)) => {
            let total = *total as usize;
            let name = |index| format!("{base_name} {index}/{total}");
            (1..=total).map(|index| instance(name(index), index, total, Vec::new())).collect()
        }
        Some(Parallel::Matrix(matrix)) => {
            let rows = parallel::combinations(matrix);
            let total = rows.len();
            let rows = rows.into_iter().zip(1..);
            rows.map(|(row, index)| instance(matrix_name(base_name, &row), index, total, row))
                .collect()
        }
    }
}

fn matrix_name(base: &str, row: &[(String, String)]) -> String {
    let values: Vec<&str> = row.iter().map(|(_, value)| value.as_str()).collect();
    format!("{base}: [{}]", values.join(", "))
}

struct Resolver<'a> {
    /// The instances of each parallel job.
    names: BTreeMap<&'a str, Vec<&'a str>>,
    /// Needs and dependencies so far.
    edges: usize,
}

impl Resolver<'_> {
    fn instance(
        &mut self,
        cx: &mut Checker<'_>,
        written: &WrittenJob,
        instance: &Instance,
    ) -> Option<Job> {
        let row = instance.parallel.as_ref().map_or(&[][..], |it| &it.matrix);
        let mut needs_of = |needs: &Option<Vec<WrittenNeed>>| match needs {
            None => Some(None),
            Some(needs) => self.needs(cx, written, needs, row).map(Some),
        };
        let needs = needs_of(&written.needs)?;
        let rule_needs = written.rule_needs.iter().map(needs_of).collect::<Option<Vec<_>>>()?;
        let mut job = written.job.clone();
        job.dependencies = match &written.dependencies {
            None => None,
            Some(names) => Some(self.dependencies(cx, written, names)?),
        };
        job.needs = needs;
        for (rule, needs) in job.rules.iter_mut().flatten().zip(rule_needs) {
            rule.needs = needs;
        }
        job.variables.retain(|have| !row.iter().any(|(name, _)| *name == have.key));
        job.variables.extend(row.iter().map(|(name, value)| Variable::new(name, value)));
        job.name.clone_from(&instance.name);
        job.parallel.clone_from(&instance.parallel);
        Some(job)
    }

    fn count(&mut self, cx: &mut Checker<'_>, written: &WrittenJob, more: usize) -> Option<()> {
        self.edges = self.edges.saturating_add(more);
        if self.edges > MAX_EDGES {
            let message = format!(
                "the needs and dependencies of all jobs together exceed the limit of {MAX_EDGES}"
            );
            cx.error(kind::LIMIT, message, written.job.span);
            return None;
        }
        Some(())
    }

    fn dependencies(
        &mut self,
        cx: &mut Checker<'_>,
        written: &WrittenJob,
        names: &[String],
    ) -> Option<Vec<String>> {
        let mut all = Vec::new();
        for name in names {
            match self.names.get(name.as_str()) {
                Some(instances) => all.extend(instances.iter().map(|it| (*it).to_owned())),
                None => all.push(name.clone()),
            }
        }
        self.count(cx, written, all.len())?;
        Some(all)
    }

    fn needs(
        &mut self,
        cx: &mut Checker<'_>,
        written: &WrittenJob,
        needs: &[WrittenNeed],
        row: &[(String, String)],
    ) -> Option<Vec<Need>> {
        let mut all = Vec::new();
        for need in needs {
            let (name, matrix) = match filled(need, row) {
                Ok(filled) => filled,
                Err(unknown) => {
                    let message = format!(
                        "{} job: '{unknown}' does not exist in matrix configuration",
                        written.job.name
                    );
                    cx.error(kind::VALUE, message, need.span);
                    return None;
                }
            };
            let make = |job: String| Need {
                span: need.span,
                job,
                artifacts: need.artifacts,
                optional: need.optional,
            };
            let before = all.len();
            match (self.names.get(name.as_ref()), matrix) {
                (Some(_), Some(matrix)) => {
                    let rows = parallel::combinations(&matrix);
                    all.extend(rows.iter().map(|row| make(matrix_name(&name, row))));
                }
                (Some(instances), None) => {
                    all.extend(instances.iter().map(|name| make((*name).to_owned())));
                }
                (None, _) => all.push(make(name.into_owned())),
            }
            self.count(cx, written, all.len() - before)?;
        }
        Some(all)
    }
}

/// The need with its blocks `$[[ matrix.X ]]` replaced.
fn filled<'n>(
    need: &'n WrittenNeed,
    row: &[(String, String)],
) -> Result<(Cow<'n, str>, Option<Matrix>), String> {
    let name = fill(&need.job, row)?;
    let Some(matrix) = &need.matrix else { return Ok((name, None)) };
    let mut filled = Matrix::with_capacity(matrix.len());
    for variables in matrix {
        let mut values_of = Vec::with_capacity(variables.len());
        for (name, values) in variables {
            let values = values.iter().map(|value| fill(value, row).map(Cow::into_owned));
            values_of.push((name.clone(), values.collect::<Result<_, _>>()?));
        }
        filled.push(values_of);
    }
    Ok((name, Some(filled)))
}

/// A text with its blocks replaced by the values of this instance; the error is
/// the name that is not in the matrix.
fn fill<'t>(text: &'t str, row: &[(String, String)]) -> Result<Cow<'t, str>, String> {
    if !text.contains("$[[") {
        return Ok(Cow::Borrowed(text));
    }
    let value = |name: &str| row.iter().find(|(have, _)| have == name).map(|(_, value)| value);
    let names = MATRIX_BLOCK.captures_iter(text).filter_map(|found| found.get(1));
    if let Some(unknown) = names.map(|it| it.as_str()).find(|name| value(name).is_none()) {
        return Err(unknown.to_owned());
    }
    Ok(MATRIX_BLOCK.replace_all(text, |found: &Captures<'_>| {
        found.get(1).and_then(|name| value(name.as_str())).cloned().unwrap_or_default()
    }))
}
