//! The event a configuration is compiled for, and the files beside it.

use fleet_model::{ProjectId, Variable};

use crate::HostCoupling;

/// Everything about an event that may decide what its pipeline is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// What started the pipeline.
    pub source: PipelineSource,
    /// Branch, tag or merge request.
    pub reference: Ref,
    /// The commit.
    pub commit: Commit,
    /// `CI_COMMIT_BEFORE_SHA`: the branch's earlier tip, or 40 zeros.
    pub before_sha: String,
    /// The project.
    pub project: Project,
    /// Who started it.
    pub user: User,
    /// `https://fleet.example`; what `CI_SERVER_*` and `CI_API_V4_URL` come from.
    pub server_url: String,
    /// ISO 8601, UTC.
    pub created_at: String,
    /// Per-project counter of pipelines.
    pub iid: u64,
    /// Variables of instance, groups and project, lowest precedence first.
    pub project_variables: Vec<Variable>,
    /// Variables given for this pipeline alone; over all others.
    pub pipeline_variables: Vec<Variable>,
    /// Values for the inputs that the configuration's header declares.
    pub inputs: Vec<(String, serde_json::Value)>,
    /// Predefined variables only the caller knows (`CI_MERGE_REQUEST_*`,
    /// `CI_REGISTRY` ...).
    pub predefined: Vec<Variable>,
    /// Paths the event changed.
    pub changes: Changes,
}

impl Context {
    /// What stands over YAML: the project's variables, then the pipeline's own.
    #[must_use]
    pub fn settings(&self) -> Vec<Variable> {
        let all = self
            .project_variables
            .iter()
            .chain(&self.pipeline_variables);
        all.cloned().collect()
    }
}

/// `CI_PIPELINE_SOURCE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PipelineSource {
    /// A push of a branch or tag.
    Push,
    /// A person, by hand.
    Web,
    /// A timer.
    Schedule,
    /// The API.
    Api,
    /// A trigger token.
    Trigger,
    /// A merge request.
    MergeRequestEvent,
    /// Another project's pipeline.
    Pipeline,
    /// A parent pipeline.
    ParentPipeline,
}

impl PipelineSource {
    /// GitLab's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            PipelineSource::Push => "push",
            PipelineSource::Web => "web",
            PipelineSource::Schedule => "schedule",
            PipelineSource::Api => "api",
            PipelineSource::Trigger => "trigger",
            PipelineSource::MergeRequestEvent => "merge_request_event",
            PipelineSource::Pipeline => "pipeline",
            PipelineSource::ParentPipeline => "parent_pipeline",
        }
    }
}

/// What the pipeline is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ref {
    /// Branch, tag, or the merge request's source branch.
    pub name: String,
    /// Which of them.
    pub kind: RefKind,
    /// `CI_COMMIT_REF_PROTECTED`.
    pub protected: bool,
}

/// The kind of a [`Ref`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefKind {
    /// A branch.
    Branch,
    /// A tag.
    Tag,
    /// A merge request.
    MergeRequest,
}

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Commit {
    /// Full hash.
    pub sha: String,
    /// The whole message.
    pub message: String,
    /// `Name <mail>`.
    pub author: String,
    /// Committer date, ISO 8601.
    pub timestamp: String,
}

/// A project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Its number.
    pub id: ProjectId,
    /// `group/sub/name`.
    pub path: String,
    /// Display name.
    pub title: String,
    /// Its default branch.
    pub default_branch: String,
    /// `.gitlab-ci.yml`.
    pub config_path: String,
    /// `private`, `internal` or `public`.
    pub visibility: String,
    /// What is done about jobs that count on another job's host.
    pub host_coupling: HostCoupling,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct User {
    /// Number.
    pub id: u64,
    /// Login name.
    pub login: String,
    /// Full name.
    pub name: String,
    /// Mail address.
    pub email: String,
}

/// What a pipeline's event changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Not known (new branch, tag, schedule ...): every `changes` is true.
    Unknown,
    /// Paths from the repository's root; renames give old and new.
    Known(Vec<String>),
}

/// The repository at the commit, as far as the language may look.
pub trait Files {
    /// The bytes of a file; none where there is no such file.
    fn read(&self, path: &str) -> Option<Vec<u8>>;

    /// All files of the commit, from its root, in no particular order.
    fn paths(&self) -> Vec<String>;

    /// The paths that differ from where the commit parted from a branch, tag or commit;
    /// none if there is no such thing.
    fn changed_since(&self, reference: &str) -> Option<Vec<String>> {
        let _ = reference;
        None
    }

    /// Whether these are all files of a repository: what is not among them is known not
    /// to be there.
    fn are_all(&self) -> bool {
        true
    }
}
