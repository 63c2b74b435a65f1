//! `parallel` carried out: one job for each instance, and needs and
//! dependencies that name the instances.

use std::{borrow::Cow, collections::BTreeMap, sync::LazyLock};

use fleet_model::Variable;
use regex::Regex;

use super::{
    check::{Checker, kind},
    job::WrittenJob,
    needs::WrittenNeed,
    parallel::{self, Matrix, Parallel},
    types,
    types::{Job, Need},
};
use crate::Span;

/// Jobs of one configuration, at most: more than a pipeline may have, since each event
/// leaves some out.
const MAX_JOBS: usize = 20_000;

/// Needs and dependencies of all jobs together, at most; without it a few big
/// matrices that need each other would take gigabytes.
const MAX_EDGES: usize = 500_000;

/// Text of all jobs together, in bytes, at most.
pub(super) const MAX_BYTES: usize = 64 << 20;

/// Bytes of a need's name once its blocks are replaced, at most.
const MAX_FILLED: usize = 4096;

static MATRIX_BLOCK: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\$\[\[\s*matrix\.([^\s\]]+)\s*\]\]").expect("the pattern is constant")
});

/// A finished job, and where it says what other jobs decide on.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) job: Job,
    /// The stage, or the name where none is said.
    pub(super) stage: Span,
    /// Each of the dependencies.
    pub(super) dependencies: Vec<Span>,
}

/// One instance to come.
struct Instance {
    name: String,
    parallel: Option<types::Parallel>,
}

/// Multiplies the jobs. A name that comes twice has one place, the first, and
/// the last content, as in GitLab.
pub(super) fn multiply(cx: &mut Checker<'_>, written: Vec<WrittenJob>) -> Vec<Placed> {
    let count = |job: &WrittenJob| job.parallel.as_ref().map_or(1, Parallel::count);
    let total: usize = written.iter().map(count).fold(0, usize::saturating_add);
    let bytes = written.iter().fold(0, |sum: usize, job| {
        sum.saturating_add(job.weight.saturating_mul(count(job)))
    });
    let Some(first) = written.first() else {
        return Vec::new();
    };
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
    let mut parallel: BTreeMap<&str, Names<'_>> = BTreeMap::new();
    for (job, instances) in written.iter().zip(&instances) {
        if job.parallel.is_some() {
            let all: Vec<&str> = instances.iter().map(|it| it.name.as_str()).collect();
            let bytes = all.iter().map(|name| name.len()).sum();
            parallel.insert(&job.job.name, Names { all, bytes });
        }
    }
    let mut resolver = Resolver {
        parallel,
        edges: 0,
        bytes: 0,
    };
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut jobs: Vec<Placed> = Vec::with_capacity(total);
    for (written, instances) in written.iter().zip(&instances) {
        for instance in instances {
            let Some(job) = resolver.instance(cx, written, instance) else {
                return Vec::new();
            };
            match places
                .get(instance.name.as_str())
                .and_then(|at| jobs.get_mut(*at))
            {
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
        None => vec![Instance {
            name: base_name.clone(),
            parallel: None,
        }],
        Some(Parallel::Number(total)) => {
            let total = *total as usize;
            let name = |index| format!("{base_name} {index}/{total}");
            (1..=total)
                .map(|index| instance(name(index), index, total, Vec::new()))
                .collect()
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

/// Names the instances in needs and dependencies, as many as are allowed.
struct Resolver<'a> {
    parallel: BTreeMap<&'a str, Names<'a>>,
    /// Needs and dependencies so far.
    edges: usize,
    /// Bytes of the names in them.
    bytes: usize,
}

/// The instances of a parallel job.
struct Names<'a> {
    all: Vec<&'a str>,
    bytes: usize,
}

impl Resolver<'_> {
    fn instance(
        &mut self,
        cx: &mut Checker<'_>,
        written: &WrittenJob,
        instance: &Instance,
    ) -> Option<Placed> {
        let row = instance.parallel.as_ref().map_or(&[][..], |it| &it.matrix);
        let mut needs_of = |needs: &Option<Vec<WrittenNeed>>| match needs {
            None => Some(None),
            Some(needs) => self.needs(cx, written, needs, row).map(Some),
        };
        let needs = needs_of(&written.needs)?;
        let rule_needs = written.rule_needs.iter().map(needs_of);
        let rule_needs = rule_needs.collect::<Option<Vec<_>>>()?;
        let mut job = written.job.clone();
        let mut places = Vec::new();
        if let Some(names) = &written.dependencies {
            let (names, spans) = self.dependencies(cx, written, names)?;
            job.dependencies = Some(names);
            places = spans;
        }
        job.needs = needs;
        for (rule, needs) in job.rules.iter_mut().flatten().zip(rule_needs) {
            rule.needs = needs;
        }
        for (name, value) in row {
            let variable = Variable::new(name, value);
            match job.variables.iter_mut().find(|have| have.key == *name) {
                Some(have) => *have = variable,
                None => job.variables.push(variable),
            }
        }
        job.name.clone_from(&instance.name);
        job.parallel.clone_from(&instance.parallel);
        Some(Placed {
            job,
            stage: written.stage,
            dependencies: places,
        })
    }

    fn dependencies(
        &mut self,
        cx: &mut Checker<'_>,
        written: &WrittenJob,
        dependencies: &[(String, Span)],
    ) -> Option<(Vec<String>, Vec<Span>)> {
        let mut all = Vec::new();
        for (name, span) in dependencies {
            let one = [name.as_str()];
            let (names, bytes) = match self.parallel.get(name.as_str()) {
                Some(names) => (&names.all[..], names.bytes),
                None => (&one[..], name.len()),
            };
            all.extend(names.iter().map(|name| ((*name).to_owned(), *span)));
            let edges = names.len();
            self.take(cx, written, edges, bytes)?;
        }
        Some(all.into_iter().unzip())
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
                Err(problem) => {
                    let message = format!("{} job: {problem}", written.job.name);
                    cx.error(kind::VALUE, message, need.span);
                    return None;
                }
            };
            let (span, artifacts, optional) = (need.span, need.artifacts, need.optional);
            let make = |job: String| Need {
                span,
                job,
                artifacts,
                optional,
            };
            let (edges, bytes) = match (self.parallel.get(name.as_ref()), &matrix) {
                (Some(_), Some(matrix)) => parallel::weight(matrix),
                (Some(names), None) => (names.all.len(), names.bytes),
                (None, _) => (1, name.len()),
            };
            self.take(cx, written, edges, bytes)?;
            match (self.parallel.get(name.as_ref()), matrix) {
                (Some(_), Some(matrix)) => {
                    let rows = parallel::combinations(&matrix);
                    all.extend(rows.iter().map(|row| make(matrix_name(&name, row))));
                }
                (Some(names), None) => {
                    all.extend(names.all.iter().map(|name| make((*name).to_owned())));
                }
                (None, _) => all.push(make(name.into_owned())),
            }
        }
        Some(all)
    }

    /// Takes so many needs or dependencies from what is allowed.
    fn take(
        &mut self,
        cx: &mut Checker<'_>,
        written: &WrittenJob,
        edges: usize,
        bytes: usize,
    ) -> Option<()> {
        self.edges = self.edges.saturating_add(edges);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.edges > MAX_EDGES || self.bytes > MAX_BYTES {
            let message = format!(
                "the needs and dependencies of all jobs together exceed the limit of {MAX_EDGES}"
            );
            cx.error(kind::LIMIT, message, written.job.span);
            return None;
        }
        Some(())
    }
}

