//! The front door: a file and an event in, a plan and everything there is to say
//! out.

mod missed;
#[cfg(test)]
mod tests;

use fleet_model::{Included, Plan, Variable};

use self::missed::Missed;
use crate::{
    Changes, Context, Diagnostic, FileId, Node, Reach, Severity, Sources, Span, Value,
    config::{self, Config},
    coupling,
    diagnostic::{chain, mends},
    evaluate::{self, Explanation, LeftOut},
    inputs::{self, Given},
    resolve::{self, Budget, Includes, World},
    variables::predefined,
};

/// Values for inputs that a pipeline may be started with, as in GitLab.
const MAX_INPUTS: usize = 20;

/// What became of a configuration.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// All files that were read, the root first; spans point into them.
    pub sources: Sources,
    /// The pipeline; none if a diagnostic is an error, and of [`lint`].
    pub plan: Option<Plan>,
    /// Jobs that the event leaves out.
    pub left_out: Vec<LeftOut>,
    /// The configuration with `include`, `extends`, `!reference` and `default`
    /// applied; none where it has errors.
    pub resolved: Option<Node>,
    /// The files that were included, in the order they were read.
    pub included: Vec<Included>,
    /// What there is to say, in order of files and lines.
    pub diagnostics: Vec<Diagnostic>,
}

impl Compiled {
    /// Whether any diagnostic is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics
            .iter()
            .any(|it| it.severity == Severity::Error)
    }
}

/// Compiles a configuration for an event. `root` is the path and the text of the
/// file that people write.
#[must_use]
pub fn compile<'r>(root: (&str, &str), context: &Context, reach: impl Into<Reach<'r>>) -> Compiled {
    let reach = reach.into();
    let (mut compiled, config) = check(root, Some(context), reach);
    if let Some(config) = config {
        let evaluation = evaluate::plan(&config, context, reach);
        compiled.plan = evaluation.plan;
        compiled.left_out = evaluation.left_out;
        compiled.diagnostics.extend(evaluation.diagnostics);
        sort(&mut compiled.diagnostics);
    }
    tidy(&mut compiled);
    compiled
}

/// Checks a configuration for all events.
///
/// A `context` gives the variables that paths and rules of includes may use;
/// without one they are unset. Files that `reach` cannot get, and that may be fine
/// elsewhere, are a warning; what they could bring is not missed.
#[must_use]
pub fn lint<'r>(
    root: (&str, &str),
    context: Option<&Context>,
    reach: impl Into<Reach<'r>>,
) -> Compiled {
    let (mut compiled, config) = check_in(World::Open, root, context, reach.into());
    if let Some(config) = config {
        compiled.diagnostics.extend(coupling::lint(&config));
        sort(&mut compiled.diagnostics);
    }
    tidy(&mut compiled);
    compiled
}

/// Says why a job is in the pipeline of an event, or is not; none where the
/// configuration has errors, or no such job.
#[must_use]
pub fn explain<'r>(
    root: (&str, &str),
    context: &'r Context,
    reach: impl Into<Reach<'r>>,
    job: &str,
) -> Option<Explanation> {
    let reach = reach.into();
    let (_, config) = check(root, Some(context), reach);
    evaluate::explain(&config?, context, reach, job)
}

/// Everything that does not depend on the event, includes apart.
pub(crate) fn check<'r>(
    root: (&str, &str),
    context: Option<&Context>,
    reach: impl Into<Reach<'r>>,
) -> (Compiled, Option<Config>) {
    check_in(World::Closed, root, context, reach.into())
}

fn check_in(
    world: World,
    (path, text): (&str, &str),
    context: Option<&Context>,
    reach: Reach<'_>,
) -> (Compiled, Option<Config>) {
    let mut sources = Sources::default();
    let root = sources.add(path, text);
    let mut compiled = Compiled {
        sources,
        plan: None,
        left_out: Vec::new(),
        resolved: None,
        included: Vec::new(),
        diagnostics: Vec::new(),
    };
    let config = passes(world, &mut compiled, root, context, reach);
    sort(&mut compiled.diagnostics);
    (compiled, config)
}

