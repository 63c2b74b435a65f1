//! What a trigger job hands to the pipeline it starts.

use fleet_model::{PipelineId, Plan, PlannedJob, Trigger, Variable};

use super::{Index, Unknown, expand_for_server};

/// The variables of a trigger job at the moment it starts, expanded: those of a job
/// but for what only an agent's job has (ids, tokens). Lowest precedence first.
#[derive(Clone, Debug)]
pub struct Bridge(Vec<Variable>);

impl Bridge {
    /// `dotenv` is what earlier jobs reported, `settings` the variables of project and
    /// pipeline; `server_url` and `project_path` are those of its pipeline.
    #[must_use]
    pub fn new(
        (pipeline, server_url, project_path): (PipelineId, &str, &str),
        plan: &Plan,
        job: &PlannedJob,
        dotenv: Vec<Variable>,
        settings: Vec<Variable>,
    ) -> Bridge {
        let server = server_url.trim_end_matches('/');
        let url = format!("{server}/{project_path}/-/pipelines/{pipeline}");
        let mut all = vec![
            Variable::new("CI_PIPELINE_ID", pipeline.to_string()),
            Variable::new("CI_PIPELINE_URL", url),
        ];
        all.extend_from_slice(&plan.predefined);
        all.extend_from_slice(&job.variables);
        all.extend(dotenv);
        all.extend_from_slice(&plan.user);
        all.extend(settings);
        all.extend_from_slice(&job.overriding);
        // Circles are refused before there is a plan; settings of later make them.
        Bridge(expand_for_server(&all, Unknown::Keep).unwrap_or(all))
    }

    /// A text of its `trigger`; what is unknown is dropped, as in GitLab.
    #[must_use]
    pub fn expand(&self, text: &str) -> String {
        Index::new(&self.0).expand(text, Unknown::Empty)
    }

    /// The variables that the other pipeline is started with, the last of a name wins:
    /// the job's own, expanded, and where it says so those that its pipeline was
    /// started with (`given`).
    ///
    /// A value that holds that of a masked variable is masked there, too: the other
    /// pipeline may not know the one it came from.
    #[must_use]
    pub fn forwarded(&self, trigger: &Trigger, given: &[Variable]) -> Vec<Variable> {
        let index = Index::new(&self.0);
        let masked: Vec<&str> = self
            .0
            .iter()
            .filter(|variable| variable.masked && !variable.value.is_empty())
            .map(|variable| variable.value.as_str())
            .collect();
        let own = trigger.variables.iter().map(|variable| {
            let value = match variable.raw {
                true => variable.value.clone(),
                false => index.expand(&variable.value, Unknown::Keep),
            };
            let hidden = masked.iter().any(|secret| value.contains(secret));
            let forwarded = Variable {
                value,
                ..variable.clone()
            };
            match hidden {
                true => forwarded.masked(),
                false => forwarded,
            }
        });
        let given = given.iter().filter(|_| trigger.pipeline_variables);
        let all: Vec<Variable> = own.chain(given.cloned()).collect();
        // Later ones of a name win, and one of each is enough.
        let mut names = std::collections::BTreeSet::new();
        let mut kept: Vec<Variable> = all
            .into_iter()
            .rev()
            .filter(|variable| names.insert(variable.key.clone()))
            .collect();
        kept.reverse();
        kept
    }
}