/// The need with its blocks `$[[ matrix.X ]]` replaced.
fn filled<'n>(
    need: &'n WrittenNeed,
    row: &[(String, String)],
) -> Result<(Cow<'n, str>, Option<Matrix>), String> {
    let name = fill(&need.job, row)?;
    let Some(matrix) = &need.matrix else {
        return Ok((name, None));
    };
    let mut filled = Matrix::with_capacity(matrix.len());
    for variables in matrix {
        let mut values_of = Vec::with_capacity(variables.len());
        for (name, values) in variables {
            let values = values
                .iter()
                .map(|value| fill(value, row).map(Cow::into_owned));
            values_of.push((name.clone(), values.collect::<Result<_, _>>()?));
        }
        filled.push(values_of);
    }
    Ok((name, Some(filled)))
}

/// A text with its blocks replaced by the values of this instance; the error
/// says what is wrong with it.
fn fill<'t>(text: &'t str, row: &[(String, String)]) -> Result<Cow<'t, str>, String> {
    if !text.contains("$[[") {
        return Ok(Cow::Borrowed(text));
    }
    let mut filled = String::new();
    let mut rest = 0;
    for block in MATRIX_BLOCK.captures_iter(text) {
        let (Some(whole), Some(name)) = (block.get(0), block.get(1)) else {
            continue;
        };
        let value = row.iter().find(|(have, _)| have == name.as_str());
        let Some((_, value)) = value else {
            let name = name.as_str();
            return Err(format!("'{name}' does not exist in matrix configuration"));
        };
        filled.push_str(&text[rest..whole.start()]);
        filled.push_str(value);
        rest = whole.end();
        if filled.len() > MAX_FILLED {
            return Err(format!("need `{text}` name is too long"));
        }
    }
    filled.push_str(&text[rest..]);
    Ok(Cow::Owned(filled))
}