/// Pass after pass, until one cannot go on.
fn passes(
    world: World,
    compiled: &mut Compiled,
    root: FileId,
    context: Option<&Context>,
    reach: Reach<'_>,
) -> Option<Config> {
    let text = compiled.sources.get(root).map(|file| file.text.trim());
    if text.is_none_or(str::is_empty) {
        let message = "Please provide content of .gitlab-ci.yml";
        let start = Span {
            file: root,
            start: 0,
            end: 0,
        };
        let blank = Diagnostic::error("no-content", message, Some(start));
        compiled.diagnostics.push(blank);
        return None;
    }
    let variables = context.map(variables).unwrap_or_default();
    let changes = context.map_or(&Changes::Unknown, |context| &context.changes);
    let inputs = context.map_or(&[][..], |context| &context.inputs);
    if inputs.len() > MAX_INPUTS {
        let message = format!("There cannot be more than {MAX_INPUTS} inputs");
        let told = Diagnostic::error(inputs::INPUT, message, None);
        compiled.diagnostics.push(told);
        return None;
    }
    let includes = Includes {
        reach,
        variables: &variables,
        changes,
        inputs: &Given::to_pipeline(inputs),
        world,
    };
    let loaded = resolve::load(&mut compiled.sources, root, includes);
    let all = &mut compiled.diagnostics;
    all.extend(loaded.diagnostics);
    compiled.included = loaded.included;
    let Node {
        span,
        value: Value::Map(map),
    } = loaded.tree?
    else {
        return None;
    };

    let mut budget = Budget::new(&map);
    let mut missed = Missed::new(loaded.is_partial);
    let mut go_on = |all: &mut Vec<Diagnostic>, found: Vec<Diagnostic>| {
        let found = missed.without(found);
        let is_wrong = !found.is_empty();
        if is_wrong && world == World::Open {
            missed.lacks(&found);
        }
        all.extend(found);
        !is_wrong || world == World::Open
    };
    let (map, found) = resolve::extends(map, &mut budget);
    if !go_on(all, found) {
        return None;
    }
    let (map, found) = resolve::references(map, &mut budget);
    if !go_on(all, found) {
        return None;
    }
    let (config, found) = config::check(&compiled.sources, &map, span);
    let mut found = missed.without(found);
    chain::explain(&mut found, &compiled.sources, &map);
    all.extend(found);
    if all.iter().any(|it| it.severity == Severity::Error) {
        return None;
    }
    compiled.resolved = Some(Node {
        span,
        value: Value::Map(resolve::apply_defaults(map)),
    });
    config
}

/// What includes may refer to.
fn variables(context: &Context) -> Vec<Variable> {
    let mut all = predefined::for_pipeline(context);
    all.extend(context.settings());
    all
}

/// In order of files and lines; of one place in the order they were found.
fn sort(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by_key(|it| it.span.map(|span| (span.file, span.start)));
    let mut seen = std::collections::BTreeSet::new();
    diagnostics.retain(|it| {
        let place = it.span.map(|span| (span.file, span.start, span.end));
        seen.insert((place, it.message.clone()))
    });
}

/// Nothing twice: what several jobs have from one place, and that there is no job
/// where it was said why.
fn tidy(compiled: &mut Compiled) {
    let Compiled {
        sources,
        diagnostics,
        ..
    } = compiled;
    chain::once(diagnostics);
    if diagnostics.iter().any(|it| it.code == "no-script") {
        diagnostics.retain(|it| it.code != "no-jobs");
    }
    mends::fold(diagnostics);
    mends::add(diagnostics);
    let syntax = diagnostics.iter_mut().filter(|it| it.code == "yaml-syntax");
    for found in syntax {
        mends::open_bracket(sources, found);
    }
}
