//! Child pipelines of a local run: planned here when their trigger job's turn comes,
//! with the same choice of jobs as their parent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fleet_coordinator::{About, Child, PlanChild, Request};
use fleet_language::render::short;
use fleet_language::variables::predefined;
use fleet_language::{Compiled, Context, Files, PipelineSource, Reach, RefKind, Severity};
use fleet_model::Source;
use tokio::sync::mpsc::UnboundedSender;

use super::{docker, select};
use crate::project::Project;
use crate::view::clean;
use crate::{cli, includes};

/// Findings that are told of a configuration.
const MOST: usize = 10;

/// What child pipelines have of their parent.
pub(super) struct Children {
    pub(super) project: Project,
    /// That of the run.
    pub(super) context: Context,
    /// What its jobs get.
    pub(super) source: Source,
    pub(super) arguments: cli::Run,
    /// Whether jobs can run in containers.
    pub(super) engine: bool,
    /// Takes what people should know.
    pub(super) say: UnboundedSender<String>,
}

impl Children {
    /// Who plans them.
    pub(super) fn planner(self) -> PlanChild {
        let number = AtomicU64::new(self.context.iid);
        Arc::new(move |child| {
            let number = number.fetch_add(1, Ordering::Relaxed) + 1;
            self.plan(child, number)
        })
    }

    fn plan(&self, child: Child, number: u64) -> Result<Option<Request>, String> {
        let mut context = Context {
            source: PipelineSource::ParentPipeline,
            pipeline_variables: child.variables,
            iid: number,
            ..self.context.clone()
        };
        let upstream = child.upstream;
        context.predefined.extend(predefined::for_downstream(
            upstream.pipeline,
            upstream.project,
            upstream.job,
        ));
        let name = format!("{}:trigger:include", child.bridge);
        let files = With {
            tree: &self.project.files(),
            others: child.files,
        };
        let includes = &self.arguments.place.includes;
        let fetch = includes::configured(&self.project, includes);
        let reach = Reach {
            files: &files,
            fetch: &fetch.map_err(|failure| failure.to_string())?,
        };
        let compiled = fleet_language::compile((&name, &child.configuration), &context, reach);
        let Some(plan) = compiled.plan.as_ref().filter(|_| !compiled.has_errors()) else {
            return Err(errors(&compiled));
        };
        let wish = select::Wish {
            deploy: self.arguments.deploy,
            ..select::Wish::default()
        };
        let mut selection = select::select(plan, &wish)?;
        let bridge = clean(&child.bridge);
        for (job, why) in &selection.left_out {
            self.say(format!("left out: {bridge}/{}: {}", clean(job), clean(why)));
        }
        for note in &selection.notes {
            self.say(format!("note: {bridge}/{}", clean(note)));
        }
        if selection.plan.jobs.is_empty() {
            self.say(format!(
                "note: nothing of the pipeline that {bridge} starts runs here"
            ));
            return Ok(None);
        }
        for job in &mut selection.plan.jobs {
            // There is one agent, which was there before anybody knew of these.
            job.tags.clear();
        }
        docker::choose_child(&mut selection.plan, &self.arguments, self.engine)?;
        Ok(Some(Request {
            project: context.project.id,
            project_path: context.project.path.clone(),
            protected: context.reference.protected,
            plan: selection.plan,
            source: self.source.clone(),
            settings: context.settings(),
            about: About {
                source: context.source.as_str().to_owned(),
                reference: context.reference.name.clone(),
                tag: context.reference.kind == RefKind::Tag,
                sha: context.commit.sha.clone(),
                user: context.user.login.clone(),
                iid: context.iid,
                ..About::default()
            },
            upstream: Some(upstream),
        }))
    }

    fn say(&self, words: String) {
        // Nobody listens any more where the run has ended.
        let _ = self.say.send(words);
    }
}

/// What is wrong with a configuration, a line each.
fn errors(compiled: &Compiled) -> String {
    let errors = compiled.diagnostics.iter();
    let errors = errors.filter(|it| it.severity == Severity::Error);
    let lines: Vec<String> = errors
        .take(MOST)
        .map(|it| clean(&short(it, &compiled.sources)))
        .collect();
    lines.join("\n")
}

/// The working tree, and files of artifacts under names that none of it has.
struct With<'a> {
    tree: &'a dyn Files,
    others: BTreeMap<String, Vec<u8>>,
}

impl Files for With<'_> {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        let other = self.others.get(path).cloned();
        other.or_else(|| self.tree.read(path))
    }

    fn paths(&self) -> Vec<String> {
        let mut paths = self.tree.paths();
        paths.extend(self.others.keys().cloned());
        paths
    }

    fn changed_since(&self, reference: &str) -> Option<Vec<String>> {
        self.tree.changed_since(reference)
    }
}
